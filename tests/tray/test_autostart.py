"""Starting the tray at login: what is written where, and how it is read."""

from __future__ import annotations

import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
    """Each that is a file."""
    command = [sys.executable, "-P", "-m", "upstash_helper", "tray"]
    if request.param == "desktop":
        return DesktopAutostart(tmp_path / "new" / "autostart", "upstash-helper-tray", command)
    return LaunchAgent(tmp_path / "new" / "LaunchAgents", "io.upstash-helper.tray", command)


def test_it_is_on_after_it_was_switched_on_and_off_after_off(autostart: Autostart) -> None:
    """Twice is as good as once."""
    states = [autostart.state()]
    for change in (autostart.enable, autostart.enable, autostart.disable, autostart.disable, autostart.enable):
        change()
        states.append(autostart.state())

    assert [False, True, True, False, False, True] == states


# --- Linux ------------------------------------------------------------------------------------------------------------


def launched(text: str) -> list[str]:
    """Return what a desktop runs for an entry: the rules of the specification, read from its text."""
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
            assert quoted or character not in "\t\n'\\><~|&;$*?#()`", "a reserved character outside of quotes"
            current, started = current + character, True
    return [*arguments, current] if started else arguments


@pytest.mark.parametrize("command", [AWKWARD, *([one, one] for one in AWKWARD if one)])
def test_a_desktop_runs_exactly_the_command(tmp_path: Path, command: Sequence[str]) -> None:
    """Whatever the folders are called."""
    text = DesktopAutostart(tmp_path, "tray", command).content()

    assert list(command) == launched(text)


def test_glib_runs_exactly_the_command(tmp_path: Path) -> None:
    """What GNOME starts programs with agrees."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have ways of their own")
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


def test_the_entry_is_valid(entry: DesktopAutostart) -> None:
    """As the desktops' own tool sees it."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have ways of their own")
    validate = shutil.which("desktop-file-validate")
    if validate is None:
        pytest.skip("desktop-file-validate is missing: apt-get install desktop-file-utils")
    entry.enable()

    ran = subprocess.run([validate, str(entry.file)], capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


@pytest.mark.parametrize("line", ["Hidden=true", "X-GNOME-Autostart-enabled=false", "TryExec=/gone/python"])
def test_what_the_user_switched_off_is_off(entry: DesktopAutostart, line: str) -> None:
    """Where desktops let them, or because the Python that it names is gone; it can be switched on again."""
    entry.enable()
    kept = [one for one in entry.file.read_text().splitlines() if one.partition("=")[0] != line.partition("=")[0]]
    entry.file.write_text("\n".join([*kept, line, ""]))

    state = entry.state()
    entry.enable()

    assert (False, True) == (state, entry.state())


@pytest.mark.parametrize("content", [b"", b"garbage \xff\xfe", b"[Other]\nExec=/bin/true\n"])
def test_a_file_that_is_no_entry_is_off(entry: DesktopAutostart, content: bytes) -> None:
    """It starts nothing."""
    entry.file.parent.mkdir()
    entry.file.write_bytes(content)

    assert entry.state() is False


@pytest.mark.skipif(sys.platform != "linux", reason="platform: macOS and Windows have ways of their own")
def test_it_goes_where_the_desktop_looks(tmp_path: Path) -> None:
    """A profile has a file of its own, and a world that a login does not know of has none."""
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


def test_a_world_of_its_own_cannot_be_started_at_login(tmp_path: Path) -> None:
    """It is named by a variable of a terminal."""
    none = autostart_here("default", environ={"UPSTASH_HELPER_HOME": str(tmp_path)})
    none.enable()
    none.disable()

    assert isinstance(none, NoAutostart)
    assert none.state() is None


def test_the_command_waits_for_the_panel() -> None:
    """Which may come after it; the profile is named where it is not the usual one."""
    assert ["tray", "--wait", "60"] == command_at_login("default")[-3:]
    assert ["--profile", "second", "tray"] == command_at_login("second")[-5:-2]
    assert "--profile" not in command_at_login("default")


# --- macOS ------------------------------------------------------------------------------------------------------------


def test_launchd_runs_exactly_the_command(tmp_path: Path) -> None:
    """At login, in the user's graphical session."""
    agent = LaunchAgent(tmp_path, "io.upstash-helper.tray", [one.replace("\0", "") for one in AWKWARD])

    agent.enable()
    found = plistlib.loads(agent.file.read_bytes())

    assert tmp_path / "io.upstash-helper.tray.plist" == agent.file
    assert (AWKWARD, True, "io.upstash-helper.tray") == (found["ProgramArguments"], found["RunAtLoad"], found["Label"])


@pytest.mark.parametrize("content", [b"", b"garbage", plistlib.dumps({"RunAtLoad": True, "Disabled": True})])
def test_an_agent_that_is_disabled_or_none_is_off(tmp_path: Path, content: bytes) -> None:
    """It starts nothing."""
    agent = LaunchAgent(tmp_path, "tray", ["/bin/true"])
    agent.file.write_bytes(content)

    assert agent.state() is False


# --- Windows ----------------------------------------------------------------------------------------------------------

if sys.platform == "win32":
    import secrets
    import winreg

    from upstash_helper.service.registry import RunKey

    def test_the_registry_has_it() -> None:
        """As a value of the user's; what the Task Manager has switched off is off, until it is wanted again."""
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
