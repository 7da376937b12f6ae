"""Packages as users get them: built from a copy of the checkout, and installed where nothing else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from install.environment import ROOT, RUNTIME
from install.installers import base_python, python_in
from install.progress import reason_in

if TYPE_CHECKING:
    from collections.abc import Sequence

# What tools leave in a checkout. `.git` goes with them: what is packed must not depend on it.
_LEFT_BY_TOOLS = (".git", ".venv*", ".*_cache", ".coverage*", "htmlcov", "node_modules", "dist", "build")

DIRT = {
    ".env": "UPSTASH_API_KEY=planted-secret\n",
    "daemon/upstash_helper/__pycache__/planted.cpython-311.pyc": "planted-secret",
    "tray/upstash_helper_tray/stray.pyc": "planted-secret",
    "daemon/upstash_helper/cli/manual/upstash-helper-planted.1": "planted-secret",
    "dist/old.whl": "planted-secret",
    ".coverage.planted": "planted-secret",
}
"""What a developer's checkout has, and no package may have."""


def copy_of_checkout(folder: Path) -> Path:
    """Copy the checkout to ``folder``, with what must not be packed next to what must."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT_BY_TOOLS), symlinks=True)
    for name, text in DIRT.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def build(source: Path, target: str, into: Path, *, epoch: int | None = None) -> Path:
    """
    Build a package with the backend of pyproject.toml, as it is pinned.

    Args:
        source: The checkout, or what an sdist unpacks to.
        target: ``wheel`` or ``sdist``.
        into: A folder for nothing else.
        epoch: As in ``SOURCE_DATE_EPOCH``.
    """
    dated = {} if epoch is None else {"SOURCE_DATE_EPOCH": str(epoch)}
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    checked(command, cwd=source, env={**os.environ, **dated})
    [made] = into.iterdir()
    return made


def names_in(package: Path) -> set[str]:
    """Return the files in a wheel or, without the folder around them, in an sdist."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            return set(wheel.namelist())
    with tarfile.open(package) as sdist:
        return {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}


def unpacked(sdist: Path, into: Path) -> Path:
    """Unpack an sdist, and return the folder in it."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    [folder] = into.iterdir()
    return folder


@dataclass(frozen=True)
class Pip:
    """A pip that is nobody's: it puts packages into other environments."""

    python: Path

    @classmethod
    def made(cls, folder: Path) -> Pip:
        """Take the one of the tests; make one where uv has made their environment."""
        if find_spec("pip") is not None:
            return cls(Path(sys.executable))
        checked([base_python(), "-m", "venv", str(folder)])
        return cls(python_in(folder))

    def run(self, *arguments: str, into: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run it; ``into`` is the interpreter of the environment that it acts on."""
        target = () if into is None else ("--python", str(into))
        # Whatever this machine's own configuration adds to where packages are found would make the test say less.
        alone = {"PIP_CONFIG_FILE": os.devnull} if "--no-index" in arguments else {}
        inherited = {name: value for name, value in os.environ.items() if not alone or not name.startswith("PIP_")}
        command = [str(self.python), "-m", "pip", *target, "--disable-pip-version-check", *arguments]
        return subprocess.run(
            command, env=inherited | alone, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )

    def download(self, folder: Path) -> None:
        """Fetch the wheels that requirements.txt pins. Skips the test where there is no network for it."""
        # The pins are complete: there is nothing to resolve.
        options = ("--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(ROOT / RUNTIME))
        done = self.run("download", "--quiet", "--dest", str(folder), *options)
        skip_if_offline(done)
        assert not done.returncode, done.stdout + done.stderr

    def install(self, python: Path, wheelhouse: Path, *requirements: str) -> None:
        """Install from the wheels in a folder, and from nowhere else."""
        options = ("--quiet", "--no-compile", "--no-index", "--find-links", str(wheelhouse))
        done = self.run("install", *options, *requirements, into=python)
        assert not done.returncode, done.stdout + done.stderr


def empty_environment(folder: Path) -> Path:
    """Make an environment with nothing in it, not even pip, and return its interpreter."""
    checked([base_python(), "-m", "venv", "--without-pip", str(folder)])
    return python_in(folder)


def skip_if_offline(done: subprocess.CompletedProcess[str]) -> None:
    """Skip the test if an installation failed because nothing answered."""
    if done.returncode and "the network did not respond" in reason_in(done.stdout + done.stderr):
        pytest.skip("platform: no package index can be reached from here")


def checked(command: Sequence[str], **options: object) -> None:
    """Run a command that must succeed; what it says is in the error."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert not done.returncode, done.stdout + done.stderr
