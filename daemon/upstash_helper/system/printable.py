"""Text from other processes, made safe to show. Modules here need it, and none may import the broker's rules."""

from __future__ import annotations

import re
from typing import Final

# Printable according to Unicode, but shown as a space or as nothing: Hangul fillers, the empty Braille pattern, the
# combining grapheme joiner, Khmer inherent vowels, and the Mongolian and common variation selectors.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

_OVERLOOKED: Final = re.compile(r"(?<= ) | (?=/|$)|(?<=/) ")


def printable(text: str) -> str:
    r"""
    Return ``text`` with an escape in place of each character that cannot be seen: line breaks, control characters, and
    invisible ones that hide or reorder others. Two different texts never become the same one.

    An escape is ``\xNN`` for a byte that is not valid UTF-8 and for an ASCII character, and otherwise ``\uNNNN`` or
    ``\UNNNNNNNN``. A text with escapes has each of its own backslashes doubled.
    """
    if all(map(_is_visible, text)):
        return text
    return "".join(_escaped(character) for character in text)


def printable_path(path: str) -> str:
    """
    Return a path like ``printable``, also with an escape in place of each space that is easily overlooked: one after
    another space, which pages show as one, and one at the beginning or the end of a name.
    """
    overlooked = {found.start() for found in _OVERLOOKED.finditer(path)}
    if not overlooked:
        return printable(path)
    return "".join("\\x20" if index in overlooked else _escaped(it) for index, it in enumerate(path))


def _is_visible(character: str) -> bool:
    return character.isprintable() and not _BLANK.match(character)


def _escaped(character: str) -> str:
    code = ord(character)
    if character == "\\":
        return "\\\\"
    if _is_visible(character):
        return character
    if 0xDC80 <= code <= 0xDCFF:  # how Python decodes a byte of a file name that is not UTF-8 (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
