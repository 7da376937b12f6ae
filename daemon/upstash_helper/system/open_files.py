"""
Replacing, removing, and opening files that other programs may have open.

On Windows, a file that another program has open cannot be replaced or removed, and one that is being replaced cannot be
opened. Virus scanners, indexers, and backups have each file open for a moment after it was written, and our own
programs read each other's files. So everything that fails because of that is tried again for a second. On other
systems an open file does not matter, and nothing is tried again.

Only the standard library is imported, because the scripts in ``install`` run before any package is installed.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

RETRY_SECONDS: Final = 1.0
"""A program that keeps a file open for longer than this is not just scanning it."""
_PAUSE_SECONDS: Final = 0.002

# https://learn.microsoft.com/windows/win32/debug/system-error-codes--0-499-
_ACCESS_DENIED: Final = 5  # also for a file that is removed once the last program closes it
_SHARING_VIOLATION: Final = 32
_LOCK_VIOLATION: Final = 33
_DIR_NOT_EMPTY: Final = 145  # of such files
_IN_USE: Final = frozenset({_ACCESS_DENIED, _SHARING_VIOLATION, _LOCK_VIOLATION, _DIR_NOT_EMPTY})


def is_in_use(error: OSError) -> bool:
    """
    Return whether ``error`` is what Windows reports for a file that another program has open.

    The functions of the C library, such as ``os.open``, report all of these as EACCES. So does a file that this user
    may not access: the two cannot be told apart.
    """
    code: int | None = getattr(error, "winerror", None)
    return code in _IN_USE if code is not None else error.errno == errno.EACCES


def retried(action: Callable[[], T], *, seconds: float = RETRY_SECONDS, exclusive: bool = sys.platform == "win32") -> T:
    """
    Return the result of ``action``. While it fails because a file is in use, try again for ``seconds``.

    Args:
        action: Replaces, removes, or opens a file.
        seconds: 0 tries once.
        exclusive: Whether this system has such errors.

    Raises:
        OSError: Of the last try.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except OSError as error:
            if not exclusive or not is_in_use(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def replace(source: Path, target: Path, *, seconds: float = RETRY_SECONDS) -> None:
    """
    Rename ``source`` to ``target``, replacing any file there.

    Raises:
        OSError: If that fails.
    """
    retried(lambda: source.replace(target), seconds=seconds)


def rename(source: Path, target: Path) -> None:
    """
    Rename ``source`` to ``target``. On Windows, nothing is replaced.

    Raises:
        FileExistsError: On Windows, if there is a file with this name.
        OSError: If that fails.
    """
    retried(lambda: source.rename(target))


def remove(path: Path, *, missing_ok: bool = True) -> None:
    """
    Remove a file or a link.

    Raises:
        FileNotFoundError: If there is none, unless ``missing_ok``.
        OSError: If it cannot be removed.
    """
    retried(lambda: path.unlink(missing_ok=missing_ok))


def remove_tree(folder: Path) -> None:
    """
    Remove a folder and its content.

    Raises:
        OSError: If something in it cannot be removed. What could be removed is gone.
    """
    import shutil  # here: most programs remove no folder

    retried(lambda: shutil.rmtree(folder))


def open_descriptor(path: str | Path, flags: int, mode: int = 0o777) -> int:
    """
    Open a file as ``os.open`` does.

    Raises:
        OSError: If it cannot be opened.
    """
    return retried(lambda: os.open(path, flags, mode))


def read_bytes(path: Path) -> bytes:
    """
    Return a file's content.

    Raises:
        OSError: If it cannot be read.
    """
    return retried(path.read_bytes)


def describe(error: OSError) -> str | None:
    """Return what Windows reports for a file that is in use, and what to do, in sentences; None for another error."""
    code: int | None = getattr(error, "winerror", None)
    name = error.filename2 or error.filename or "A file"  # renaming has two names: the second is the one in use
    program = "another program, such as an editor or a virus scanner,"
    if code in {_SHARING_VIOLATION, _LOCK_VIOLATION}:
        return f"{name} cannot be changed, because {program} has it open. Close it, then try again."
    if code == _ACCESS_DENIED:
        return (
            f"{name} cannot be changed: access is denied. If {program} has it open, close it. Check your permissions."
        )
    return None


if sys.platform == "win32":

    def open_shared(path: Path) -> BinaryIO:
        """
        Open a file for reading, so that other programs can rename and remove it in the meantime.

        Raises:
            OSError: If it cannot be opened.
        """
        import _winapi
        import msvcrt

        share = 0x1 | 0x2 | 0x4  # FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE
        handle = retried(
            lambda: _winapi.CreateFile(str(path), _winapi.GENERIC_READ, share, 0, _winapi.OPEN_EXISTING, 0, 0)
        )
        try:
            descriptor = msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)
        except BaseException:
            _winapi.CloseHandle(handle)
            raise
        return os.fdopen(descriptor, "rb")

else:

    def open_shared(path: Path) -> BinaryIO:
        """
        Open a file for reading, so that other programs can rename and remove it in the meantime.

        Raises:
            OSError: If it cannot be opened.
        """
        return path.open("rb")
