"""The command that the service will run, and whether it is installed permanently."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# `uvx` and `pipx run` run programs from a cache, which they may clear at any time.
_UV_CACHE: Final = ("archive-v0", "environments-v2", "builds-v0")
# Not by name from a package index: the program is installed from its checkout, and others could have taken the name.
_SOLUTION: Final = "To install it permanently, run `python3 install/install.py` in the checkout of upstash-helper."


def this_program() -> tuple[str, ...]:
    """Return the command that runs upstash-helper the way it is running now, with absolute paths."""
    if getattr(sys, "frozen", False):  # a single executable that includes Python
        return (str(Path(sys.executable).absolute()),)
    archive = Path(sys.argv[0]).absolute()
    if archive.suffix == ".pyz" and archive.is_file():
        return (_python(), str(archive))
    # Not the script `upstash-helper`: the system limits the length of its first line, which has the path of Python.
    return (_python(), "-P", "-m", "upstash_helper")


def without_console(program: tuple[str, ...]) -> tuple[str, ...]:
    """On Windows, return the same command with ``pythonw.exe``, which opens no console window."""
    if sys.platform == "win32":
        windowed = Path(program[0]).with_name("pythonw.exe")
        if Path(program[0]).name.lower() == "python.exe" and windowed.exists():
            return (str(windowed), *program[1:])
    return program


def unsuitable_reason(program: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str | None:
    """Return the reason why a service cannot run ``program``, with a solution, or None."""
    environ = os.environ if environ is None else environ
    for word in program:
        if not Path(word).is_absolute():
            continue
        place = _temporary_place(Path(word), environ)
        if place is not None:
            return f"This upstash-helper runs from {place}: {word}. {_SOLUTION}"
    if not all(_is_encodable(word) for word in program):
        return (
            "The path of this upstash-helper is not UTF-8, which no service manager supports. Install it somewhere "
            "else."
        )
    return None


def _python() -> str:
    # Not resolved: in a virtual environment, Python finds its packages by the path of the link.
    return str(Path(sys.executable).absolute())


def _temporary_place(path: Path, environ: Mapping[str, str]) -> str | None:
    parts = path.parts
    if any(name in parts for name in _UV_CACHE) or _within(path, environ.get("UV_CACHE_DIR")):
        return "uv's cache, which may be cleared at any time"
    if ".cache" in parts and "pipx" in parts:
        return "pipx's cache, which is cleared after some days"
    temporary = (_temporary_folder(), "/tmp", "/var/tmp", "/dev/shm", environ.get("XDG_RUNTIME_DIR"))  # noqa: S108
    if any(_within(path, folder) for folder in temporary):
        return "a folder for temporary files, which the system clears"
    return None


def _temporary_folder() -> str | None:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # nothing can be written, as in a container with --read-only
        return None


def _within(path: Path, folder: str | None) -> bool:
    return bool(folder) and Path(folder or "").is_absolute() and path.is_relative_to(folder or "")


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
