"""
Whether Git tracks a file, read from the repository's index.

The index is read here instead of by ``git``: the program may be missing, and it runs other programs that a repository's
configuration names, such as ``core.fsmonitor``. Nothing in a repository is trusted to be well-formed.

Format: https://git-scm.com/docs/index-format, versions 2 to 4, with SHA-1 and SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_INDEX: Final = 256 * 1024 * 1024
"""Bytes. About two million files."""
_MAX_POINTER: Final = 8192
"""Bytes of a ``.git`` file, which names a folder."""

_HEADER: Final = 12
_FIXED: Final = 40
"""Bytes of an entry before its object name."""
_ALGORITHMS: Final = ("sha1", "sha256")
"""Of object names, and of the checksum at the end."""
_LONG_NAME: Final = 0x0FFF
_EXTENDED: Final = 0x4000
_FOLDER_MODE: Final = 0o040000

_OPEN: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Unreadable(Exception):
    """It cannot be determined whether a file is tracked. ``str()`` is a sentence with the file and the problem."""


def repositories(folder: Path) -> Iterator[tuple[Path, Path]]:
    """
    Yield the working trees that contain ``folder``, the innermost first, each with its folder of Git data.

    A linked working tree and a submodule have a file ``.git``, which names that folder.

    Raises:
        Unreadable: If a ``.git`` cannot be read, or is a file that does not name an existing folder.
    """
    for root in (folder, *folder.parents):
        marker = root / ".git"
        try:
            status = marker.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Unreadable(f"{marker} cannot be read: {error.strerror}.") from None
        if stat.S_ISDIR(status.st_mode):
            yield root, marker
        else:
            yield root, _pointed_to(marker)


def is_tracked(path: Path) -> bool:
    """
    Return whether a repository tracks the file at ``path``, or has it in its index otherwise, such as in a conflict.

    Names are compared without regard to case and Unicode form, because a file system may do so.

    Args:
        path: The file, absolute and without links. It need not exist.

    Raises:
        Unreadable: If an index cannot be read.
    """
    for root, data in repositories(path.parent):
        wanted = _comparable(path.relative_to(root).as_posix())
        for name, is_folder in _entries(data):
            known = _comparable(name)
            # A sparse index has one entry for a whole folder.
            if known == wanted or (is_folder and wanted.startswith(known.rstrip("/") + "/")):
                return True
    return False


def _comparable(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _pointed_to(marker: Path) -> Path:
    text = _content(marker, _MAX_POINTER).decode("utf-8", "surrogateescape")
    key, _, target = text.partition(":")
    if key != "gitdir" or not target.strip() or "\0" in target:
        raise Unreadable(f"{marker} does not name a folder.")
    folder = marker.parent / target.strip()
    if not _exists(folder) or not folder.is_dir():
        raise Unreadable(f"{marker} names a folder that does not exist.")
    return folder


def _entries(data: Path) -> Iterator[tuple[str, bool]]:
    """Yield the name of each entry, and whether it is a folder of a sparse index."""
    index = data / "index"
    if not _exists(index):
        return  # a new repository
    names, shared = _parsed(index)
    yield from names
    if shared:
        # A split index: most entries are in another file. Those that it has deleted count, too: that errs on the safe
        # side, and lasts only until Git writes the shared file again.
        yield from _parsed(data / f"sharedindex.{shared}")[0]


def _parsed(index: Path) -> tuple[list[tuple[str, bool]], str]:
    content = _content(index, MAX_INDEX)
    for algorithm in _ALGORITHMS:
        digest = hashlib.new(algorithm, usedforsecurity=False)
        checksum = content[-digest.digest_size :]
        digest.update(content[: -digest.digest_size])
        # With the setting index.skipHash, the checksum is zero.
        if any(checksum) and checksum != digest.digest():
            continue
        with contextlib.suppress(ValueError, IndexError):
            return _parse(content, digest.digest_size)
    raise Unreadable(f"{index} has an unknown format.")


def _parse(content: bytes, object_name: int) -> tuple[list[tuple[str, bool]], str]:
    """
    Return the entries of an index, and the name of the shared index that it belongs to, if any.

    Args:
        content: The file.
        object_name: The size of an object name. A wrong one does not fit the entries.

    Raises:
        ValueError: If the content is not valid.
        IndexError: If it ends too early.
    """
    version, count = int.from_bytes(content[4:8]), int.from_bytes(content[8:12])
    if content[:4] != b"DIRC" or version not in (2, 3, 4):
        raise ValueError
    end = len(content) - object_name  # of everything but the checksum
    names: list[tuple[str, bool]] = []
    position, previous = _HEADER, b""
    for _ in range(count):
        fixed = position
        mode = int.from_bytes(content[fixed + 24 : fixed + 28])
        flags = int.from_bytes(content[fixed + _FIXED + object_name : fixed + _FIXED + object_name + 2])
        position = fixed + _FIXED + object_name + 2
        if flags & _EXTENDED:
            if version == 2:
                raise ValueError
            position += 2
        if version == 4:
            removed, position = _offset(content, position)
            if removed > len(previous):
                raise ValueError
            terminator = content.index(b"\0", position, end)
            name = previous[: len(previous) - removed] + content[position:terminator]
            position = terminator + 1
        else:
            terminator = content.index(b"\0", position, end)
            name = content[position:terminator]
            padded = fixed + (terminator - fixed + 8) // 8 * 8
            if any(content[terminator:padded]):
                raise ValueError
            position = padded
        if min(len(name), _LONG_NAME) != flags & _LONG_NAME or position > end:
            raise ValueError
        previous = name
        names.append((os.fsdecode(name), mode == _FOLDER_MODE))
    return names, _shared(content, position, end, object_name)


def _offset(content: bytes, position: int) -> tuple[int, int]:
    """Return a number in Git's encoding of variable length, and the position after it."""
    byte = content[position]
    value = byte & 0x7F
    while byte & 0x80:
        position += 1
        byte = content[position]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, position + 1


def _shared(content: bytes, position: int, end: int, object_name: int) -> str:
    """Read the extensions, and return the name of the shared index; an empty string if there is none."""
    shared = ""
    while position < end:
        kind, size = content[position : position + 4], int.from_bytes(content[position + 4 : position + 8])
        start, position = position + 8, position + 8 + size
        if position > end or not kind.isalpha():
            raise ValueError
        if kind == b"link":
            name = content[start : start + object_name]
            shared = name.hex() if any(name) else ""
        elif kind[:1].islower() and kind != b"sdir":
            raise ValueError  # not optional, and not known
    if position != end:
        raise ValueError
    return shared


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from None
    return True


def _content(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, _OPEN)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable(f"{path} is not a regular file.")
            if status.st_size > limit:
                raise Unreadable(f"{path} is too large.")
            return file.read(limit + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from None
