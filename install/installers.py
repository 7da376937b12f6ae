"""The command lines of the programs that can make an environment: uv where it is installed, else Python's own pip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from install.progress import SetupError

# No option of these names an index, a proxy or a certificate: those are the user's, by configuration or environment.


class Installer(Protocol):
    """Makes environments and puts packages into them. Each method returns a command line."""

    @property
    def name(self) -> str:
        """The program's name, for messages and for the stamp."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables for its commands."""

    def make(self, venv: Path, base: str) -> Sequence[str]:
        """Make an environment at ``venv``, a folder that may be there already, for the interpreter ``base``."""

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """Install what the file ``requirements`` pins into the environment of ``python``, compiled to bytecode."""

    def link(self, python: Path) -> Sequence[str]:
        """Install the checkout that is the working directory, editable and without its dependencies."""

    def copy(self, python: Path) -> Sequence[str]:
        """Install it as it is now, also in place of one with the same version, and without its dependencies."""


@dataclass(frozen=True)
class Uv:
    """The quick way: https://docs.astral.sh/uv."""

    program: str
    name: str = "uv"

    @property
    def variables(self) -> Mapping[str, str]:
        """None: uv is told everything by arguments."""
        return {}

    def make(self, venv: Path, base: str) -> Sequence[str]:
        """See ``Installer``."""
        return [self.program, "venv", "--quiet", "--no-project", "--allow-existing", "--python", base, str(venv)]

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--require-hashes", "--compile-bytecode", "--requirement", requirements]
        return [self.program, "pip", "install", "--python", str(python), *options]

    def link(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--no-deps", "--no-build-isolation", "--editable", "."]
        return [self.program, "pip", "install", "--python", str(python), *options]

    def copy(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        # `.` by itself would be taken from uv's cache while pyproject.toml is the same.
        options = ["--no-deps", "--no-build-isolation", "--compile-bytecode", "--reinstall", "--no-cache", "."]
        return [self.program, "pip", "install", "--python", str(python), *options]


@dataclass(frozen=True)
class Pip:
    """The way that every Python has."""

    name: str = "pip"

    @property
    def variables(self) -> Mapping[str, str]:
        """A user's ``pip install --user`` by default does not work inside an environment."""
        return {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}

    def make(self, venv: Path, base: str) -> Sequence[str]:
        """See ``Installer``."""
        return [base, "-m", "venv", str(venv)]

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """See ``Installer``."""
        return [str(python), "-m", "pip", "install", "--require-hashes", "--compile", "--requirement", requirements]

    def link(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        return [str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", "."]

    def copy(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--no-deps", "--no-build-isolation", "--compile", "--force-reinstall", "."]
        return [str(python), "-m", "pip", "install", *options]


def choose_installer() -> Installer:
    """
    Return uv if it is on the PATH, else pip.

    Raises:
        SetupError: If there is neither uv nor the part of the standard library that makes environments.
    """
    uv = shutil.which("uv")
    if uv:
        return Uv(os.path.abspath(uv))  # noqa: PTH100 - resolving a link could lead past a wrapper script
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            "This Python cannot make a virtual environment: its venv module is missing or incomplete; "
            f"on Debian and Ubuntu, `apt install python3-venv` (or python{version}-venv) adds it."
        )
    return Pip()


def base_python() -> str:
    """Return the interpreter itself, also when this runs in a virtual environment (which may be the one to replace)."""
    return getattr(sys, "_base_executable", None) or sys.executable


def python_in(venv: Path, *, windows: bool = sys.platform == "win32") -> Path:
    """Return where the interpreter of an environment stands."""
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"
