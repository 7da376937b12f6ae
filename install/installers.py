"""The commands that create an environment and install packages: uv if it is installed, otherwise pip."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from install.progress import SetupError

# No command names an index, a proxy, or a certificate. They come from the user's configuration or environment.


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter to create environments from."""

    version: str
    """Major and minor version."""
    path: str
    """The base interpreter, even if the one that was found belongs to an environment."""
    identity: str
    """What an environment depends on: the version, the platform, and the folder."""


class Installer(Protocol):
    """Creates environments and installs packages. Each method returns a command."""

    @property
    def name(self) -> str:
        """The program's name, for messages and for the stamp."""

    @property
    def variables(self) -> Mapping[str, str]:
        """Environment variables for its commands."""

    def create(self, venv: Path, base: str) -> Sequence[str]:
        """Create an environment in ``venv``, which may already exist, with the interpreter ``base``."""

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """Install the packages in a requirements file, compiled to bytecode, in the environment of ``python``."""

    def upgrade(self, python: Path, requirements: str, constraints: str) -> Sequence[str]:
        """Install or upgrade to the newest versions that a file with ranges and one with constraints allow."""

    def link(self, python: Path) -> Sequence[str]:
        """Install the checkout in the working directory, editable and without dependencies."""

    def copy(self, python: Path) -> Sequence[str]:
        """Install a copy of the checkout without dependencies, even if the same version is installed."""


@dataclass(frozen=True)
class Uv:
    """uv: https://docs.astral.sh/uv."""

    program: str
    name: str = "uv"

    @property
    def variables(self) -> Mapping[str, str]:
        """Empty: all options of uv are arguments."""
        return {}

    def create(self, venv: Path, base: str) -> Sequence[str]:
        """See ``Installer``."""
        return [self.program, "venv", "--quiet", "--no-project", "--allow-existing", "--python", base, str(venv)]

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--require-hashes", "--compile-bytecode", "--requirement", requirements]
        return [self.program, "pip", "install", "--python", str(python), *options]

    def upgrade(self, python: Path, requirements: str, constraints: str) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--upgrade", "--requirement", requirements, "--constraint", constraints]
        return [self.program, "pip", "install", "--python", str(python), *options]

    def link(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--no-deps", "--no-build-isolation", "--editable", "."]
        return [self.program, "pip", "install", "--python", str(python), *options]

    def copy(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        # Without --no-cache, uv would install `.` from its cache if pyproject.toml has not changed.
        options = ["--no-deps", "--no-build-isolation", "--compile-bytecode", "--reinstall", "--no-cache", "."]
        return [self.program, "pip", "install", "--python", str(python), *options]


@dataclass(frozen=True)
class Pip:
    """Python's own ``venv`` and ``pip``."""

    name: str = "pip"

    @property
    def variables(self) -> Mapping[str, str]:
        """Override ``user = true`` in the user's configuration, which does not work in an environment."""
        return {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}

    def create(self, venv: Path, base: str) -> Sequence[str]:
        """See ``Installer``."""
        return [base, "-m", "venv", str(venv)]

    def install(self, python: Path, requirements: str) -> Sequence[str]:
        """See ``Installer``."""
        return [str(python), "-m", "pip", "install", "--require-hashes", "--compile", "--requirement", requirements]

    def upgrade(self, python: Path, requirements: str, constraints: str) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--upgrade", "--upgrade-strategy", "eager", "--requirement", requirements]
        return [str(python), "-m", "pip", "install", *options, "--constraint", constraints]

    def link(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        return [str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--editable", "."]

    def copy(self, python: Path) -> Sequence[str]:
        """See ``Installer``."""
        options = ["--no-deps", "--no-build-isolation", "--compile", "--force-reinstall", "."]
        return [str(python), "-m", "pip", "install", *options]


def choose_installer() -> Installer:
    """
    Return uv if it is on the PATH, otherwise pip.

    Raises:
        SetupError: If neither uv nor the standard library's ``venv`` is available.
    """
    uv = shutil.which("uv")
    if uv:
        return Uv(os.path.abspath(uv))  # noqa: PTH100 - resolving a link could bypass a wrapper script
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(
            "This Python cannot create a virtual environment, because its venv module is missing or incomplete. "
            f"On Debian and Ubuntu, run `apt install python3-venv` (or python{version}-venv)."
        )
    return Pip()


def base_python() -> str:
    """Return the base interpreter, even if this runs in a virtual environment, which may be the one to replace."""
    return getattr(sys, "_base_executable", None) or sys.executable


def this_interpreter() -> Interpreter:
    """Return the interpreter that runs this."""
    return Interpreter(
        version=f"{sys.version_info.major}.{sys.version_info.minor}",
        path=base_python(),
        identity=f"{sys.implementation.cache_tag} {sysconfig.get_platform()} {sys.base_prefix}",
    )


def python_in(venv: Path, *, windows: bool = sys.platform == "win32") -> Path:
    """Return the path of an environment's interpreter."""
    return venv / "Scripts" / "python.exe" if windows else venv / "bin" / "python"
