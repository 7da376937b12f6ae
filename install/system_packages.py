"""The Debian packages that some tests need. Without them, these tests are skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from install.environment import ROOT
from install.progress import CommandFailed, run_quietly, say


@dataclass(frozen=True)
class Package:
    """A Debian package, and a program in it that shows whether it is installed."""

    name: str
    program: str
    reason: str


PACKAGES = (
    Package("chromium", "chromium", "a browser for the pages, and for attacks from hostile pages"),
    Package("desktop-file-utils", "desktop-file-validate", "validates the autostart entries"),
    Package("libglib2.0-bin", "gio", "opens folders and starts autostart entries like a desktop"),
    Package("dbus", "dbus-run-session", "a private session bus for the keyring tests"),
    Package("curl", "curl", "the client in the README's example of an app that requests access"),
    Package("gnome-keyring", "gnome-keyring-daemon", "a real keyring, which can be locked and can fail"),
    Package("groff-base", "groff", "renders and checks the man pages"),
    Package("mandoc", "mandoc", "checks the man pages more strictly, as on BSD and macOS"),
    Package("man-db", "man", "shows a man page like a user sees it"),
    Package("xvfb", "Xvfb", "a display for the tray icon and the clipboard"),
    Package("xclip", "xclip", "the X11 clipboard, which the tray copies to"),
    Package("xfce4-panel", "xfce4-panel", "a real panel, which shows the tray icon and its menu"),
    Package(
        "systemd", "systemd-socket-activate", "activates the daemon by its socket, and is a user's service manager"
    ),
    Package("redis-tools", "redis-cli", "the usual client of a new database"),
)

_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300")  # in seconds; another installation may be running
_VARIABLES = {"DEBIAN_FRONTEND": "noninteractive"}


def missing(
    packages: Iterable[Package] = PACKAGES, *, find: Callable[[str], str | None] = shutil.which
) -> tuple[Package, ...]:
    """Return the packages that are not installed."""
    return tuple(package for package in packages if find(package.program) is None)


def commands_for(packages: Iterable[Package], *, as_root: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the command that updates the package lists, and the one that installs ``packages``."""
    # sudo clears the environment, so the variables are set after it.
    apt = (*as_root, "env", *(f"{name}={value}" for name, value in _VARIABLES.items()), *_APT)
    names = [package.name for package in packages]
    return (*apt, "update"), (*apt, "install", "--no-install-recommends", *names)


def install_missing() -> None:
    """Install missing packages on Debian, if that is possible without a password. Never fails."""
    packages = missing()
    if not packages or not sys.platform.startswith("linux"):
        return
    names = " ".join(package.name for package in packages)
    as_root = _root_prefix()
    if as_root is None:
        say(f"Tests that need {names} will be skipped: installing requires apt-get, and root or passwordless sudo.")
        return
    update, install = commands_for(packages, as_root=as_root)
    for package in packages:
        say(f"Installing {package.name}: {package.reason}.")
    try:
        # Outdated lists may be good enough. If not, the next command fails.
        _try_quietly("Updating the package lists", update)
        run_quietly(f"Installing {names}", install, cwd=ROOT)
    except CommandFailed as error:
        say(f"{error.output}\n\n{error} Tests that need {names} will be skipped.")


def _try_quietly(label: str, command: Sequence[str]) -> None:
    try:
        run_quietly(label, command, cwd=ROOT)
    except CommandFailed as error:
        say(str(error))


def _root_prefix() -> Sequence[str] | None:
    """Return the prefix that runs a command as root without a password (may be empty), or None if there is none."""
    if sys.platform == "win32" or shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    probe = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return None if probe.returncode else (sudo, "-n")
