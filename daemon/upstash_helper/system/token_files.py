"""Files with a token in them: their user's alone, and replaced as a whole."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import Final

# Such a file has some 200 bytes; whatever is larger than this is something else.
_MOST_BYTES: Final = 16_384


class NotPrivate(Exception):
    """The file may be another user's doing, or be known to others. ``str()`` says which, without a full stop."""


def read(path: Path) -> bytes:
    """
    Return the content of ``path`` after looking, at the open file itself, at whose it is.

    Raises:
        NotPrivate: If it is a link, no plain file, somebody else's, or readable by others.
        OSError: If it cannot be read; ``FileNotFoundError`` if there is none.
    """
    if path.is_symlink():
        raise NotPrivate("a symbolic link, which upstash-helper never makes")
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        doubt = _doubt(os.fstat(descriptor))
        if doubt:
            raise NotPrivate(doubt)
        return file.read(_MOST_BYTES)


def write(path: Path, content: bytes) -> None:
    """
    Put ``content`` in the place of the file. A reader sees either all of it or what was there before, and no other user
    sees any of it.

    Raises:
        OSError: If it cannot be written, for example because its folder is absent.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _doubt(status: os.stat_result) -> str | None:
    """Return why a file is not to be trusted."""
    if not stat.S_ISREG(status.st_mode):
        return "not a plain file"
    if sys.platform == "win32":
        return None  # the folder is the user's own, and its access list is inherited
    if status.st_uid != os.geteuid():
        return f"belongs to the user with id {status.st_uid}, not to you"
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"its mode is {stat.S_IMODE(status.st_mode):04o}, so others could read the token in it"
    return None
