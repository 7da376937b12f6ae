"""Where a user's own installation goes, and what a shell finds of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from install import launcher
from install.launcher import BATCH
from install.places import Places, places
from install.progress import SetupError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder whose name has a space, a quote and a letter that is not ASCII."""
    folder = tmp_path / "Zoë's home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture(params=[False, True], ids=["link", "batch"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """An installation of each kind."""
    data = tmp_path / "Zoë's data" / "upstash-helper"
    name = "bin/upstash-helper.cmd" if request.param else "../../bin/upstash-helper"
    return Places(data, Path(os.path.normpath(data / name)), windows=request.param)


@pytest.mark.parametrize(
    ("platform", "data", "command"),
    [
        ("linux", ".local/share/upstash-helper", ".local/bin/upstash-helper"),
        ("freebsd14", ".local/share/upstash-helper", ".local/bin/upstash-helper"),
        ("darwin", "Library/Application Support/upstash-helper", ".local/bin/upstash-helper"),
    ],
)
def test_each_platform_has_its_customs(home: Path, platform: str, data: str, command: str) -> None:
    """
    The environment is in the user's data folder, the command where users' own programs are.
    """
    if sys.platform == "win32":
        pytest.skip("platform: home folders of other systems")
    found = places(platform=platform, environ={})

    assert (home / data / "venv", home / command) == (found.venv, found.launcher)
    assert home / data / "venv/bin/upstash-helper" == found.program


def test_windows_has_folders_of_its_own() -> None:
    """
    Below the local application data; the command is in a folder that has nothing but it.
    """
    found = places(platform="win32", environ={"LOCALAPPDATA": "C:/Users/Zoë"})

    assert Path("C:/Users/Zoë/upstash-helper/venv/Scripts/upstash-helper.exe") == found.program
    assert Path("C:/Users/Zoë/upstash-helper/bin/upstash-helper.cmd") == found.launcher


@pytest.mark.parametrize(("given", "used"), [("/data", True), ("relative", False), ("", False)])
def test_a_data_folder_of_ones_own_is_respected(home: Path, given: str, *, used: bool) -> None:
    """
    XDG_DATA_HOME is, if it is absolute, as its specification wants it.
    """
    found = places(platform="linux", environ={"XDG_DATA_HOME": given})

    assert (Path("/data") if used else home / ".local/share") / "upstash-helper" == found.data


@pytest.mark.parametrize("home_variable", ["/no/such/folder", "relative"])
def test_a_home_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, home_variable: str) -> None:
    """
    A service account's home, which nobody made, is an error and is not made.
    """
    monkeypatch.setenv("HOME", home_variable)

    with pytest.raises(SetupError, match="set the variable HOME"):
        places(platform="linux", environ={})


def test_windows_without_its_folder_is_told() -> None:
    """
    The variable that is missing is named.
    """
    with pytest.raises(SetupError, match="LOCALAPPDATA"):
        places(platform="win32", environ={})


def test_a_launcher_is_made_once_and_removed(there: Places) -> None:
    """
    It is made with its folder, made again without harm, and known as ours when it goes.
    """
    assert not launcher.is_ours(there)

    launcher.put(there)
    launcher.put(there)

    assert launcher.is_ours(there)
    launcher.remove(there)
    assert not os.path.lexists(there.launcher)
    launcher.remove(there)


def test_a_link_leads_to_the_program(there: Places) -> None:
    """
    On Windows, which asks for a right to make links, a batch file calls it by a path relative to its own.
    """
    launcher.put(there)

    if there.windows:
        assert there.launcher.read_bytes() == BATCH.encode()
        assert there.launcher.parent / ".." / "venv/Scripts/upstash-helper.exe" == Path(
            BATCH.partition('"')[2].partition('"')[0].replace("%~dp0", f"{there.launcher.parent}/").replace("\\", "/")
        )
        assert BATCH.encode().isascii()
    else:
        assert there.launcher.readlink() == there.program


@pytest.mark.parametrize("kind", ["file", "link", "broken"])
def test_another_programs_launcher_is_left_alone(there: Places, kind: str, tmp_path: Path) -> None:
    """
    What pipx, uv or the user put there is named, neither replaced nor removed.
    """
    there.launcher.parent.mkdir(parents=True)
    if kind == "file":
        there.launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    else:
        target = tmp_path / "theirs"
        if kind == "link":
            target.touch()
        there.launcher.symlink_to(target)

    with pytest.raises(SetupError, match=r"is there already, and not from this script.*pipx uninstall upstash-helper"):
        launcher.put(there)
    launcher.remove(there)

    assert os.path.lexists(there.launcher)


def test_a_shell_that_does_not_find_it_is_told_how(there: Places) -> None:
    """
    Nothing is said where the folder is on the PATH.
    """
    folder = there.launcher.parent

    assert launcher.advice(there, {"PATH": os.pathsep.join(["/usr/bin", str(folder)])}) is None
    said = launcher.advice(there, {"PATH": "/usr/bin"})
    assert said is not None
    assert f"{folder} is not on your PATH" in said
    assert ("Environment Variables" if there.windows else 'export PATH="$HOME/.local/bin:$PATH"') in said
