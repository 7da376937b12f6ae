"""
Files and folders that only their owner can access: files of mode 0600 in folders of mode 0700.

Nothing here reads or writes through a symbolic link, and every check that guards a read is made on the open file. On
Windows there are no such modes: the access control list of the user's profile folder keeps others out.

``write`` is atomic, ``write_durably`` also survives a power failure. The difference is an fsync, which can take a
second on a slow disk: the credential is worth that, the discovery file, which is rewritten at each start, is not.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper.system import open_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_READABLE: Final = "Other users could access %s. Its mode is 0600 now; assume that they have read it."

# O_BINARY: Windows would translate line ends. O_NONBLOCK: opening a FIFO must not wait for its other end.
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_READ: Final = os.O_RDONLY | _NO_LINK | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)

# fcntl.h of macOS. Python has the constant only there.
_F_FULLFSYNC: Final = 51


class NotPrivate(Exception):
    """Another user could have written or read the file or folder. ``str()`` explains it and suggests a fix."""

    def __init__(self, path: Path, reason: str, fix: str) -> None:
        """
        Args:
            path: The file or folder.
            reason: A predicate without a full stop, such as "is a symbolic link".
            fix: A sentence, for callers that have no better advice.
        """
        super().__init__(f"{path} {reason}. {fix}")
        self.path: Final = path
        self.reason: Final = reason


# --- folders ----------------------------------------------------------------------------------------------------------


def make_folder(folder: Path) -> None:
    """
    Create ``folder`` and its missing parents with mode 0700. An existing folder is left unchanged.

    Raises:
        OSError: If one cannot be created.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.is_dir()]):
        missing.mkdir(mode=0o700, exist_ok=True)


def secure_folder(folder: Path) -> None:
    """
    Create ``folder`` if needed, check who owns it, and close it to other users (mode 0700).

    Raises:
        NotPrivate: If it is a symbolic link or belongs to another user.
        OSError: If it cannot be created.
    """
    make_folder(folder)
    status = _folder_status(folder)
    if sys.platform != "win32" and status.st_mode & _OTHERS:
        folder.chmod(0o700)


def check_folder(folder: Path) -> None:
    """
    Check, without changing it, that only the user can access an existing folder.

    Raises:
        NotPrivate: If it is a symbolic link, no folder, another user's, or open to other users.
        OSError: If there is none.
    """
    status = _folder_status(folder)
    if sys.platform != "win32" and status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise NotPrivate(folder, f"is open to other users: its mode is {mode:04o}", "Remove it.")


# --- files ------------------------------------------------------------------------------------------------------------


def read(path: Path, *, limit: int, fix_mode: bool = False) -> bytes | None:
    """
    Return the content of a private file, or None if there is no file.

    Args:
        path: The file.
        limit: Maximum size in bytes. A larger file was not written by upstash-helper.
        fix_mode: If other users can access the file, restrict its mode and log a warning instead of refusing it.

    Raises:
        NotPrivate: If it is a link, no regular file, too large, another user's, or accessible to other users.
        OSError: If it cannot be read.
    """
    _refuse_link(path)
    try:
        descriptor = open_files.open_descriptor(path, _READ)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _check_file(path, status)
        if sys.platform != "win32" and status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            if not fix_mode:
                raise NotPrivate(path, f"is accessible to other users: its mode is {mode:04o}", "Remove it.")
            os.fchmod(descriptor, mode & ~_OTHERS)
            _warn(_READABLE, path)
        data = file.read(limit + 1)
    if len(data) > limit:
        raise NotPrivate(path, f"is larger than {limit} bytes", "It is not a file of upstash-helper: move it away.")
    return data


def create(path: Path, data: bytes, *, durable: bool = False) -> None:
    """
    Create a file with mode 0600 that contains ``data``. If that fails, no partial file is left.

    Args:
        path: The file, in an existing folder.
        data: Its content.
        durable: Wait until the content is on the disk.

    Raises:
        FileExistsError: If there is anything at ``path``.
        OSError: If it cannot be written.
    """
    descriptor = os.open(path, _CREATE, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                sync(descriptor)
    except BaseException as error:
        open_files.remove(path)
        if isinstance(error, OSError):
            error.filename = error.filename or str(path.parent)  # for the message: a full disk names no file
        raise


def write(path: Path, data: bytes) -> None:
    """
    Replace the file atomically: a reader gets the old content or the new one. The folder must exist.

    Raises:
        OSError: If it cannot be written.
    """
    # A random name, since several processes may write the same file at once.
    draft = path.with_name(f".{path.stem}-{os.urandom(4).hex()}")
    create(draft, data)
    try:
        open_files.replace(draft, path)
    except BaseException:
        open_files.remove(draft)
        raise


def write_durably(path: Path, data: bytes, *, commit: Callable[[], bool] = lambda: True) -> bool:
    """
    Replace the file atomically and return once the change is on the disk. There must be only one writer at a time.

    Args:
        path: The file. Missing folders are created; access of other users to an existing one is restricted to reading.
        data: The new content.
        commit: Called when everything but the final rename is done; returns False to cancel the write.

    Returns:
        False if the write was canceled.

    Raises:
        NotPrivate: If ``path`` is a link, or its folder belongs to another user.
        OSError: If it cannot be written.
    """
    _secure_parent(path)
    _refuse_link(path)
    draft = _draft_of(path)
    open_files.remove(draft)  # left by a process that was killed
    create(draft, data, durable=True)
    try:
        if not commit():
            return False
        open_files.replace(draft, path)
    finally:
        open_files.remove(draft)
    sync_folder(path.parent)
    return True


def rename_durably(source: Path, target: Path) -> None:
    """
    Sync ``source`` to the disk, rename it to ``target``, replacing any existing file, and sync the folder.

    Raises:
        OSError: If one of these steps fails.
    """
    descriptor = open_files.open_descriptor(source, os.O_RDWR | _NO_LINK)  # Windows syncs only what is open for writing
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)
    open_files.replace(source, target)
    sync_folder(target.parent)


def sync(descriptor: int, *, platform: str = sys.platform, control: Callable[[int, int], object] | None = None) -> None:
    """
    Write an open file to the disk, and wait until it is there.

    On macOS, fsync(2) leaves it in the cache of the drive, which a power failure empties. There, fcntl(2) is used, with
    F_FULLFSYNC.

    Args:
        descriptor: The open file.
        platform: Like ``sys.platform``.
        control: fcntl(2).

    Raises:
        OSError: If that fails.
    """
    if sys.platform != "win32" and platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # not supported by every file system, such as those on a network
            (control or fcntl.fcntl)(descriptor, _F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """
    Sync a rename or removal in ``folder`` to the disk. On Windows the file system does that.

    Raises:
        OSError: If that fails.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """
    Remove the file, and what an interrupted ``write_durably`` left of it, if they exist.

    Raises:
        NotPrivate: If it is a link: the secret would remain in its target.
        OSError: If it cannot be removed.
    """
    _refuse_link(path)
    if path.parent.is_dir():
        open_files.remove(_draft_of(path))
        open_files.remove(path)
        sync_folder(path.parent)


def opener(path: str, flags: int) -> int:
    """
    Open a file with mode 0600, also if it existed with a wider one. For the ``opener`` argument of ``open``.

    Raises:
        OSError: If it cannot be opened or is a symbolic link.
    """
    descriptor = open_files.open_descriptor(path, flags | _NO_LINK, 0o600)
    try:
        if sys.platform != "win32" and os.fstat(descriptor).st_mode & _OTHERS:
            os.fchmod(descriptor, 0o600)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


# --- files that a library opens by name -------------------------------------------------------------------------------


def ensure(path: Path) -> bool:
    """
    Create an empty private file unless there is a file, which is then checked and restricted as by ``restrict``.

    Returns:
        Whether it was created.

    Raises:
        NotPrivate: If it is a link, no regular file, or another user's.
        OSError: If it cannot be created, or its mode cannot be changed.
    """
    _secure_parent(path)
    if restrict(path):
        return False
    create(path, b"")
    sync_folder(path.parent)
    return True


def restrict(path: Path) -> bool:
    """
    Check a file's owner and restrict its mode, with a warning, if other users can access it.

    This does not open the file: closing it would release the POSIX locks that the process holds on it (fcntl(2)).

    Returns:
        Whether there is a file.

    Raises:
        NotPrivate: If it is a link, no regular file, or another user's.
        OSError: If its mode cannot be changed.
    """
    status = check(path)
    if status is not None and sys.platform != "win32" and status.st_mode & _OTHERS:
        path.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS)
        _warn(_READABLE, path)
    return status is not None


def check(path: Path) -> os.stat_result | None:
    """
    Check a file's type and owner, without changing anything, and return its status. None if there is no file.

    Raises:
        NotPrivate: If it is a link, no regular file, or another user's.
        OSError: If its status cannot be read.
    """
    _refuse_link(path)
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    _check_file(path, status)
    return status


# --- internal ---------------------------------------------------------------------------------------------------------


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _refuse_link(path: Path) -> None:
    # O_NOFOLLOW would be enough, but Windows does not have it and its error (ELOOP) does not explain anything.
    if open_files.retried(path.is_symlink):
        raise NotPrivate(
            path, "is a symbolic link", "Remove it: upstash-helper does not follow links to private files."
        )


def _check_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotPrivate(path, "is not a regular file", "Move it away.")
    _check_owner(path, status)


def _check_owner(path: Path, status: os.stat_result) -> None:
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        reason = f"belongs to the user with ID {status.st_uid}, not to you"
        raise NotPrivate(path, reason, "Move it away, or run as that user.")


def _folder_status(folder: Path) -> os.stat_result:
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise NotPrivate(folder, "is a symbolic link", "Remove it: upstash-helper creates this folder itself.")
    if not stat.S_ISDIR(status.st_mode):
        raise NotPrivate(folder, "is not a folder", "Move it away.")
    _check_owner(folder, status)
    return status


def _secure_parent(path: Path) -> None:
    """Create the folder of ``path``; make sure that no other user can replace a file in it."""
    folder = path.parent
    make_folder(folder)
    if sys.platform == "win32":
        return
    status = folder.stat()
    _check_owner(folder, status)
    if status.st_mode & _OTHERS_WRITE:
        folder.chmod(stat.S_IMODE(status.st_mode) & ~_OTHERS_WRITE)
        _warn("Other users could change files in %s. Their write access was removed.", folder)


def _warn(message: str, path: Path) -> None:
    import logging  # not at the top: `upstash-helper --help` gets by without it

    logging.getLogger(__name__).warning(message, path)
