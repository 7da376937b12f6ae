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
    Package("firefox-esr", "firefox-esr", "another browser, for what differs between browsers"),
    Package("desktop-file-utils", "desktop-file-validate", "validates the autostart entries"),
    Package("libglib2.0-bin", "gio", "opens folders and starts autostart entries like a desktop"),
    Package("dbus", "dbus-run-session", "a private session bus for the keyring tests"),
    Package("curl", "curl", "the client in the README's example of an app that requests access"),
    Package("gnome-keyring", "gnome-keyring-daemon", "a real keyring, which can be locked and can fail"),
    Package("libkf5wallet-bin", "kwalletd5", "KWallet, which can be closed and can ask for access"),
    Package("libqca-qt5-2-plugins", "kwalletd5", "the ciphers of KWallet, without which it stores nothing"),
    Package("keepassxc", "keepassxc", "a keyring that asks before a program may read an entry"),
    Package("groff-base", "groff", "renders and checks the man pages"),
    Package("mandoc", "mandoc", "checks the man pages more strictly, as on BSD and macOS"),
    Package("man-db", "man", "shows a man page like a user sees it"),
    Package("xvfb", "Xvfb", "a display for the tray icon and the clipboard"),
    Package("xclip", "xclip", "the X11 clipboard, which the tray copies to"),
    Package("xfce4-panel", "xfce4-panel", "a real panel, which shows the tray icon and its menu"),
    Package("sway", "sway", "a Wayland compositor, for the tray icon on Wayland"),
    Package("waybar", "waybar", "the usual panel on sway, which shows the tray icon and its menu"),
    Package("lxqt-panel", "lxqt-panel", "LXQt's panel, which has its own implementation of a tray"),
    Package("openbox", "openbox", "LXQt's window manager, which places its panel"),
    Package("trayer", "trayer", "a panel that shows legacy tray icons only"),
    Package("i3-wm", "i3bar", "i3's bar, which shows legacy tray icons only"),
    Package(
        "systemd", "systemd-socket-activate", "activates the daemon by its socket, and is a user's service manager"
    ),
    Package("wine", "wine", "runs the program and its tests for Windows"),
    Package("osslsigncode", "osslsigncode", "checks the signatures of the Windows interpreter"),
    Package("redis-tools", "redis-cli", "the usual client of a new database"),
)

_APT = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300")  # in seconds; another installation may be running
_VARIABLES = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
# After these errors of apt-get (in English, hence LC_ALL), installing less does not help. After others it does: apt-get
# installs nothing if it does not know one of the packages, as in another release or distribution.
_HOPELESS = ("Could not get lock", "Failed to fetch", "No space left", "Temporary failure resolving")


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


def install_missing(packages: Iterable[Package] = PACKAGES) -> None:
    """Install missing packages on Debian, if that is possible without a password. Never fails."""
    packages = missing(packages)
    if not packages or not sys.platform.startswith("linux"):
        return
    names = " ".join(package.name for package in packages)
    as_root = _root_prefix()
    if as_root is None:
        say(f"Tests that need {names} will be skipped: installing requires apt-get, and root or passwordless sudo.")
        return
    for package in packages:
        say(f"Installing {package.name}: {package.reason}.")
    update, install = commands_for(packages, as_root=as_root)
    # Outdated lists may be good enough. If not, the next command fails.
    if problem := _run("Updating the package lists", update):
        say(str(problem))
    problem = _run(f"Installing {names}", install)
    if problem is None:
        return
    if len(packages) == 1 or any(text in problem.output for text in _HOPELESS):
        say(f"{problem.output}\n\n{problem} Tests that need {names} will be skipped.")
        return
    say(f"{problem} Installing the packages one by one.")
    for package in packages:
        _, install = commands_for([package], as_root=as_root)
        if problem := _run(f"Installing {package.name}", install):
            say(f"{problem.output}\n\n{problem} Tests that need {package.name} will be skipped.")


def _run(label: str, command: Sequence[str]) -> CommandFailed | None:
    """Run a command, and return the problem if it fails."""
    try:
        run_quietly(label, command, cwd=ROOT)
    except CommandFailed as error:
        return error
    return None


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
