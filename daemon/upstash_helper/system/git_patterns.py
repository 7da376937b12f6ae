"""
Matching a path against a pattern of a ``.gitignore`` file, in time that depends only on the lengths of both.

There is no backtracking: all positions in the path that the pattern can have reached so far are kept as the bits of one
number, and each part of the pattern moves them together. So no pattern takes long, however many asterisks it has. Like
Git, this compares bytes.

Format: https://git-scm.com/docs/gitignore. Where that is not specific enough, this follows Git's ``wildmatch.c``.
"""

from __future__ import annotations

import enum
import string
from typing import Final, NamedTuple

MAX_PATTERN: Final = 1024
"""Bytes of a pattern."""

_SLASH, _BACKSLASH, _STAR, _QUESTION, _OPEN, _CLOSE, _DASH = b"/\\*?[]-"
_SPECIAL: Final = frozenset(b"\\*?[")
_NOT_SLASH: Final = frozenset(range(256)) - {_SLASH}
_CLASSES: Final = {
    name.encode(): frozenset(characters.encode())
    for name, characters in {
        "alnum": string.ascii_letters + string.digits,
        "alpha": string.ascii_letters,
        "blank": " \t",
        "cntrl": "".join(map(chr, [*range(32), 127])),
        "digit": string.digits,
        "graph": "".join(map(chr, range(33, 127))),
        "lower": string.ascii_lowercase,
        "print": "".join(map(chr, range(32, 127))),
        "punct": string.punctuation,
        "space": " \t\r\n",
        "upper": string.ascii_uppercase,
        "xdigit": string.hexdigits,
    }.items()
}


class _Any(enum.Enum):
    """Parts of a pattern that stand for a text of any length."""

    NAME = enum.auto()
    """Any bytes but slashes."""
    PATH = enum.auto()
    """Any bytes."""
    FOLDERS = enum.auto()
    """Nothing, or any bytes and a slash."""


_Part = int | frozenset[int] | _Any


class Subject:
    """A path, prepared to be matched with many patterns."""

    def __init__(self, path: bytes) -> None:
        self._at: dict[int, int] = {}
        """For each byte, the positions at which it is."""
        for position, byte in enumerate(path):
            self._at[byte] = self._at.get(byte, 0) | 1 << position
        self._end = 1 << len(path)
        self._slashes = self._at.get(_SLASH, 0)
        self._names = (self._end - 1) ^ self._slashes

    def matches(self, parts: tuple[_Part, ...]) -> bool:
        """Return whether the whole path matches."""
        reached = 1
        for part in parts:
            match part:
                case int():
                    reached = (reached & self._at.get(part, 0)) << 1
                case frozenset():
                    reached = (reached & self._in(part)) << 1
                case _Any.NAME:
                    # The sum carries each position to the end of its name, which changes all bits on the way.
                    reached |= ((reached & self._names) + self._names) ^ self._names
                case _Any.PATH:
                    reached = self._from_first(reached)
                case _Any.FOLDERS:
                    reached |= (self._from_first(reached) & self._slashes) << 1
            if not reached:
                return False
        return bool(reached & self._end)

    def _in(self, some: frozenset[int]) -> int:
        if some is _NOT_SLASH:
            return self._names
        found = 0
        for byte, positions in self._at.items():
            if byte in some:
                found |= positions
        return found

    def _from_first(self, reached: int) -> int:
        first = reached & -reached
        return (self._end << 1) - first


class Pattern(NamedTuple):
    """A line of a ``.gitignore`` file."""

    is_ignoring: bool
    """False if it begins with an exclamation mark."""
    only_folders: bool
    """Whether it ends with a slash."""
    is_path: bool
    """Whether it is compared with the path from its file's folder, instead of the last name."""
    parts: tuple[_Part, ...]


def parsed(line: bytes) -> Pattern | None:
    """
    Return the pattern of a line; None if it is empty, a comment, or never matches.

    Args:
        line: The line, without its line feed, with at most ``MAX_PATTERN`` bytes.
    """
    if line.startswith(b"#"):
        return None
    text = _without_trailing_spaces(line.removesuffix(b"\r").partition(b"\0")[0])
    is_ignoring = not text.startswith(b"!")
    text = text.removeprefix(b"!")
    only_folders = text.endswith(b"/")
    text = text.removesuffix(b"/")
    is_path = b"/" in text
    text = text.removeprefix(b"/")
    # Git compares what is before the first special character on its own, so that the rest is a pattern of its own.
    start = next((position for position, byte in enumerate(text) if byte in _SPECIAL), len(text))
    rest = _parts(text[start:])
    if not text or rest is None:
        return None
    return Pattern(is_ignoring, only_folders, is_path, (*text[:start], *rest))


def _without_trailing_spaces(line: bytes) -> bytes:
    kept = line.rstrip(b" ")
    backslashes = len(kept) - len(kept.rstrip(b"\\"))
    # After an odd number of backslashes, the first space is escaped.
    return line[: len(kept) + 1] if backslashes % 2 else kept


def _parts(text: bytes) -> list[_Part] | None:
    parts: list[_Part] = []
    position = 0
    while position < len(text):
        byte = text[position]
        if byte == _STAR:
            stars, position = _stars(text, position)
            parts.append(stars)
        elif byte == _QUESTION:
            parts.append(_NOT_SLASH)
            position += 1
        elif byte == _OPEN:
            some = _some(text, position + 1)
            if some is None:
                return None
            parts.append(some[0])
            position = some[1]
        else:
            position += byte == _BACKSLASH
            if position == len(text):
                return None
            parts.append(text[position])
            position += 1
    return parts


def _stars(text: bytes, start: int) -> tuple[_Any, int]:
    end = start
    while text[end : end + 1] == b"*":
        end += 1
    is_alone = start == 0 or text[start - 1] == _SLASH
    if end - start == 1 or not is_alone:
        return _Any.NAME, end
    if text[end : end + 1] == b"/":
        return _Any.FOLDERS, end + 1
    return _Any.PATH if end == len(text) or text.startswith(b"\\/", end) else _Any.NAME, end


def _some(text: bytes, position: int) -> tuple[frozenset[int], int] | None:
    """Return the bytes of a set in brackets, and the position after it; None if it is not valid."""
    is_negated = text[position : position + 1] in {b"!", b"^"}
    position += is_negated
    start, previous = position, None
    found: set[int] = set()
    while position == start or text[position : position + 1] != b"]":
        if position >= len(text):
            return None
        byte, following = text[position], text[position + 1 : position + 2]
        if byte == _DASH and previous is not None and following not in {b"", b"]"}:
            position += 2 if following == b"\\" else 1
            if position == len(text):
                return None
            found.update(range(previous, text[position] + 1))
            previous = None
        elif byte == _OPEN and following == b":":
            end = text.find(b"]", position + 2)
            if end == -1:
                return None
            if end > position + 2 and text[end - 1 : end] == b":":
                characters = _CLASSES.get(text[position + 2 : end - 1])
                if characters is None:
                    return None
                found |= characters
                position, previous = end, None
            else:
                found.add(byte)
                previous = byte
        else:
            position += byte == _BACKSLASH
            if position == len(text):
                return None
            previous = text[position]
            found.add(previous)
        position += 1
    return (_NOT_SLASH - found if is_negated else frozenset(found - {_SLASH})), position + 1
