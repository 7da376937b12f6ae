#!/usr/bin/env python3
"""
Install upstash-helper for yourself, from this checkout, with nothing but Python; run it again to bring it up to date.

  python3 install/install.py                install, and have it start with your session
  python3 install/install.py --uninstall    undo that; with --purge, settings, connection and apps go, too

The program goes into a virtual environment in your data folder (on Linux ~/.local/share/upstash-helper/venv), with what
requirements.txt pins, and a link to it into ~/.local/bin (on Windows a .cmd file into a folder of its own). Then
`upstash-helper install` sets up what starts it. The checkout is copied: it may be moved or deleted afterwards.
"""

import os
import sys

# This file is read by old Pythons too, so that they can say this.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

import argparse

from install import user_install
from install.foreground import guarded
from install.places import Places, places
from install.progress import SetupError, say
from install.user_install import Wishes

OPTIONS = (
    ("--no-tray", "set up no icon on the panel"),
    ("--no-service", "only put the program in place; set up nothing that starts it"),
    ("--uninstall", "remove the program and what starts it"),
    ("--purge", "with --uninstall: remove settings, connection, apps and logs, too"),
    ("--yes", "with --uninstall: do not ask"),
    ("--dry-run", "only say what would be done"),
)


def main(arguments: list[str]) -> int:
    """Install or uninstall."""
    chosen = read(arguments)
    where = places()
    wishes = Wishes(tray=not chosen.no_tray, service=not chosen.no_service, purge=chosen.purge)
    if chosen.uninstall:
        return remove(where, wishes, dry_run=chosen.dry_run, yes=chosen.yes)
    if chosen.dry_run:
        for line in user_install.plan(where, wishes):
            print(line)
        return 0
    return user_install.install(where, wishes)


def read(arguments: list[str]) -> argparse.Namespace:
    """Return the options; what makes no sense ends the script with 2 and the reason."""
    parser = argparse.ArgumentParser(
        prog="python3 install/install.py",
        description=__doc__.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--no-tray] [--no-service] [--dry-run]\n"
        "       %(prog)s --uninstall [--purge] [--no-service] [--yes] [--dry-run]",
        allow_abbrev=False,
    )
    for name, text in OPTIONS:
        parser.add_argument(name, action="store_true", help=text)
    chosen = parser.parse_args(arguments)
    if chosen.purge and not chosen.uninstall:
        parser.error("--purge goes with --uninstall")
    if chosen.purge and chosen.no_service:
        parser.error("--purge is the program's own work: it does not go with --no-service")
    if chosen.uninstall and chosen.no_tray:
        parser.error("--uninstall removes the icon as well: leave --no-tray out")
    return chosen


def remove(where: Places, wishes: Wishes, *, dry_run: bool, yes: bool) -> int:
    """Ask, and uninstall."""
    found = user_install.leftovers(where, wishes)
    if not found:
        say("Nothing of upstash-helper is installed here by this script.")
        return 0
    if dry_run:
        for line in found:
            print(f"Would {line}")
        return 0
    if not yes:
        confirm(found)
    code = user_install.uninstall(where, wishes)
    if not code:
        say("upstash-helper is removed." if wishes.purge else "upstash-helper is removed; settings and data are kept.")
    return code


def confirm(found: list[str]) -> None:
    """
    Go on if the user says so.

    Raises:
        SetupError: If the user does not, or cannot be asked.
    """
    if not sys.stdin.isatty():
        raise SetupError("This asks for a confirmation, and there is no terminal to ask on. Pass --yes to go without.")
    say("This will\n" + "\n".join(f"  {line}" for line in found))
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SetupError("Nothing was changed.")


if __name__ == "__main__":
    guarded(main)
