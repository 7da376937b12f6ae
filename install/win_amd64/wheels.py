"""The packages that a Windows installation needs, downloaded on another system and checked by hash."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from install.environment import ROOT
from install.installers import base_python
from install.progress import SetupError, run_quietly

# The environment of the interpreter that installs them (PEP 508), to evaluate the markers in a requirements file.
ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.9",
    "os_name": "nt",
    "platform_machine": "AMD64",
    "platform_python_implementation": "CPython",
    "platform_release": "10",
    "platform_system": "Windows",
    "platform_version": "10.0.14393",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "win32",
}

# pip evaluates markers for the system that it runs on, whatever --platform is, so they are evaluated here.
_TARGET = ("--platform", "win_amd64", "--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:")

ONLY_TO_BUILD = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")
"""Packages in requirements.txt that build the checkout's wheel, and that the program does not import."""

_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_USER": "0"}


def requirements(text: str, *, without: Collection[str] = ()) -> str:
    """
    Return the entries of a requirements file that apply to Windows, without their markers.

    Args:
        text: The file, as ``install/pin.py`` writes it.
        without: Names of packages to leave out.
    """
    return "".join(_entries(text, without))


def _entries(text: str, without: Collection[str]) -> Iterator[str]:
    from packaging.requirements import Requirement

    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for entry in re.split(r"\n(?! )", lines):
        pin, *hashes = (part.strip() for part in entry.split("\\\n"))
        if not pin:
            continue
        requirement = Requirement(pin)
        marker, requirement.marker = requirement.marker, None
        if requirement.name not in without and (marker is None or marker.evaluate(ENVIRONMENT)):
            yield " \\\n    ".join([str(requirement), *hashes]) + "\n"


def pip() -> Sequence[str]:
    """
    Return the command that runs pip. An environment that uv created does not contain it.

    Raises:
        SetupError: If there is no pip.
    """
    if importlib.util.find_spec("pip") is not None:
        return (sys.executable, "-m", "pip")
    base = (base_python(), "-m", "pip")
    if subprocess.run([*base, "--version"], capture_output=True, check=False).returncode:
        raise SetupError("pip is missing. It downloads packages for Windows.")
    return base


def download(file: Path, folder: Path, label: str) -> None:
    """
    Download the wheels in a requirements file without markers.

    Raises:
        SetupError: If that fails, or a hash differs.
    """
    options = ("--no-deps", "--require-hashes", "--requirement", str(file), "--dest", str(folder))
    run_quietly(f"Downloading {label}", [*pip(), "download", *_TARGET, *options], cwd=ROOT, env=_QUIET)


def unpack(wheel: Path, target: Path) -> None:
    """
    Unpack a wheel into a folder ``site-packages``, without its scripts (PyPA: binary distribution format).

    Raises:
        SetupError: If a path in it leads out of the folder.
    """
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            path = _path_of(PurePosixPath(member.filename))
            if path is None or member.is_dir():
                continue
            if path.is_absolute() or ".." in path.parts:
                raise SetupError(f"{wheel.name} contains a path that leads out of its folder: {member.filename}")
            to = target / path
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(archive.read(member))


def name_of(wheel: Path) -> str:
    """Return the normalized name of the package in a wheel."""
    return wheel.name.partition("-")[0].replace("_", "-").lower()


def _path_of(member: PurePosixPath) -> PurePosixPath | None:
    """Return where a member of a wheel belongs below ``site-packages``, or None for scripts and other data."""
    match member.parts:
        case (folder, kind, *rest) if folder.endswith(".data"):
            return PurePosixPath(*rest) if kind in {"purelib", "platlib"} else None
        case _:
            return member


def build(folder: Path) -> Path:
    """
    Build the wheel of this checkout in an empty folder, and return its path.

    Raises:
        SetupError: If that fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # In this environment, which has the build backend: the base interpreter, whose pip may be used, does not have it.
    command = [*pip(), "--python", sys.executable, "wheel"]
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), ".")
    run_quietly("Building this checkout", [*command, *options], cwd=ROOT, env=_QUIET)
    [wheel] = folder.glob("upstash_helper-*.whl")
    return wheel
