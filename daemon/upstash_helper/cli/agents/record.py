"""
The record of what ``setup`` has changed, so that it can be undone. It is in the profile's state folder, private to the
user.

It does not contain the files, which have the secrets of other servers, but only the difference of each change: its
position, the length of the new text, and the old text. Hashes show whether it still applies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from upstash_helper.cli.agents.errors import Refused
from upstash_helper.system import private_files

FILE_NAME: Final = "agents.json"
_LIMIT: Final = 10_000_000


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one file."""

    agent: str
    server: str
    path: str
    """Where the agent looks for the file."""
    target: str
    """Where the file is: the path without links."""
    before: str | None
    """SHA-256 of the old content; None if there was no file."""
    after: str
    """SHA-256 of the new content."""
    offset: int
    length: int
    """Of the new text, in bytes."""
    replaced: bytes
    """The old text."""
    fields: Mapping[str, Any]
    """The connection fields that were written."""
    previous: Mapping[str, Any] | None
    """The connection fields that the entry had before; None if there was no entry."""
    created: bool
    """Whether the object for the servers was created."""
    folders: Sequence[str] = ()
    """Folders that were created."""
    written: bytes = b""
    """The new text. Empty in the record of an earlier version."""

    def __repr__(self) -> str:
        """Return the change without texts, which may contain secrets."""
        return f"Change({self.agent}, {self.path})"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    version: int = 1
    changes: Sequence[Change] = ()


def digest(data: bytes) -> str:
    """Return the SHA-256 of a content."""
    return hashlib.sha256(data).hexdigest()


def difference(before: bytes, after: bytes) -> tuple[int, int, bytes]:
    """Return where two contents differ: an offset, the length of the new text there, and the old text."""
    start = _common(before, after)
    old, new = before[start:], after[start:]
    end = _common(old[::-1], new[::-1])
    return start, len(new) - end, old[: len(old) - end]


def _common(first: bytes, second: bytes) -> int:
    """Return the length of the common beginning."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def reversed_change(change: Change, data: bytes) -> bytes:
    """Return the content before a change. ``data`` is the one after it."""
    return data[: change.offset] + change.replaced + data[change.offset + change.length :]


def by_file(changes: Sequence[Change]) -> list[list[Change]]:
    """
    Return the changes of each file, oldest first. The file that was changed last comes first.

    An agent can have several files, such as one for each value of CLAUDE_CONFIG_DIR. Through links, a file can have
    several paths, and a path several files over time.
    """
    found: list[list[Change]] = []
    for change in changes:
        earlier = next((one for one in found if any(_is_same_file(change, other) for other in one)), [])
        found = [*(one for one in found if one is not earlier), [*earlier, change]]
    return found[::-1]


def _is_same_file(one: Change, other: Change) -> bool:
    return one.path == other.path or one.target == other.target


def load(state: Path) -> list[Change]:
    """
    Return the changes, oldest first.

    Raises:
        Refused: If the record cannot be read.
    """
    path = state / FILE_NAME
    try:
        data = private_files.read(path, limit=_LIMIT)
        return [] if data is None else list(msgspec.json.decode(data, type=_Record).changes)
    except private_files.NotPrivate as error:
        raise Refused(str(error)) from error
    except msgspec.DecodeError as error:
        message = f"{path}, the record of what setup has changed, is damaged: {error}. Move it to another folder."
        raise Refused(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise Refused(message) from error


def save(state: Path, changes: Sequence[Change]) -> None:
    """
    Replace the record. If there are no changes, remove it.

    Raises:
        Refused: If it cannot be written.
    """
    path = state / FILE_NAME
    try:
        if changes:
            private_files.write_durably(path, msgspec.json.encode(_Record(changes=changes)))
        else:
            private_files.remove(path)
    except private_files.NotPrivate as error:
        raise Refused(str(error)) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise Refused(message) from error
