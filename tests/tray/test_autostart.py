"""Starting the tray at login: the files that are written, and how desktops interpret them."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.launchctl import Launchctl
from tests.support.until import until
from upstash_helper.service import quoting
from upstash_helper.service.autostart import (
    Autostart,
    DesktopAutostart,
    LaunchAgent,
    NoAutostart,
    autostart_here,
    command_at_login,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

AWKWARD = [
    "/home/a b/.venv/bin/python",
    "plain",
    "",
    "100%",
    "%f",
    "$HOME",
    "`id`",
    'say "hi"',
    "it's",
    r"back\slash",
    "a;b&c|d<e>f*g?h#i(j)k~l",
    "tab\there",
    "new\nline",
    "Grüße 世界",
    r"\s\n",
]


@pytest.fixture(name="entry")
def _entry(tmp_path: Path) -> DesktopAutostart:
    return DesktopAutostart(tmp_path / "autostart", "upstash-helper-tray", [sys.executable, "-m", "upstash_helper"])


@pytest.fixture(params=["desktop", "launchd"])
def autostart(request: pytest.FixtureRequest, tmp_path: Path) -> Autostart:
    """Each implementation that writes a file."""
    command = [sys.executable, "-P", "-m", "upstash_helper", "tray"]
    if request.param == "desktop":
        return DesktopAutostart(tmp_path / "new" / "autostart", "upstash-helper-tray", command)
    return LaunchAgent(tmp_path / "new" / "LaunchAgents", "io.upstash-helper.tray", command)


def test_enable_and_disable_are_idempotent(autostart: Autostart) -> None:
    """The state follows the last call."""
    states = [autostart.state()]
    for change in (autostart.enable, autostart.enable, autostart.disable, autostart.disable, autostart.enable):
        change()
        states.append(autostart.state())

    assert [False, True, True, False, False, True] == states


# --- Linux ------------------------------------------------------------------------------------------------------------


def launched(text: str) -> list[str]:
    """Return the command that a desktop runs for an entry, according to the Desktop Entry Specification."""
    keys = quoting.parse_desktop_entry(text)
    arguments, current, quoted, started = list[str](), "", False, False
    characters = iter(keys["Exec"])
    for character in characters:
        if character == '"':
            quoted, started = not quoted, True
        elif quoted and character == "\\":
            current += next(characters)
        elif character == "%":
            following = next(characters)
            assert "%" == following, "a field code"
            current += "%"
        elif character == " " and not quoted:
            arguments += [current] if started else []
            current, started = "", False
        else:
            assert quoted or character not in "\t\n'\\><~|&;$*?#()`", "a reserved character outside quotes"
            current, started = current + character, True
    return [*arguments, current] if started else arguments


@pytest.mark.parametrize("command", [AWKWARD, *([one, one] for one in AWKWARD if one)])
def test_desktop_entry_contains_exactly_the_command(tmp_path: Path, command: Sequence[str]) -> None:
    """Special characters in the names of folders are escaped."""
    text = DesktopAutostart(tmp_path, "tray", command).content()

    assert list(command) == launched(text)


def test_glib_runs_exactly_the_command(tmp_path: Path) -> None:
    """GNOME starts programs with it."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have other mechanisms")
    launch = shutil.which("gio")
    if launch is None:
        pytest.skip("gio is missing: apt-get install libglib2.0-bin")
    folder = tmp_path / "a b $x 'y'"
    folder.mkdir()
    script, seen = folder / "run me.sh", tmp_path / "seen"
    script.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" > '{seen}.new'\nmv '{seen}.new' '{seen}'\n")
    script.chmod(0o700)
    arguments = [one for one in AWKWARD if one]
    entry = DesktopAutostart(tmp_path, "tray", [str(script), *arguments])
    entry.enable()

    subprocess.run([launch, "launch", str(entry.file)], check=True, timeout=30)

    until(seen.exists)
    assert arguments == seen.read_bytes().decode().split("\0")[:-1]


def test_desktop_entry_is_valid(entry: DesktopAutostart) -> None:
    """desktop-file-validate accepts it."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have other mechanisms")
    validate = shutil.which("desktop-file-validate")
    if validate is None:
        pytest.skip("desktop-file-validate is missing: apt-get install desktop-file-utils")
    entry.enable()

    ran = subprocess.run([validate, str(entry.file)], capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


@pytest.mark.parametrize("line", ["Hidden=true", "X-GNOME-Autostart-enabled=false", "TryExec=/gone/python"])
def test_entry_disabled_by_the_desktop_is_off(entry: DesktopAutostart, line: str) -> None:
    """It is also off if its Python is gone. It can be enabled again."""
    entry.enable()
    kept = [one for one in entry.file.read_text().splitlines() if one.partition("=")[0] != line.partition("=")[0]]
    entry.file.write_text("\n".join([*kept, line, ""]))

    state = entry.state()
    entry.enable()

    assert (False, True) == (state, entry.state())


@pytest.mark.parametrize("content", [b"", b"garbage \xff\xfe", b"[Other]\nExec=/bin/true\n"])
def test_invalid_entry_is_off(entry: DesktopAutostart, content: bytes) -> None:
    """Desktops do not start it."""
    entry.file.parent.mkdir()
    entry.file.write_bytes(content)

    assert entry.state() is False


@pytest.mark.skipif(sys.platform != "linux", reason="platform: macOS and Windows have other mechanisms")
def test_entry_is_in_the_autostart_folder(tmp_path: Path) -> None:
    """Each profile has its own file."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    usual = autostart_here("default", environ=environ)
    second = autostart_here("second", environ=environ)
    relative = autostart_here("default", environ={"XDG_CONFIG_HOME": "config"})

    assert isinstance(usual, DesktopAutostart)
    assert isinstance(second, DesktopAutostart)
    assert isinstance(relative, DesktopAutostart)
    assert tmp_path / "autostart" / "upstash-helper-tray.desktop" == usual.file
    assert "upstash-helper-tray-second.desktop" == second.file.name
    assert Path.home() / ".config" / "autostart" == relative.file.parent


def test_home_from_the_environment_cannot_be_started_at_login(tmp_path: Path) -> None:
    """The environment variable of a terminal is not set at login."""
    none = autostart_here("default", environ={"UPSTASH_HELPER_HOME": str(tmp_path)})
    none.enable()
    none.disable()

    assert isinstance(none, NoAutostart)
    assert none.state() is None


def test_command_at_login_waits_for_the_panel() -> None:
    """It names the profile unless it is the default one."""
    assert ["tray", "--wait", "60"] == command_at_login("default")[-3:]
    assert ["--profile", "second", "tray"] == command_at_login("second")[-5:-2]
    assert "--profile" not in command_at_login("default")


# --- macOS ------------------------------------------------------------------------------------------------------------


def test_launch_agent_contains_exactly_the_command(tmp_path: Path) -> None:
    """Launchd runs it at login in the user's graphical session."""
    agent = LaunchAgent(tmp_path, "io.upstash-helper.tray", [one.replace("\0", "") for one in AWKWARD])

    agent.enable()
    found = plistlib.loads(agent.file.read_bytes())

    assert tmp_path / "io.upstash-helper.tray.plist" == agent.file
    assert (AWKWARD, True, "io.upstash-helper.tray") == (found["ProgramArguments"], found["RunAtLoad"], found["Label"])


@pytest.mark.parametrize("content", [b"", b"garbage", plistlib.dumps({"RunAtLoad": True, "Disabled": True})])
def test_disabled_or_invalid_agent_is_off(tmp_path: Path, content: bytes) -> None:
    """Launchd does not start it."""
    agent = LaunchAgent(tmp_path, "tray", ["/bin/true"])
    agent.file.write_bytes(content)

    assert agent.state() is False


def test_agent_that_launchd_does_not_start_is_off(tmp_path: Path) -> None:
    """It was turned off with launchctl. The tray's menu shows that, and can turn it on again."""
    found = Launchctl(tmp_path / "launchd")
    agent = LaunchAgent(tmp_path, "io.upstash-helper.tray", ["/bin/true"], runner=found)
    agent.enable()
    found.set(disabled=["io.upstash-helper.tray"])

    turned_off = agent.state()
    agent.enable()

    assert (False, True) == (turned_off, agent.state())


# --- Windows ----------------------------------------------------------------------------------------------------------

if sys.platform == "win32":
    import secrets
    import winreg

    from upstash_helper.service.registry import RunKey

    def test_run_key_follows_the_task_manager() -> None:
        """An entry that the Task Manager has disabled is off until it is enabled again."""
        name = f"upstash-helper-test-{secrets.token_hex(4)}"
        key = RunKey(name, r'"C:\a b\pythonw.exe" -m upstash_helper tray')
        approved = r"Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
        states = [key.state()]
        try:
            key.enable()
            states.append(key.state())
            with winreg.CreateKey(winreg.HKEY_CURRENT_USER, approved) as folder:
                winreg.SetValueEx(folder, name, 0, winreg.REG_BINARY, b"\x03" + bytes(11))
            states.append(key.state())
            key.enable()
            states.append(key.state())
        finally:
            key.disable()
            key.disable()

        assert [False, True, False, True, False] == [*states, key.state()]
