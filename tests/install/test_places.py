"""The paths of a user's installation, and its launcher."""

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
    """A home folder with a space, a quote, and a non-ASCII letter in its name."""
    folder = tmp_path / "Zoë's home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture(params=[False, True], ids=["link", "batch"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """The paths of an installation with each kind of launcher."""
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
def test_paths_on_each_platform(home: Path, platform: str, data: str, command: str) -> None:
    """
    The environment is in the user's data folder, and the launcher in the folder for the user's programs.
    """
    if sys.platform == "win32":
        pytest.skip("platform: home folders of other systems")
    found = places(platform=platform, environ={})

    assert (home / data / "venv", home / command) == (found.venv, found.launcher)
    assert home / data / "venv/bin/upstash-helper" == found.program


def test_paths_on_windows() -> None:
    """
    On Windows, both are in the local application data folder, and the launcher is in a separate folder.
    """
    found = places(platform="win32", environ={"LOCALAPPDATA": "C:/Users/Zoë"})

    assert Path("C:/Users/Zoë/upstash-helper/venv/Scripts/upstash-helper.exe") == found.program
    assert Path("C:/Users/Zoë/upstash-helper/bin/upstash-helper.cmd") == found.launcher


@pytest.mark.parametrize(("given", "used"), [("/data", True), ("relative", False), ("", False)])
def test_xdg_data_home(home: Path, given: str, *, used: bool) -> None:
    """
    XDG_DATA_HOME is used if it is absolute, as its specification requires.
    """
    found = places(platform="linux", environ={"XDG_DATA_HOME": given})

    assert (Path("/data") if used else home / ".local/share") / "upstash-helper" == found.data


@pytest.mark.parametrize("home_variable", ["/no/such/folder", "relative"])
def test_missing_home_is_an_error(monkeypatch: pytest.MonkeyPatch, home_variable: str) -> None:
    """
    A home folder that does not exist, as for service accounts, is an error and is not created.
    """
    monkeypatch.setenv("HOME", home_variable)

    with pytest.raises(SetupError, match="set the variable HOME"):
        places(platform="linux", environ={})


def test_missing_localappdata_is_an_error() -> None:
    """
    The error names the missing variable.
    """
    with pytest.raises(SetupError, match="LOCALAPPDATA"):
        places(platform="win32", environ={})


def test_launcher_is_created_and_removed(target: Places) -> None:
    """
    The launcher is created with its folder, can be created again, and is recognized when it is removed.
    """
    assert not launcher.is_own(target)

    launcher.create(target)
    launcher.create(target)

    assert launcher.is_own(target)
    launcher.remove(target)
    assert not os.path.lexists(target.launcher)
    launcher.remove(target)


def test_launcher_points_to_the_program(target: Places) -> None:
    """
    The launcher is a link. On Windows, where links need a privilege, it is a batch file with a relative path.
    """
    launcher.create(target)

    if target.windows:
        assert target.launcher.read_bytes() == BATCH.encode()
        assert target.launcher.parent / ".." / "venv/Scripts/upstash-helper.exe" == Path(
            BATCH.partition('"')[2].partition('"')[0].replace("%~dp0", f"{target.launcher.parent}/").replace("\\", "/")
        )
        assert BATCH.encode().isascii()
    else:
        assert target.launcher.readlink() == target.program


@pytest.mark.parametrize("kind", ["file", "link", "broken"])
def test_launcher_of_another_program_is_left_alone(target: Places, kind: str, tmp_path: Path) -> None:
    """
    A launcher created by pipx, uv, or the user is reported, and neither replaced nor removed.
    """
    target.launcher.parent.mkdir(parents=True)
    if kind == "file":
        target.launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    else:
        other = tmp_path / "other"
        if kind == "link":
            other.touch()
        target.launcher.symlink_to(other)

    with pytest.raises(SetupError, match=r"was not created by this script.*pipx uninstall upstash-helper"):
        launcher.create(target)
    launcher.remove(target)

    assert os.path.lexists(target.launcher)


def test_path_hint(target: Places) -> None:
    """
    If the launcher's folder is not on the PATH, a hint shows how to add it.
    """
    folder = target.launcher.parent

    assert launcher.path_hint(target, {"PATH": os.pathsep.join(["/usr/bin", str(folder)])}) is None
    hint = launcher.path_hint(target, {"PATH": "/usr/bin"})
    assert hint is not None
    assert f"{folder} is not on your PATH" in hint
    assert ("Environment Variables" if target.windows else 'export PATH="$HOME/.local/bin:$PATH"') in hint
