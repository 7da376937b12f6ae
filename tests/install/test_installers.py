"""The command lines by which environments are made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from install.installers import Installer, Pip, Uv, python_in

POSIX = Path("/home/zoë/co/.venv/bin/python")


def test_the_interpreter_stands_where_the_platform_puts_it() -> None:
    """
    Windows has another folder and another name for it.
    """
    venv = Path("co") / ".venv"

    assert python_in(venv, windows=False) == venv / "bin" / "python"
    assert python_in(venv, windows=True) == venv / "Scripts" / "python.exe"


def test_uv_is_told_to_check_hashes_and_to_compile() -> None:
    """
    With uv, what is pinned is installed byte for byte, and compiled, which uv would not do by itself.
    """
    command = Uv("/bin/uv").install(POSIX, "requirements.txt")

    assert command[:5] == ["/bin/uv", "pip", "install", "--python", str(POSIX)]
    assert {"--require-hashes", "--compile-bytecode"} < set(command)
    assert command[-2:] == ["--requirement", "requirements.txt"]


def test_pip_is_told_to_check_hashes_and_to_compile() -> None:
    """
    With pip too, even where a user's settings say otherwise.
    """
    command = Pip().install(POSIX, "requirements.txt")

    assert command[:4] == [str(POSIX), "-m", "pip", "install"]
    assert {"--require-hashes", "--compile"} < set(command)
    assert command[-2:] == ["--requirement", "requirements.txt"]


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_the_checkout_is_linked_without_downloads(installer: Installer) -> None:
    """
    The checkout is installed editable, by what is pinned to build it, and brings nothing that is not pinned.
    """
    command = installer.link(POSIX)

    assert {"--no-deps", "--no-build-isolation"} < set(command)
    assert command[-2:] == ["--editable", "."]


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_the_checkout_is_copied_whatever_its_version(installer: Installer) -> None:
    """
    A copy replaces one of the same version, and it too brings nothing that is not pinned.
    """
    command = installer.copy(POSIX)

    assert {"--no-deps", "--no-build-isolation"} < set(command)
    assert {"--reinstall", "--force-reinstall"} & set(command)
    assert command[-1] == "."
    assert "--editable" not in command


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_where_packages_come_from_is_left_to_the_user(installer: Installer) -> None:
    """
    No command names an index, a proxy or a certificate, so the user's configuration decides.
    """
    commands = [
        *installer.make(POSIX.parent.parent, "/usr/bin/python3"),
        *installer.install(POSIX, "requirements.txt"),
        *installer.link(POSIX),
        *installer.variables,
    ]

    for word in ("index", "find-links", "proxy", "cert", "trusted"):
        assert not [part for part in commands if word in part.lower()]


def test_both_make_an_environment_in_a_folder_that_is_there() -> None:
    """
    The folder holds the lock already when the environment is made in it.
    """
    venv = Path(os.sep) / "co" / ".venv"

    assert "--allow-existing" in Uv("uv").make(venv, "/usr/bin/python3")
    assert Pip().make(venv, "/usr/bin/python3") == ["/usr/bin/python3", "-m", "venv", str(venv)]
