"""The Debian packages that some tests need, each with its reason. Without one, the tests that need it are skipped."""

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
    """A Debian package, known by a program in it."""

    name: str
    program: str
    reason: str


PACKAGES = (
    Package("chromium", "chromium", "a real browser, for the pages and for what hostile pages try"),
    Package("desktop-file-utils", "desktop-file-validate", "the judge of what starts the tray at login"),
    Package("libglib2.0-bin", "gio", "opens folders as a desktop does"),
    Package("dbus", "dbus-run-session", "a private session bus, on which the tests of the keyring run"),
    Package("curl", "curl", "the client in which the README shows how an app is let in"),
    Package("gnome-keyring", "gnome-keyring-daemon", "a real keyring, that keeps, locks and fails as users' do"),
    Package("groff-base", "groff", "a typesetter, that judges the manual pages"),
    Package("mandoc", "mandoc", "another, of the BSDs and macOS, that judges them more sternly"),
    Package("man-db", "man", "shows a manual page as a user sees it"),
    Package("xvfb", "Xvfb", "a display, on which the tray icon is shown and the clipboard is used"),
    Package("xclip", "xclip", "the clipboard of a desktop with X11, which the tray copies to"),
    Package("xfce4-panel", "xfce4-panel", "a real panel, that shows the tray icon and its menu"),
    Package("systemd", "systemd-socket-activate", "starts the daemon as systemd does, alone and as the user's manager"),
    Package("redis-tools", "redis-cli", "the client that a person uses first on a new database"),
)

_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300")  # seconds: another installation may be running
_VARIABLES = {"DEBIAN_FRONTEND": "noninteractive"}


def missing(
    packages: Iterable[Package] = PACKAGES, *, find: Callable[[str], str | None] = shutil.which
) -> tuple[Package, ...]:
    """Return the packages whose program ``find`` does not find."""
    return tuple(package for package in packages if find(package.program) is None)


def commands_for(packages: Iterable[Package], *, as_root: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the command that refreshes the package lists and the one that installs ``packages``."""
    # sudo clears the environment, so the variables are set behind it.
    apt = (*as_root, "env", *(f"{name}={value}" for name, value in _VARIABLES.items()), *_APT)
    names = [package.name for package in packages]
    return (*apt, "update"), (*apt, "install", "--no-install-recommends", *names)


def provide() -> None:
    """Install what is missing, if this is Debian and nobody has to be asked; say so if not. Never fails."""
    wanted = missing()
    if not wanted or not sys.platform.startswith("linux"):
        return
    names = " ".join(package.name for package in wanted)
    as_root = _root_prefix()
    if as_root is None:
        say(f"Tests that need {names} will be skipped: it takes apt-get to install that, and root or a ready sudo.")
        return
    update, install = commands_for(wanted, as_root=as_root)
    for package in wanted:
        say(f"Installing {package.name}: {package.reason}.")
    try:
        # Lists that are out of date may still do; if not, the next command says it.
        _try_quietly("Refreshing the package lists", update)
        run_quietly(f"Installing {names}", install, cwd=ROOT)
    except CommandFailed as error:
        say(f"{error.output}\n\n{error} Tests that need {names} will be skipped.")


def _try_quietly(label: str, command: Sequence[str]) -> None:
    try:
        run_quietly(label, command, cwd=ROOT)
    except CommandFailed as error:
        say(str(error))


def _root_prefix() -> Sequence[str] | None:
    """Return what makes a command run as root without a question: nothing, or sudo. None if nothing does."""
    if sys.platform == "win32" or shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    probe = subprocess.run([sudo, "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return None if probe.returncode else (sudo, "-n")
