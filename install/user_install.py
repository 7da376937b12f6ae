"""Installing and uninstalling for one user: the environment, the launcher, and the service."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from install import launcher
from install.environment import ROOT, RUNTIME, Environment, is_environment
from install.foreground import run
from install.places import PROGRAM, Places
from install.progress import SetupError, say

_PROGRAM_SECONDS = 120.0
"""Longer than the program itself waits for a daemon to stop."""


@dataclass(frozen=True)
class Options:
    """The options of an installation."""

    tray: bool = True
    """Show the tray icon at login."""
    service: bool = True
    """Start the daemon at login. Without this, only the program is installed."""
    purge: bool = False
    """When uninstalling, also remove settings and the connection."""

    @property
    def install_arguments(self) -> Sequence[str]:
        """The program's arguments to install the service."""
        return ("install", *(() if self.tray else ("--no-tray",)))

    @property
    def uninstall_arguments(self) -> Sequence[str]:
        """The program's arguments to uninstall the service. The user has already confirmed."""
        return ("uninstall", *(("--purge",) if self.purge else ()), "--yes")


def plan_install(places: Places, options: Options) -> Iterator[str]:
    """
    Return descriptions of the steps of ``install``.

    Raises:
        SetupError: If it would be refused.
    """
    _reject_sudo()
    _reject_service_of_root(options)
    launcher.check_name(places)
    verb = "update" if places.program.exists() else "create"
    yield f"Would {verb} {places.venv} with the packages in {RUNTIME} and a copy of {ROOT}"
    if not launcher.is_own(places):
        yield f"Would create {places.launcher}, which points to {places.program}"
    if options.service:
        yield f"Would run: {PROGRAM} {' '.join(options.install_arguments)}"


def install(places: Places, options: Options) -> int:
    """
    Install or upgrade the program, and install the service. Return the exit code of the latter.

    Raises:
        SetupError: If the program cannot be installed.
    """
    _reject_sudo()
    _reject_service_of_root(options)
    launcher.check_name(places)
    was_running = stop(places)
    Environment(standalone=places.venv).prepare(RUNTIME)
    launcher.create(places)
    say(f"{_version(places)} is installed: {places.launcher}")
    code = start(places, options, was_running=was_running)
    hint = launcher.path_hint(places)
    if hint:
        say(f"\n{hint}")
    return code


def start(places: Places, options: Options, *, was_running: bool) -> int:
    """Install the service, or start the daemon again if it was running. Return the program's exit code."""
    if options.service:
        return run([str(places.program), *options.install_arguments])
    return run([str(places.program), "start"]) if was_running else 0


def plan_uninstall(places: Places, options: Options) -> list[str]:
    """Return descriptions of the steps of ``uninstall``. Empty if nothing is installed."""
    steps = []
    if options.service and places.program.exists():
        steps.append(f"run: {PROGRAM} {' '.join(options.uninstall_arguments)}")
    if launcher.is_own(places):
        steps.append(f"remove {places.launcher}")
    if is_environment(places.venv):
        steps.append(f"remove {places.venv}")
    return steps


def uninstall(places: Places, options: Options) -> int:
    """
    Uninstall the service and the program. If uninstalling the service fails, nothing is removed.

    Raises:
        SetupError: If something cannot be removed.
    """
    if places.program.exists():
        if options.service:
            code = run([str(places.program), *options.uninstall_arguments])
            if code:
                say(f"Nothing was removed (exit code {code}). To remove the program anyway, add --no-service.")
                return code
        stop(places)
    # A module of the checkout: the scripts run before it is installed.
    from upstash_helper.system import open_files

    launcher.remove(places)
    try:
        if is_environment(places.venv):
            open_files.remove_tree(places.venv)
        _remove_empty(places)
    except OSError as error:
        raise SetupError(
            f"Cannot delete {error.filename}: {error.strerror}. Stop the programs that run from {places.venv}, then "
            "run the same command again."
        ) from error
    return 0


def _remove_empty(places: Places) -> None:
    """Remove the folders of this installation if they are empty."""
    folders = [places.data] if not places.windows else [places.launcher.parent, places.data]
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def stop(places: Places, *, seconds: float = _PROGRAM_SECONDS) -> bool:
    """
    Stop the daemon of this installation, because it imports modules lazily, and its files are about to change.

    Args:
        places: The places of the installation.
        seconds: How long this may take.

    Returns:
        Whether it was running.
    """
    if not places.program.exists():
        return False
    from upstash_helper.system import bounded_run

    try:
        done = bounded_run.run([str(places.program), "stop", "--json"], seconds=seconds, descendants_live=True)
        if done.code is None:
            say(f"The running daemon was not stopped: {places.program} did not exit within {seconds:g} seconds.")
            return False
        if done.code:
            problem = json.loads(done.err.strip().rpartition(b"\n")[2])
            say(f"The running daemon was not stopped. {problem['detail']}")
            return False
        return bool(json.loads(done.out)["was_running"])
    except (OSError, ValueError, KeyError, TypeError):
        # The installation is broken, and is repaired or removed now.
        return False


def _version(places: Places) -> str:
    from upstash_helper.system import bounded_run

    done = bounded_run.run([str(places.program), "--version"], seconds=_PROGRAM_SECONDS)
    if done.code != 0:
        if done.code is None:
            raise SetupError(f"{places.program} --version did not exit within {_PROGRAM_SECONDS:g} seconds.")
        raise SetupError(f"{places.program} failed:\n{done.err.decode(errors='replace')}")
    return done.out.decode(errors="replace").strip().replace(", version", "")


def _reject_service_of_root(options: Options) -> None:
    """Refuse before anything is changed: the program would be installed, and then refuse to install the service."""
    if options.service and sys.platform != "win32" and os.geteuid() == 0:
        raise SetupError(
            "Nothing was installed. The service cannot be installed for root: it opens its user's browser, and uses its"
            " user's keyring. Run this as that user, or, to install only the program for root, as in a container, add"
            " --no-service."
        )


def _reject_sudo(environ: Mapping[str, str] = os.environ) -> None:
    if sys.platform != "win32" and os.geteuid() == 0 and environ.get("SUDO_USER", "root") != "root":
        raise SetupError("Run this without sudo: it installs for the current user and needs no administrator rights.")
