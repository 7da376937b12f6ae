"""Cleaning text that an app supplies, so that it can be shown next to verified text."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Final

from upstash_helper.protocol.shorten import shorten

MAX_NAME: Final = 64
MAX_REASON: Final = 200

# Categories: control (includes line breaks), format (bidi overrides, zero-width), surrogates, private use, unassigned,
# separators. _BLANK: letters that look like a space or like nothing.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\U00016fe4")
# Variation selectors: they select a form of the preceding character and are invisible on their own.
_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
# Combining marks per character: as many as any script needs, and too few to reach into the line above.
_MAX_MARKS: Final = 2


def clean(text: str, limit: int) -> str:
    """
    Return ``text`` on one line, in normal form C, without characters that hide, reorder, or stack up, and with at most
    ``limit`` characters; what is too much is left out in the middle or, of an origin, at the front. The result is text,
    not HTML: it must still be escaped. It is empty if nothing is left.
    """
    shown = "".join(" " if _is_space(character) else character for character in text)
    shown = "".join(character for character in shown if not _is_hidden(character))
    shown = unicodedata.normalize("NFC", _limit_marks(shown))
    shown = re.sub(" +", " ", shown).strip()
    # A leading mark would combine with the character in front of the name.
    while shown and unicodedata.category(shown[0]) in {"Mn", "Me", "Mc"}:
        shown = shown[1:].lstrip()
    return shorten(shown, limit)


def _is_space(character: str) -> bool:
    return character in "\t\n\r\v\f" or unicodedata.category(character) in {"Zs", "Zl", "Zp"}


def _is_hidden(character: str) -> bool:
    if any(ord(character) in selectors for selectors in _SELECTORS):
        return True
    return unicodedata.category(character) in _HIDDEN or character in _BLANK


def _limit_marks(text: str) -> str:
    kept = []
    for is_mark, run in groupby(text, key=lambda character: unicodedata.category(character) in {"Mn", "Me"}):
        characters = list(run)
        kept += characters[:_MAX_MARKS] if is_mark else characters
    return "".join(kept)
