"""
An agent's configuration file, which belongs to the user, and which the agent also writes.

It is replaced atomically, with its owner, mode, and (on Linux) extended attributes, and only if it has not changed
since it was read. A link, as dotfile managers use, is followed: its target is replaced, and the link remains.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from upstash_helper.cli.agents.errors import FileChanged, Refused
from upstash_helper.system import open_files, private_files, text

_BOM: Final = "\ufeff"
_LIMIT: Final = 64_000_000
"""In bytes. Claude Code keeps its history in the same file, which can have several megabytes."""


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """A file as it was when it was read."""

    path: Path
    """Where the agent looks for it."""
    target: Path
    """Where it is: ``path`` without links."""
    data: bytes | None = field(repr=False)
    """None if there is no file. It may contain the user's secrets."""
    status: os.stat_result | None = None

    @property
    def text(self) -> str:
        """
        Its text, without a byte order mark.

        Raises:
            Refused: If it is not UTF-8.
        """
        try:
            return text.decode_utf8(self.data or b"")
        except text.NotUtf8 as error:
            message = f"{self.path} {error}"
            raise Refused(message) from None

    def encoded(self, changed: str) -> bytes:
        """Return a text in the encoding of the file."""
        has_mark = (self.data or b"").startswith(_BOM.encode())
        return (_BOM if has_mark else "").encode() + changed.encode()


def read(path: Path) -> ConfigFile:
    """
    Read a file, which may be missing.

    Raises:
        Refused: If it cannot be read, or is not a regular file.
    """
    target = Path(os.path.realpath(path))  # Path.resolve() reports a loop of links as another exception
    try:
        status = target.stat()
        if not stat.S_ISREG(status.st_mode):
            message = f"{path} is not a file."
            raise Refused(message)
        if status.st_size > _LIMIT:
            message = f"{path} is larger than {_LIMIT // 1_000_000} MB, so it cannot be a configuration file."
            raise Refused(message)
        return ConfigFile(path=path, target=target, data=open_files.read_bytes(target), status=status)
    except FileNotFoundError:
        if path.is_symlink():
            message = f"{path} is a link to {target}, which does not exist. Create that file, or remove the link."
            raise Refused(message) from None
        return ConfigFile(path=path, target=target, data=None)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise Refused(message) from error


def check_writable(file: ConfigFile) -> None:
    """
    Check that the file may be replaced.

    Raises:
        Refused: If it belongs to another user, is read-only, or has other names.
    """
    status = file.status
    if status is None:
        return
    where = file.path if file.path == file.target else f"{file.path} (in {file.target})"
    if sys.platform != "win32" and status.st_uid != os.geteuid():
        message = f"{where} belongs to the user with ID {status.st_uid}, so it is not changed."
        raise Refused(message)
    # Not only os.access, which is always true for root.
    if not status.st_mode & stat.S_IWUSR or not os.access(file.target, os.W_OK):
        message = f"{where} is read-only, so it is not changed. If a tool manages it, make the change in that tool."
        raise Refused(message)
    if status.st_nlink > 1:
        message = f"{where} has hard links, which would keep the old content, so it is not changed."
        raise Refused(message)


def replace(file: ConfigFile, data: bytes) -> list[Path]:
    """
    Write the file, and return the folders that had to be created for it.

    Raises:
        FileChanged: If it was changed, created, or removed since it was read.
        Refused: If it cannot be written.
    """
    check_writable(file)
    folder = file.target.parent
    created = [path for path in (folder, *folder.parents) if not path.is_dir()]
    try:
        private_files.make_folder(folder)
        draft = file.target.with_name(f".{file.target.name}.{os.urandom(4).hex()}")
        private_files.create(draft, data, durable=True)
        try:
            if file.status is not None:
                _copy_attributes(file.target, draft, file.status)
            _check_unchanged(file)
            open_files.replace(draft, file.target)
        finally:
            open_files.remove(draft)
        private_files.sync_folder(folder)
    except OSError as error:
        message = f"{file.path} cannot be written: {open_files.describe(error) or error.strerror}"
        raise Refused(message.removesuffix(".") + ".") from error
    return created


def remove(file: ConfigFile, folders: list[Path]) -> None:
    """
    Remove the file, and those of ``folders`` that are empty then.

    Raises:
        FileChanged: If it was changed since it was read.
        Refused: If it cannot be removed.
    """
    check_writable(file)
    try:
        _check_unchanged(file)
        open_files.remove(file.target)
    except OSError as error:
        message = f"{file.path} cannot be removed: {open_files.describe(error) or error.strerror}"
        raise Refused(message.removesuffix(".") + ".") from error
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        try:
            folder.rmdir()
        except OSError:
            return


def _check_unchanged(file: ConfigFile) -> None:
    try:
        now = open_files.read_bytes(file.target)
    except FileNotFoundError:
        now = None
    if now != file.data:
        raise FileChanged


def _copy_attributes(source: Path, draft: Path, status: os.stat_result) -> None:
    """Give the draft the group, mode, and extended attributes of the file."""
    if sys.platform != "win32" and status.st_gid != draft.stat().st_gid:
        os.chown(draft, -1, status.st_gid)
    shutil.copystat(source, draft)
    os.utime(draft)  # agents use the time to notice a change
