"""Starting the tray when the user logs in, as each system has it; ``install`` writes what the tray's menu writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from upstash_helper.service import managed_files, templating
from upstash_helper.service.executable import this_program, without_console
from upstash_helper.service.templating import fill
from upstash_helper.settings.profiles import DEFAULT_PROFILE
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PANEL_SECONDS: Final = 60
"""How long the tray waits for the panel, which may come after it."""


class Autostart(Protocol):
    """Whether the tray starts when the user logs in."""

    def state(self) -> bool | None:
        """Return whether it does; None where that cannot be set."""

    def enable(self) -> None:
        """
        Have it start from the next login on.

        Raises:
            OSError: If that cannot be written.
        """

    def disable(self) -> None:
        """
        Have it not start any more.

        Raises:
            OSError: If that cannot be written.
        """


def autostart_here(profile: str, *, environ: Mapping[str, str] | None = None) -> Autostart:
    """Return how it is set on this system for ``profile``."""
    environ = os.environ if environ is None else environ
    if environ.get("UPSTASH_HELPER_HOME"):
        return NoAutostart()  # a login knows nothing of such a world
    command = command_at_login(profile)
    if sys.platform == "win32":
        return RunKey(tray_name(profile), subprocess.list2cmdline(command))
    if sys.platform == "darwin":
        return LaunchAgent(Path.home() / "Library" / "LaunchAgents", tray_label(profile), command)
    return DesktopAutostart(config_home(environ) / "autostart", tray_name(profile), command)


def command_at_login(profile: str) -> list[str]:
    """Return the command that starts the tray of ``profile``."""
    return tray_command(without_console(this_program()), profile)


def tray_command(program: Sequence[str], profile: str) -> list[str]:
    """Return the command that starts the tray of ``profile``, where ``program`` runs upstash-helper."""
    named = [] if profile == DEFAULT_PROFILE else ["--profile", profile]
    return [*program, *named, "tray", "--wait", str(PANEL_SECONDS)]


def tray_name(profile: str) -> str:
    """Return what the tray's entry is called."""
    return "upstash-helper-tray" if profile == DEFAULT_PROFILE else f"upstash-helper-tray-{profile}"


def tray_label(profile: str) -> str:
    """Return what launchd calls the tray."""
    return f"io.upstash-helper.{tray_name(profile)}"


def config_home(environ: Mapping[str, str]) -> Path:
    """Return ``XDG_CONFIG_HOME``, or what stands for it."""
    return _base(environ, "XDG_CONFIG_HOME", Path(".config"))


def data_home(environ: Mapping[str, str]) -> Path:
    """Return ``XDG_DATA_HOME``, or what stands for it."""
    return _base(environ, "XDG_DATA_HOME", Path(".local", "share"))


def _base(environ: Mapping[str, str], variable: str, usual: Path) -> Path:
    # https://specifications.freedesktop.org/basedir-spec/latest/: a relative path is to be ignored.
    given = Path(environ.get(variable, ""))
    return given if given.is_absolute() else Path.home() / usual


class NoAutostart:
    """It cannot be set."""

    def state(self) -> bool | None:
        """Return that it cannot be set."""
        return None

    def enable(self) -> None:
        """Do nothing."""

    def disable(self) -> None:
        """Do nothing."""


class DesktopAutostart:
    """Linux: https://specifications.freedesktop.org/autostart-spec/latest/."""

    def __init__(self, folder: Path, name: str, command: Sequence[str]) -> None:
        """
        Args:
            folder: Such as ``~/.config/autostart``.
            name: Of the file, without its ending.
            command: What is started.
        """
        self.file: Final = folder / f"{name}.desktop"
        self._command = command

    def state(self) -> bool | None:
        """Return whether the entry is there and counts. The user may have switched it off where desktops do."""
        try:
            keys = templating.read(self.file.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return False
        switched_off = keys.get("Hidden") == "true" or keys.get("X-GNOME-Autostart-enabled") == "false"
        program = keys.get("TryExec")
        return bool(keys.get("Exec")) and not switched_off and (program is None or Path(program).exists())

    def enable(self) -> None:
        """Write the entry, in place of one that is switched off or leads to a Python that is gone."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_files.write(self.file, self.content().encode())

    def disable(self) -> None:
        """Remove the entry."""
        self.file.unlink(missing_ok=True)

    def content(self) -> str:
        """Return the entry."""
        values = {
            "DESCRIPTION": templating.string("upstash-helper"),
            "TRY_EXEC": templating.string(self._command[0]),
            "EXEC": templating.string(templating.exec_value(self._command)),
        }
        text = fill("desktop/upstash-helper-tray.desktop", values)
        return managed_files.marked(text, ending=".desktop", world=managed_files.USUAL)


class LaunchAgent:
    """macOS: launchd.plist(5)."""

    def __init__(self, folder: Path, label: str, command: Sequence[str]) -> None:
        """
        Args:
            folder: ``~/Library/LaunchAgents``.
            label: Its name to launchd.
            command: What is started.
        """
        self.file: Final = folder / f"{label}.plist"
        self._label = label
        self._command = command

    def state(self) -> bool | None:
        """Return whether the agent is there and not disabled."""
        import plistlib

        try:
            agent = plistlib.loads(self.file.read_bytes())
        except (OSError, ValueError, plistlib.InvalidFileException):
            return False
        return isinstance(agent, dict) and bool(agent.get("RunAtLoad")) and not agent.get("Disabled")

    def enable(self) -> None:
        """Write the agent. It is not loaded now, for a tray is running already."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private_files.write(self.file, self.content())

    def disable(self) -> None:
        """Remove the agent."""
        self.file.unlink(missing_ok=True)

    def content(self) -> bytes:
        """Return the agent."""
        values = {"LABEL": templating.xml_text(self._label)}
        text = fill(
            "launchd/upstash-helper-tray.plist",
            values,
            lines={"PROGRAM_ARGUMENTS": templating.xml_strings(self._command)},
        )
        return managed_files.marked(text, ending=".plist", world=managed_files.USUAL).encode()


if sys.platform == "win32":
    import winreg

    _RUN: Final = r"Software\Microsoft\Windows\CurrentVersion\Run"
    # What the Task Manager's list of startup apps writes: the lowest bit of the first byte says "not".
    _APPROVED: Final = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"

    class RunKey:
        """Windows: a value below ``Run`` in the user's part of the registry."""

        def __init__(self, name: str, command: str) -> None:
            """
            Args:
                name: Of the value.
                command: What is started, as one line.
            """
            self._name = name
            self._command = command

        def state(self) -> bool | None:
            """Return whether the value is there, and the user has not switched it off in the Task Manager."""
            if not self._value(_RUN):
                return False
            approved = self._value(_APPROVED)
            return not (isinstance(approved, bytes) and approved[:1] and approved[0] & 1)

        def enable(self) -> None:
            """Write the value, and forget that the user had switched it off."""
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, _RUN) as key:
                winreg.SetValueEx(key, self._name, 0, winreg.REG_SZ, self._command)
            self._delete(_APPROVED)

        def disable(self) -> None:
            """Remove the value."""
            self._delete(_RUN)

        def value(self) -> object:
            """Return the command line that is there; None if there is none."""
            return self._value(_RUN)

        def _value(self, path: str) -> object:
            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path) as key:
                    return winreg.QueryValueEx(key, self._name)[0]
            except FileNotFoundError:
                return None

        def _delete(self, path: str) -> None:
            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, path, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.DeleteValue(key, self._name)
            except FileNotFoundError:
                return
