#!/usr/bin/env python3
"""
Install upstash-helper for your user from this checkout. It needs only Python. Run it again to upgrade.

  python3 install/install.py                install, and start the helper at login
  python3 install/install.py --uninstall    uninstall; with --purge, also remove settings, connection, and apps

The program is installed in a virtual environment in your data folder (on Linux ~/.local/share/upstash-helper/venv) with
the packages in requirements.txt. A link to it is created in ~/.local/bin (on Windows a .cmd file in a separate folder).
Then `upstash-helper install` sets up the service. The checkout is copied, and can be moved or deleted afterwards.
"""

import os
import sys

# This file must be valid in older Python versions, so that they can print this message.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("upstash-helper needs Python 3.11 or newer; this is %d.%d." % sys.version_info[:2])  # noqa: UP031

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120

import argparse

from install import user_install
from install.foreground import run_main
from install.places import Places, places
from install.progress import SetupError, say
from install.user_install import Options

FLAGS = (
    ("--no-tray", "do not install the tray icon"),
    ("--no-service", "install only the program, not the service"),
    ("--uninstall", "uninstall the program and the service"),
    ("--purge", "with --uninstall: also remove settings, connection, apps, and logs"),
    ("--yes", "with --uninstall: do not ask for confirmation"),
    ("--dry-run", "show what would be done, and change nothing"),
)


def main(arguments: list[str]) -> int:
    """Install or uninstall."""
    parsed = parse(arguments)
    target = places()
    options = Options(tray=not parsed.no_tray, service=not parsed.no_service, purge=parsed.purge)
    if parsed.uninstall:
        return uninstall(target, options, dry_run=parsed.dry_run, yes=parsed.yes)
    if parsed.dry_run:
        for line in user_install.plan_install(target, options):
            print(line)
        return 0
    return user_install.install(target, options)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return the parsed arguments. Invalid combinations exit with code 2 and the reason."""
    parser = argparse.ArgumentParser(
        prog="python3 install/install.py",
        description=__doc__.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [--no-tray] [--no-service] [--dry-run]\n"
        "       %(prog)s --uninstall [--purge] [--no-service] [--yes] [--dry-run]",
        allow_abbrev=False,
    )
    for name, text in FLAGS:
        parser.add_argument(name, action="store_true", help=text)
    parsed = parser.parse_args(arguments)
    if parsed.purge and not parsed.uninstall:
        parser.error("--purge requires --uninstall")
    if parsed.purge and parsed.no_service:
        parser.error("--purge cannot be used with --no-service: the program itself removes its data")
    if parsed.uninstall and parsed.no_tray:
        parser.error("--no-tray cannot be used with --uninstall, which always removes the tray icon")
    return parsed


def uninstall(target: Places, options: Options, *, dry_run: bool, yes: bool) -> int:
    """Ask for confirmation and uninstall."""
    steps = user_install.plan_uninstall(target, options)
    if not steps:
        say("upstash-helper is not installed by this script.")
        return 0
    if dry_run:
        for step in steps:
            print(f"Would {step}")
        return 0
    if not yes:
        confirm(steps)
    code = user_install.uninstall(target, options)
    if not code:
        say(
            "upstash-helper was removed."
            if options.purge
            else "upstash-helper was removed. Settings and data are kept."
        )
    return code


def confirm(steps: list[str]) -> None:
    """
    Ask the user for confirmation.

    Raises:
        SetupError: If the user declines, or there is no terminal.
    """
    from upstash_helper.system import console

    if not console.is_terminal(sys.stdin):
        raise SetupError("Confirmation is required, but there is no terminal. Pass --yes to continue without.")
    say("This will\n" + "\n".join(f"  {step}" for step in steps))
    print("Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise SetupError("Nothing was changed.")


if __name__ == "__main__":
    run_main(main)
