"""
Reading and replacing a file in one of the user's folders, without following a link anywhere in its path.

Other programs may change the folder in the meantime, for example to redirect a write. Where the system has openat(2),
each folder is opened relative to the one before it, so that the folder that was checked is the one that is used. Python
has no such call on Windows: there, the folders are checked before and after the content is written, and the file is
then renamed within its folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CLOSED: Final = getattr(os, "O_CLOEXEC", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | _CLOSED
# O_PATH: a folder on the way, such as /home, may be one that this user can pass through, but not list.
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
_LIST: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NO_LINK
# O_NONBLOCK: opening a FIFO must not wait for its other end.
_READ: Final = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_BINARY", 0)

# ntifs.h: the tags of links and mount points have it, those of cloud storage and deduplication have not.
_NAME_SURROGATE: Final = 0x20000000
_NO_HARD_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EACCES}
)


class Refused(Exception):
    """The file or a folder is not what it must be. ``str()`` names it and explains why, in whole sentences."""


class Changed(Exception):
    """Another program has changed the file since it was read. Nothing was written."""


class Content(NamedTuple):
    """A file's content."""

    data: bytes
    version: tuple[int, ...]
    """Differs after each change of the file."""
    mode: int


class Folder(Protocol):
    """An open folder."""

    def read(self, name: str, *, limit: int) -> Content | None:
        """
        Return a file's content, or None if there is no file.

        Raises:
            Refused: If it is a link, not a regular file, another user's, larger than ``limit``, or has further names.
            OSError: If it cannot be read.
        """

    def replace(self, name: str, data: bytes, *, mode: int, version: tuple[int, ...] | None) -> None:
        """
        Create or replace a file atomically.

        Args:
            name: The file's name.
            data: The new content.
            mode: The new mode, where the system has modes.
            version: Of the content that is replaced; None if there must be no file.

        Raises:
            Changed: If the file is not of this version any more.
            Refused: If a folder has become a link.
            OSError: If it cannot be written. The file is unchanged.
        """


OpenFolder = contextlib.AbstractContextManager[Folder]


@contextlib.contextmanager
def open_folder(
    path: Path, *, before_rename: Callable[[], None] = lambda: None, by_path: bool = sys.platform == "win32"
) -> Iterator[Folder]:
    """
    Open a folder.

    Args:
        path: The folder, absolute and without links.
        before_rename: Called when everything but the rename is done.
        by_path: Whether to use paths, as on systems without openat(2).

    Raises:
        Refused: If it, or a folder that contains it, is a link or not a folder.
        FileNotFoundError: If there is none.
        OSError: If it cannot be opened.
    """
    if by_path:
        yield _PathFolder(path, before_rename)
        return
    descriptor = _walk(path)
    try:
        yield _DescriptorFolder(path, descriptor, before_rename)
    finally:
        os.close(descriptor)


def _walk(path: Path) -> int:
    descriptor = os.open(path.anchor, _PASS)
    try:
        for number, part in enumerate(path.parts[1:], start=2):
            try:
                deeper = os.open(part, _PASS, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                    raise _not_a_folder(Path(*path.parts[:number])) from None
                error.filename = str(Path(*path.parts[:number]))
                raise
            os.close(descriptor)
            descriptor = deeper
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class _DescriptorFolder:
    def __init__(self, path: Path, descriptor: int, before_rename: Callable[[], None]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._before_rename = before_rename

    def read(self, name: str, *, limit: int) -> Content | None:
        try:
            descriptor = os.open(name, _READ, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _explained(error, self._path / name) from None
        return _read(descriptor, self._path / name, limit)

    def replace(self, name: str, data: bytes, *, mode: int, version: tuple[int, ...] | None) -> None:
        draft = _draft_name()
        descriptor = os.open(draft, _CREATE, 0o600, dir_fd=self._descriptor)
        try:
            _fill(descriptor, data, mode)
            self._before_rename()
            self._check(name, version)
            if version is None:
                self._link(draft, name)
            else:
                os.replace(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=self._descriptor)
        self._sync()

    def _check(self, name: str, version: tuple[int, ...] | None) -> None:
        try:
            now = _version(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False))
        except FileNotFoundError:
            now = None
        if now != version:
            raise Changed

    def _link(self, draft: str, name: str) -> None:
        """Give the draft its name, unless another program has created a file with it."""
        try:
            os.link(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)
        except FileExistsError:
            raise Changed from None
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            os.rename(draft, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def _sync(self) -> None:
        with contextlib.suppress(OSError):  # the change is made, and may be lost only if the power fails now
            descriptor = os.open(".", _LIST, dir_fd=self._descriptor)
            try:
                private_files.sync(descriptor)
            finally:
                os.close(descriptor)


class _PathFolder:
    def __init__(self, path: Path, before_rename: Callable[[], None]) -> None:
        self._path = path
        self._before_rename = before_rename
        self._folder = self._identity()

    def read(self, name: str, *, limit: int) -> Content | None:
        path = self._path / name
        try:
            status = path.lstat()
        except FileNotFoundError:
            return None
        if _is_link(status):
            raise Refused(f"{path} is a link. Variables are not written through links.")
        _check_file(path, status, limit)  # before it is opened: opening a device can block
        descriptor = open_files.open_descriptor(path, _READ)
        content = _read(descriptor, path, limit)
        self._check_folder()
        return content

    def replace(self, name: str, data: bytes, *, mode: int, version: tuple[int, ...] | None) -> None:
        path, draft = self._path / name, self._path / _draft_name()
        descriptor = os.open(draft, _CREATE, 0o600)
        try:
            _fill(descriptor, data, mode)
            self._before_rename()
            self._check_folder()
            self._check(path, version)
            if version is None:
                self._link(draft, path)
            else:
                open_files.replace(draft, path)
        finally:
            with contextlib.suppress(OSError):
                open_files.remove(draft)

    def _check(self, path: Path, version: tuple[int, ...] | None) -> None:
        try:
            now = _version(path.lstat())
        except FileNotFoundError:
            now = None
        if now != version:
            raise Changed

    def _link(self, draft: Path, path: Path) -> None:
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            raise Changed from None
        except OSError:
            open_files.rename(draft, path)  # on Windows, this fails if there is a file

    def _check_folder(self) -> None:
        if self._identity() != self._folder:
            raise Refused(f"{self._path} was moved or replaced by another program.")

    def _identity(self) -> tuple[int, int]:
        status = self._path.lstat()
        for folder in (*reversed(self._path.parents), self._path):
            status = folder.lstat()
            if _is_link(status) or not stat.S_ISDIR(status.st_mode):
                raise _not_a_folder(folder)
        return status.st_dev, status.st_ino


def _draft_name() -> str:
    # Common .gitignore files cover it, in case that the process is killed before it has been renamed.
    return f".env.{os.urandom(6).hex()}.local"


def _fill(descriptor: int, data: bytes, mode: int) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        if sys.platform != "win32":
            os.fchmod(descriptor, mode)
        private_files.sync(descriptor)


def _read(descriptor: int, path: Path, limit: int) -> Content:
    try:
        status = os.fstat(descriptor)
        _check_file(path, status, limit)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise _too_large(path, limit)
    return Content(data, _version(status), stat.S_IMODE(status.st_mode))


def _check_file(path: Path, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"{path} is not a regular file.")
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        raise Refused(f"{path} belongs to another user.")
    if status.st_nlink > 1:
        raise Refused(f"{path} has hard links, which would keep the old content.")
    if status.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: Path, limit: int) -> Refused:
    return Refused(f"{path} is larger than {limit} bytes, so it cannot be a file for variables.")


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def _is_link(status: os.stat_result) -> bool:
    tag: int = getattr(status, "st_reparse_tag", 0)
    return stat.S_ISLNK(status.st_mode) or bool(tag & _NAME_SURROGATE)


def _not_a_folder(path: Path) -> Refused:
    with contextlib.suppress(OSError):
        if _is_link(path.lstat()):
            return Refused(f"{path} is a link. Variables are not written through links.")
    return Refused(f"{path} is not a folder.")


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return Refused(f"{path} is a link. Variables are not written through links.")
    if error.errno in (errno.ENXIO, errno.EISDIR):  # a socket, a FIFO without a reader, a folder
        return Refused(f"{path} is not a regular file.")
    error.filename = str(path)
    return error
