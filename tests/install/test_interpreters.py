"""Finding interpreters by version."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from install.installers import this_interpreter
from install.interpreters import NoInterpreter, candidates, find, supported_versions

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="platform: the stand-ins are shell scripts")

OTHER = "3.999"
"""A version that no machine has."""


def program(path: Path, text: str) -> Path:
    """Create a program that is a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def pretend(version: str, *, before: str = "pass") -> str:
    """Return the script of an interpreter that takes itself for another version."""
    # The code arrives as the argument of -c. It is run by this interpreter, after what is changed here.
    numbers = tuple(map(int, version.split(".")))
    code = f"import sys; sys.version_info = {(*numbers, 0)}; {before}; exec(sys.argv[-1])"
    return f'exec {shlex.quote(this_interpreter().path)} -I -c {shlex.quote(code)} "$@"'


def environment(folder: Path, **variables: str | Path) -> dict[str, str]:
    """Return the environment of a user who has nothing else."""
    return {"HOME": str(folder), "PATH": str(folder / "bin"), **{name: str(value) for name, value in variables.items()}}


def test_supported_versions_are_in_the_classifiers(tmp_path: Path) -> None:
    """
    The versions come from the classifiers, and are ordered as numbers.
    """
    lines = [f"Programming Language :: Python :: {version}" for version in ("3 :: Only", "3.11", "3.9", "3.10")]
    (tmp_path / "pyproject.toml").write_text(f"[project]\nclassifiers = {lines}\n", encoding="utf-8")

    assert ("3.9", "3.10", "3.11") == supported_versions(tmp_path)


def test_this_version_is_this_interpreter(tmp_path: Path) -> None:
    """
    The interpreter that runs the tests is found without any other.
    """
    this = this_interpreter()

    assert this == find(this.version, environment=environment(tmp_path))


@posix_only
@pytest.mark.parametrize(
    ("path", "variables"),
    [
        (f"bin/python{OTHER}", {}),
        (f".pyenv/versions/{OTHER}.1/bin/python", {}),
        (f"pyenv/versions/{OTHER}.1/bin/python", {"PYENV_ROOT": "pyenv"}),
        (f".local/share/uv/python/cpython-{OTHER}.1-linux-x86_64-gnu/bin/python", {}),
        (f"data/uv/python/cpython-{OTHER}.1-linux-x86_64-gnu/bin/python", {"XDG_DATA_HOME": "data"}),
        (f"uv/cpython-{OTHER}.1-linux-x86_64-gnu/bin/python", {"UV_PYTHON_INSTALL_DIR": "uv"}),
    ],
)
def test_interpreter_is_found(tmp_path: Path, path: str, variables: dict[str, str]) -> None:
    """
    An interpreter is found on the PATH, and in the folders of pyenv and of uv.
    """
    program(tmp_path / path, pretend(OTHER))
    folders = {name: tmp_path / value for name, value in variables.items()}

    found = find(OTHER, environment=environment(tmp_path, **folders))

    assert (OTHER, this_interpreter().identity) == (found.version, found.identity)


@posix_only
def test_shim_of_another_version_is_passed_over(tmp_path: Path) -> None:
    """
    Pyenv's shims are on the PATH for all versions, and fail for those that are not selected.
    """
    program(tmp_path / f"bin/python{OTHER}", "echo 'pyenv: command not found' >&2; exit 127")
    program(tmp_path / f".pyenv/versions/{OTHER}.0/bin/python", pretend(OTHER))

    assert OTHER == find(OTHER, environment=environment(tmp_path)).version


@posix_only
@pytest.mark.parametrize(
    "text",
    [
        "exit 0",
        pretend("3.998"),
        pretend(OTHER, before="import sysconfig; sysconfig.get_config_var = lambda name: 1"),
    ],
    ids=["prints nothing", "another version", "no global interpreter lock"],
)
def test_unusable_interpreter_is_not_taken(tmp_path: Path, text: str) -> None:
    """
    An interpreter is asked what it is, whatever its name. Without a suitable one, the reason says so.
    """
    program(tmp_path / f"bin/python{OTHER}", text)

    with pytest.raises(NoInterpreter, match=r"^it was not found on this machine$"):
        find(OTHER, environment=environment(tmp_path))


@posix_only
def test_interpreter_without_venv_needs_uv(tmp_path: Path) -> None:
    """
    Debian's Python has no venv module without python3-venv. The reason says so; with uv, it is usable.
    """
    hide = "import importlib.util; importlib.util.find_spec = lambda name: None"
    path = program(tmp_path / f"bin/python{OTHER}", pretend(OTHER, before=hide))

    with pytest.raises(NoInterpreter, match=rf"^the venv module of {path} is missing or incomplete$"):
        find(OTHER, environment=environment(tmp_path))

    program(tmp_path / "bin/uv", "exit 0")
    assert OTHER == find(OTHER, environment=environment(tmp_path)).version


@posix_only
def test_newest_patch_release_comes_first(tmp_path: Path) -> None:
    """
    Among several of pyenv's releases of a version, the newest is taken.
    """
    paths = [program(tmp_path / f".pyenv/versions/3.999.{patch}/bin/python", "exit 1") for patch in (2, 10, 9)]

    found = list(candidates(OTHER, environment=environment(tmp_path), system="linux"))

    assert [str(paths[number]) for number in (1, 2, 0)] == found


def test_windows_installations_are_found(tmp_path: Path) -> None:
    """
    On Windows, python.org's installer, pyenv-win, and uv have folders of their own.
    """
    paths = [
        tmp_path / f".pyenv/pyenv-win/versions/{OTHER}.1/python.exe",
        tmp_path / f"roaming/uv/data/python/cpython-{OTHER}.1-windows-x86_64-none/python.exe",
        tmp_path / "local/Programs/Python/Python3999/python.exe",
    ]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch()
    variables = {"USERPROFILE": tmp_path, "APPDATA": tmp_path / "roaming", "LOCALAPPDATA": tmp_path / "local"}

    found = candidates(OTHER, environment=environment(tmp_path, **variables), system="win32")

    assert list(map(str, paths)) == [os.path.normpath(path) for path in found]
