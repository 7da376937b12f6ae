"""
Files that are their user's alone: mode 0600 in a folder of mode 0700, replaced as a whole or not at all.

Windows has no such modes: there the user's profile folder is closed to others by its access control list.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_log = logging.getLogger(__name__)

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022

# On Windows text mode would change line ends; elsewhere a link is not followed and a FIFO does not block.
_FLAGS: Final = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class NotPrivate(Exception):
    """The file cannot be trusted. ``str()`` says why and what to do."""


def read(path: Path, *, limit: int) -> bytes | None:
    """
    Return what the file holds, or None if there is none.

    A file that others may read is taken from them, with a warning: what it held may be known to them.

    Args:
        path: The file.
        limit: Bytes; a longer file is none of ours.

    Raises:
        NotPrivate: If it is a link, no regular file, too long, or somebody else's.
        OSError: If it cannot be read.
    """
    _refuse_link(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:  # noqa: PTH123  # a descriptor, not a path
        _claim(descriptor, path)
        data = file.read(limit + 1)
    if len(data) > limit:
        message = f"{path} is longer than {limit} bytes, so it is none of upstash-helper's. Move it away."
        raise NotPrivate(message)
    return data


def write(path: Path, data: bytes, *, commit: Callable[[], bool] = lambda: True) -> bool:
    """
    Make the file hold ``data``, whatever happens meanwhile: before this returns it is the old one, then the new one.

    Args:
        path: The file; folders that are missing are made.
        data: All that it will hold.
        commit: Is asked when all is on the disk and just the name is left to change; False calls it off.

    Returns:
        Whether it was committed.

    Raises:
        NotPrivate: If the path is a link, or the folder is somebody else's.
        OSError: If it cannot be written; a full disk among the reasons.
    """
    _make_folder(path.parent)
    _refuse_link(path)
    new = _draft(path)
    new.unlink(missing_ok=True)  # left by a program that was killed
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        if not commit():
            return False
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return True


def put(made: Path, path: Path) -> None:
    """
    Give a file that is complete the name ``path``, whatever had it before; both are on the disk when this returns.

    Raises:
        OSError: If it cannot be done.
    """
    descriptor = os.open(made, os.O_RDWR | _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    made.replace(path)
    _sync_folder(path.parent)


def remove(path: Path) -> None:
    """
    Remove the file and what an interrupted ``write`` left of it; nothing happens if there is none.

    Raises:
        NotPrivate: If it is a link: what it points to would stay.
        OSError: If it cannot be removed.
    """
    _refuse_link(path)
    if path.parent.is_dir():
        _draft(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)


def claim(path: Path) -> bool:
    """
    Make ``path`` its user's alone, for a library that opens it by its name; an empty file if there was none.

    Returns:
        Whether it was made.

    Raises:
        NotPrivate: If it is a link, no regular file, or somebody else's.
        OSError: If it cannot be made, or its mode not be changed.
    """
    _make_folder(path.parent)
    if mend(path):
        return False
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600))
    _sync_folder(path.parent)
    return True


def mend(path: Path) -> bool:
    """
    Take the file from others if they may read it, with a warning; raises as ``claim`` does.

    It is not opened for that: closing it again would drop the locks that this process has on it (POSIX, fcntl).

    Returns:
        Whether there is one.
    """
    found = check(path)
    if found is not None and sys.platform != "win32" and found.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
        _warn_of_readers(path)
    return found is not None


def check(path: Path) -> os.stat_result | None:
    """
    Return what the system tells of the file, or None if there is none; nothing is changed.

    Raises:
        NotPrivate: If it is a link, no regular file, or somebody else's.
        OSError: If the system does not tell.
    """
    _refuse_link(path)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    _refuse_unusable(found, path)
    return found


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _refuse_link(path: Path) -> None:
    # O_NOFOLLOW alone would do, but for Windows and a message that says what to do.
    if path.is_symlink():
        message = f"{path} is a link. Remove it: a private file is not read or written through one."
        raise NotPrivate(message)


def _claim(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    _refuse_unusable(found, path)
    if sys.platform != "win32" and found.st_mode & _OTHERS:
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode) & ~_OTHERS)
        _warn_of_readers(path)


def _refuse_unusable(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        message = f"{path} is not a regular file. Move it away."
        raise NotPrivate(message)
    _refuse_stranger(found, path)


def _warn_of_readers(path: Path) -> None:
    _log.warning("Other users could read %s; its mode is 0600 now. Think of what it held as known to them.", path)


def _make_folder(folder: Path) -> None:
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        with contextlib.suppress(FileExistsError):
            missing.mkdir(mode=0o700)
    if sys.platform == "win32":
        return
    found = folder.stat()
    _refuse_stranger(found, folder)
    if found.st_mode & _OTHERS_WRITE:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS_WRITE)
        _log.warning("Other users could change what is in %s; its mode is mended.", folder)


def _refuse_stranger(found: os.stat_result, path: Path) -> None:
    if sys.platform != "win32" and found.st_uid != os.getuid():
        message = f"{path} belongs to another user (uid {found.st_uid}). Move it away, or run as that user."
        raise NotPrivate(message)


def _sync_folder(folder: Path) -> None:
    """Put the change of a name on the disk; Windows does so by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
