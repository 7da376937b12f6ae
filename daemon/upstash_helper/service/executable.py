"""What the service will run, and whether that is there to stay."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# `uvx` and `pipx run` keep what they run in a cache, and throw it away when they like.
_UV_CACHE: Final = ("archive-v0", "environments-v2", "builds-v0")
_FREQUENT: Final = "Install it for good (`pipx install upstash-helper` or `uv tool install upstash-helper`)"


def this_program() -> tuple[str, ...]:
    """Return the command that runs upstash-helper as it is running now, with whole paths."""
    if getattr(sys, "frozen", False):  # one file with Python in it
        return (str(Path(sys.executable).absolute()),)
    archive = Path(sys.argv[0]).absolute()
    if archive.suffix == ".pyz" and archive.is_file():
        return (_python(), str(archive))
    # Not the script `upstash-helper`: its first line, with the path of Python, is limited by the system.
    return (_python(), "-P", "-m", "upstash_helper")


def without_console(program: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same with the Python that opens no console window, where there is one: on Windows."""
    if sys.platform == "win32":
        silent = Path(program[0]).with_name("pythonw.exe")
        if Path(program[0]).name.lower() == "python.exe" and silent.exists():
            return (str(silent), *program[1:])
    return program


def obstacle(program: tuple[str, ...], environ: Mapping[str, str] | None = None) -> str | None:
    """Return why a service must not be made to run ``program``, and what to do; None if nothing is against it."""
    environ = os.environ if environ is None else environ
    for word in program:
        if not Path(word).is_absolute():
            continue
        place = _passing_place(Path(word), environ)
        if place is not None:
            return f"This upstash-helper runs from {place}: {word}. {_FREQUENT}, then run `upstash-helper install`."
    if not all(_encodable(word) for word in program):
        return "The path of this upstash-helper is not UTF-8, which no service manager takes. Move it elsewhere."
    return None


def _python() -> str:
    # Not resolved: in a virtual environment it is the link that leads to the packages.
    return str(Path(sys.executable).absolute())


def _passing_place(path: Path, environ: Mapping[str, str]) -> str | None:
    parts = path.parts
    if any(name in parts for name in _UV_CACHE) or _within(path, environ.get("UV_CACHE_DIR")):
        return "uv's cache, which may be emptied at any time"
    if ".cache" in parts and "pipx" in parts:
        return "pipx's cache, which is emptied after some days"
    temporary = (tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", environ.get("XDG_RUNTIME_DIR"))  # noqa: S108
    if any(_within(path, folder) for folder in temporary):
        return "a folder for temporary files, which the system empties"
    return None


def _within(path: Path, folder: str | None) -> bool:
    return bool(folder) and Path(folder or "").is_absolute() and path.is_relative_to(folder or "")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
