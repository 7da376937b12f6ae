"""Starting the tray at login. ``install`` and the tray's own menu write the same entries."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from upstash_helper.service import launchd, managed_files, quoting
from upstash_helper.service.executable import this_program, without_console
from upstash_helper.service.executor import CommandRunner, run
from upstash_helper.service.templating import fill
from upstash_helper.settings.profiles import DEFAULT_PROFILE, home_folder
from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PANEL_SECONDS: Final = 60
"""How long the tray waits for the panel, which may start after it."""


class Autostart(Protocol):
    """The setting whether the tray starts at login."""

    def state(self) -> bool | None:
        """Return whether it is enabled, or None if it cannot be changed."""

    def enable(self) -> None:
        """
        Start the tray from the next login on.

        Raises:
            OSError: If the entry cannot be written.
        """

    def disable(self) -> None:
        """
        Stop starting the tray at login.

        Raises:
            OSError: If the entry cannot be removed.
        """


def autostart_here(
    profile: str,
    *,
    environ: Mapping[str, str] | None = None,
    platform: str = sys.platform,
    user_home: Path | None = None,
) -> Autostart:
    """
    Return the setting of ``profile``.

    Args:
        profile: The profile's name.
        environ: The environment; by default that of this process.
        platform: Like ``sys.platform``.
        user_home: The user's home folder, where macOS keeps agents.
    """
    environ = os.environ if environ is None else environ
    if environ.get("UPSTASH_HELPER_HOME"):
        return NoAutostart()  # the variable is not set at login
    command = command_at_login(profile)
    if sys.platform == "win32":
        from upstash_helper.service.registry import RunKey

        return RunKey(tray_name(profile), subprocess.list2cmdline(command))
    if platform == "darwin":
        return LaunchAgent((user_home or home_folder()) / "Library" / "LaunchAgents", tray_label(profile), command)
    return DesktopAutostart(config_home(environ) / "autostart", tray_name(profile), command)


def command_at_login(profile: str) -> list[str]:
    """Return the command that starts the tray of ``profile`` at login."""
    return tray_command(without_console(this_program()), profile)


def tray_command(program: Sequence[str], profile: str) -> list[str]:
    """Return the command that starts the tray of ``profile``, with the command that runs upstash-helper."""
    options = [] if profile == DEFAULT_PROFILE else ["--profile", profile]
    return [*program, *options, "tray", "--wait", str(PANEL_SECONDS)]


def tray_name(profile: str) -> str:
    """Return the name of the tray's entry."""
    return "upstash-helper-tray" if profile == DEFAULT_PROFILE else f"upstash-helper-tray-{profile}"


def tray_label(profile: str) -> str:
    """Return the tray's launchd label."""
    return f"io.upstash-helper.{tray_name(profile)}"


def own_uid() -> int:
    """Return the user's ID; 0 on Windows, which has none."""
    if sys.platform == "win32":
        return 0
    return os.getuid()


def config_home(environ: Mapping[str, str]) -> Path:
    """Return ``XDG_CONFIG_HOME``, or its default."""
    return _base(environ, "XDG_CONFIG_HOME", Path(".config"))


def data_home(environ: Mapping[str, str]) -> Path:
    """Return ``XDG_DATA_HOME``, or its default."""
    return _base(environ, "XDG_DATA_HOME", Path(".local", "share"))


def _base(environ: Mapping[str, str], variable: str, default: Path) -> Path:
    # https://specifications.freedesktop.org/basedir-spec/latest/: relative paths must be ignored.
    value = Path(environ.get(variable, ""))
    return value if value.is_absolute() else home_folder() / default


class NoAutostart:
    """A setting that cannot be changed."""

    def state(self) -> bool | None:
        """Return None."""
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
            name: The file's name without extension.
            command: The command to start.
        """
        self.file: Final = folder / f"{name}.desktop"
        self._command = command

    def state(self) -> bool | None:
        """Return whether the entry exists and is effective. The user may have disabled it in the desktop's settings."""
        try:
            keys = quoting.parse_desktop_entry(self.file.read_text(encoding="utf-8-sig", errors="replace"))
        except OSError:
            return False
        disabled = keys.get("Hidden") == "true" or keys.get("X-GNOME-Autostart-enabled") == "false"
        program = keys.get("TryExec")
        return bool(keys.get("Exec")) and not disabled and (program is None or Path(program).exists())

    def enable(self) -> None:
        """Write the entry. It replaces one that is disabled, or that names a Python that no longer exists."""
        private_files.make_folder(self.file.parent)
        private_files.write(self.file, self.content().encode())

    def disable(self) -> None:
        """Remove the entry."""
        open_files.remove(self.file)

    def content(self) -> str:
        """Return the entry's content."""
        values = {
            "DESCRIPTION": quoting.desktop_string("upstash-helper"),
            "TRY_EXEC": quoting.desktop_string(self._command[0]),
            "EXEC": quoting.desktop_string(quoting.desktop_exec(self._command)),
        }
        text = fill("desktop/upstash-helper-tray.desktop", values)
        return managed_files.with_marker(text, extension=".desktop", home_id=managed_files.DEFAULT_HOME)


class LaunchAgent:
    """macOS: launchd.plist(5)."""

    def __init__(self, folder: Path, label: str, command: Sequence[str], *, runner: CommandRunner = run) -> None:
        """
        Args:
            folder: ``~/Library/LaunchAgents``.
            label: The agent's label.
            command: The command to start.
            runner: Runs launchd's commands.
        """
        self.file: Final = folder / f"{label}.plist"
        self._label = label
        self._command = command
        self._runner = runner

    def state(self) -> bool | None:
        """Return whether the agent exists, and is disabled neither in its file nor by launchd."""
        import plistlib

        try:
            agent = plistlib.loads(self.file.read_bytes())
        except (OSError, ValueError, plistlib.InvalidFileException):
            return False
        starts = isinstance(agent, dict) and bool(agent.get("RunAtLoad")) and not agent.get("Disabled")
        return starts and self._label not in (launchd.disabled(own_uid(), self._runner) or ())

    def enable(self) -> None:
        """Write the agent, and let launchd start it. It is not loaded now, because a tray is already running."""
        private_files.make_folder(self.file.parent)
        private_files.write(self.file, self.content())
        self._runner(launchd.enable(own_uid(), self._label, "").argv, environment={})

    def disable(self) -> None:
        """Remove the agent."""
        open_files.remove(self.file)

    def content(self) -> bytes:
        """Return the agent's property list."""
        values = {"LABEL": quoting.xml_text(self._label)}
        text = fill(
            "launchd/upstash-helper-tray.plist",
            values,
            lines={"PROGRAM_ARGUMENTS": quoting.xml_strings(self._command)},
        )
        return managed_files.with_marker(text, extension=".plist", home_id=managed_files.DEFAULT_HOME).encode()
