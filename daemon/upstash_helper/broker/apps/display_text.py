"""What an app says of itself, made fit to be shown next to what is verified."""

from __future__ import annotations

import re
import unicodedata
from itertools import groupby
from typing import Final

LONGEST_NAME: Final = 64
LONGEST_REASON: Final = 200

# Control (also line breaks), format (bidi overrides, zero-width), surrogates, private use, unassigned; and what looks
# like a space or like nothing but is a letter.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\U00016fe4")
# Variation selectors: they choose a form of the character before, and are nothing by themselves.
_SELECTORS: Final = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
# More than any script needs, and few enough that none climbs into the line above.
_MARKS: Final = 2


def clean(text: str, longest: int) -> str:
    """
    Return ``text`` on one line, in normal form C, without what hides, reorders or piles up, and at most ``longest``
    characters. It is text and not HTML: who shows it escapes it. Empty if nothing is left.
    """
    shown = "".join(" " if _is_space(character) else character for character in text)
    shown = "".join(character for character in shown if not _is_hidden(character))
    shown = unicodedata.normalize("NFC", _without_piles(shown))
    shown = re.sub(" +", " ", shown).strip()
    # A mark without a letter of its own would sit on what stands before the name.
    while shown and unicodedata.category(shown[0]) in {"Mn", "Me", "Mc"}:
        shown = shown[1:].lstrip()
    return shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"


def _is_space(character: str) -> bool:
    return character in "\t\n\r\v\f" or unicodedata.category(character) in {"Zs", "Zl", "Zp"}


def _is_hidden(character: str) -> bool:
    if any(ord(character) in selectors for selectors in _SELECTORS):
        return True
    return unicodedata.category(character) in _HIDDEN or character in _BLANK


def _without_piles(text: str) -> str:
    kept = []
    for is_mark, run in groupby(text, key=lambda character: unicodedata.category(character) in {"Mn", "Me"}):
        characters = list(run)
        kept += characters[:_MARKS] if is_mark else characters
    return "".join(kept)
