"""The commands that create environments and install packages."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from install.installers import Installer, Pip, Uv, python_in

POSIX = Path("/home/zoë/co/.venv/bin/python")


def test_path_of_the_interpreter() -> None:
    """
    The interpreter's folder and name are different on Windows.
    """
    venv = Path("co") / ".venv"

    assert python_in(venv, windows=False) == venv / "bin" / "python"
    assert python_in(venv, windows=True) == venv / "Scripts" / "python.exe"


def test_uv_checks_hashes_and_compiles() -> None:
    """
    Uv checks the hashes of pinned packages and compiles them, which is not its default.
    """
    command = Uv("/bin/uv").install(POSIX, "requirements.txt")

    assert command[:5] == ["/bin/uv", "pip", "install", "--python", str(POSIX)]
    assert {"--require-hashes", "--compile-bytecode"} < set(command)
    assert command[-2:] == ["--requirement", "requirements.txt"]


def test_pip_checks_hashes_and_compiles() -> None:
    """
    Pip checks the hashes of pinned packages and compiles them, whatever the user's configuration.
    """
    command = Pip().install(POSIX, "requirements.txt")

    assert command[:4] == [str(POSIX), "-m", "pip", "install"]
    assert {"--require-hashes", "--compile"} < set(command)
    assert command[-2:] == ["--requirement", "requirements.txt"]


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_upgrading_includes_what_is_installed(installer: Installer) -> None:
    """
    All packages are upgraded, and constraints apply.
    """
    command = installer.upgrade(POSIX, "ranges.txt", "constraints.txt")

    assert "--upgrade" in command
    assert command[command.index("--requirement") + 1] == "ranges.txt"
    assert command[command.index("--constraint") + 1] == "constraints.txt"
    assert ("--upgrade-strategy" in command) == (installer.name == "pip"), "pip's default leaves dependencies alone"


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_linking_the_checkout_downloads_nothing(installer: Installer) -> None:
    """
    The checkout is installed editable, with the pinned build requirements, and without dependencies.
    """
    command = installer.link(POSIX)

    assert {"--no-deps", "--no-build-isolation"} < set(command)
    assert command[-2:] == ["--editable", "."]


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_copying_the_checkout_replaces_the_same_version(installer: Installer) -> None:
    """
    A copy replaces an installation of the same version, without dependencies.
    """
    command = installer.copy(POSIX)

    assert {"--no-deps", "--no-build-isolation"} < set(command)
    assert {"--reinstall", "--force-reinstall"} & set(command)
    assert command[-1] == "."
    assert "--editable" not in command


@pytest.mark.parametrize("installer", [Uv("uv"), Pip()])
def test_package_index_comes_from_the_users_configuration(installer: Installer) -> None:
    """
    No command names an index, a proxy, or a certificate.
    """
    commands = [
        *installer.create(POSIX.parent.parent, "/usr/bin/python3"),
        *installer.install(POSIX, "requirements.txt"),
        *installer.upgrade(POSIX, "ranges.txt", "constraints.txt"),
        *installer.link(POSIX),
        *installer.variables,
    ]

    for word in ("index", "find-links", "proxy", "cert", "trusted"):
        assert not [part for part in commands if word in part.lower()]


def test_environment_is_created_in_an_existing_folder() -> None:
    """
    The folder already exists and contains the lock file when the environment is created.
    """
    venv = Path(os.sep) / "co" / ".venv"

    assert "--allow-existing" in Uv("uv").create(venv, "/usr/bin/python3")
    assert Pip().create(venv, "/usr/bin/python3") == ["/usr/bin/python3", "-m", "venv", str(venv)]
