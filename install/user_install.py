"""Installing for one user, and undoing it: an environment, a launcher, and what the program itself sets up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from install import launcher
from install.environment import ROOT, RUNTIME, Environment, is_environment
from install.foreground import run
from install.places import PROGRAM, Places
from install.progress import SetupError, say


@dataclass(frozen=True)
class Wishes:
    """What the user asked for."""

    tray: bool = True
    """Show the icon at login."""
    service: bool = True
    """Have the daemon started with the session. Without, nothing but the program is put in place."""
    purge: bool = False
    """On the way out, leave nothing: neither settings nor the connection."""

    @property
    def setting_up(self) -> Sequence[str]:
        """The program's arguments that make it start with the session."""
        return ("install", *(() if self.tray else ("--no-tray",)))

    @property
    def taking_down(self) -> Sequence[str]:
        """Those that undo it. Whoever gives them has asked already."""
        return ("uninstall", *(("--purge",) if self.purge else ()), "--yes")


def plan(places: Places, wishes: Wishes) -> Iterator[str]:
    """Say what ``install`` would do."""
    launcher.refuse_to_replace(places)
    verb = "bring up to date" if places.program.exists() else "make"
    yield f"Would {verb} {places.venv}, with what {RUNTIME} pins and a copy of {ROOT}"
    if not launcher.is_ours(places):
        yield f"Would make {places.launcher}, which leads to {places.program}"
    if wishes.service:
        yield f"Would run: {PROGRAM} {' '.join(wishes.setting_up)}"


def install(places: Places, wishes: Wishes) -> int:
    """
    Put the program in place, or bring it up to date, and return the exit code of what it sets up itself.

    Raises:
        SetupError: If that cannot be done.
    """
    _refuse_sudo()
    launcher.refuse_to_replace(places)
    was_running = stop(places)
    Environment(apart=places.venv).prepare(RUNTIME)
    launcher.put(places)
    say(f"{_version(places)} is installed: {places.launcher}")
    code = begin(places, wishes, was_running=was_running)
    hint = launcher.advice(places)
    if hint:
        say(f"\n{hint}")
    return code


def begin(places: Places, wishes: Wishes, *, was_running: bool) -> int:
    """Have the program set up what starts it, or start it again if it was running; return its exit code."""
    if wishes.service:
        return run([str(places.program), *wishes.setting_up])
    return run([str(places.program), "start"]) if was_running else 0


def leftovers(places: Places, wishes: Wishes) -> list[str]:
    """Say what ``uninstall`` would do; nothing if nothing is installed."""
    found = []
    if wishes.service and places.program.exists():
        found.append(f"run: {PROGRAM} {' '.join(wishes.taking_down)}")
    if launcher.is_ours(places):
        found.append(f"remove {places.launcher}")
    if is_environment(places.venv):
        found.append(f"remove {places.venv}")
    return found


def uninstall(places: Places, wishes: Wishes) -> int:
    """
    Undo what ``install`` did. If the program cannot take down what it has set up, nothing is removed.

    Raises:
        SetupError: If something cannot be removed.
    """
    if places.program.exists():
        if wishes.service:
            code = run([str(places.program), *wishes.taking_down])
            if code:
                say(f"Nothing was removed. To remove the program nevertheless, add --no-service (exit code {code}).")
                return code
        stop(places)
    launcher.remove(places)
    try:
        if is_environment(places.venv):
            shutil.rmtree(places.venv)
        _remove_empty(places)
    except OSError as error:
        raise SetupError(
            f"{error.filename} could not be deleted ({error.strerror}): stop the programs that run from {places.venv}, "
            "then run the same command again."
        ) from error
    return 0


def _remove_empty(places: Places) -> None:
    """Remove the folders that were made for us; those in which others keep something stay."""
    folders = [places.data] if not places.windows else [places.launcher.parent, places.data]
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def stop(places: Places) -> bool:
    """
    Stop the daemon of this installation: it loads what it needs when it needs it, and would find other files.

    Returns:
        Whether it was running.
    """
    if not places.program.exists():
        return False
    try:
        done = subprocess.run(
            [str(places.program), "stop", "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )  # fmt: skip
        return bool(json.loads(done.stdout)["was_running"])
    except (OSError, ValueError, KeyError, TypeError):
        # It is broken, which is why it is installed again, or removed.
        return False


def _version(places: Places) -> str:
    done = subprocess.run([str(places.program), "--version"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{places.program} does not run:\n{done.stderr}")
    return done.stdout.strip().replace(", version", "")


def _refuse_sudo(environ: Mapping[str, str] = os.environ) -> None:
    if sys.platform != "win32" and os.geteuid() == 0 and environ.get("SUDO_USER", "root") != "root":
        raise SetupError("Run this without sudo: it installs for the user who runs it, and needs no further rights.")
