"""
Words fit for a menu: on one line each, short, and without what moves, hides or reorders the others.

What is shown comes from elsewhere: an app says what it is called, an account what its databases are.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import Final

LONGEST_NAME: Final = 48
"""Characters of somebody else's words within an entry's own."""
LONGEST_LINE: Final = 64
"""Characters of an entry."""
_MOST_LINES: Final = 6
# Who sends ten thousand characters gets no more of them looked at than could ever be shown.
_LOOKED_AT: Final = 4096

_UNSEEN: Final = "\N{REPLACEMENT CHARACTER}"
# They look like a space or like nothing, and yet are printable letters, symbols or marks: the Hangul fillers, the empty
# Braille pattern, the joiner of graphemes, Khmer's inherent vowels, Mongolian's and the common variation selectors.
_BLANK: Final = "\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
# More marks on a letter than any script needs climb into the lines above.
_MARKS: Final = 2


def one_line(text: str) -> str:
    """Return ``text`` on one line, with a � for each run of what cannot be seen, so that it does not pass for less."""
    if len(text) > _LOOKED_AT:
        text = text[: _LOOKED_AT // 2] + "…" + text[-_LOOKED_AT // 2 :]
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    seen = "".join(character if character.isprintable() else _UNSEEN for character in text)
    return _without_piles(re.sub(f"[{_UNSEEN}{_BLANK}]+", _UNSEEN, seen))


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """Return ``text`` on one line of at most ``longest`` characters: what is cut is in its middle."""
    text = one_line(text)
    if len(text) <= longest:
        return text
    # Of an address and of a path the end counts as much as the beginning.
    head = longest // 2
    tail = longest - head - 1
    return f"{text[:head].rstrip()}…{text[-tail:].lstrip()}"


def quoted(text: str, longest: int = LONGEST_NAME) -> str:
    """Return somebody else's words in quotation marks, which those within cannot end."""
    inner = re.sub('["“”„‟″\uff02]', "'", text)
    return f"“{short(inner, longest)}”"


def lines(text: str, *, first: str = "", most: int = _MOST_LINES) -> tuple[str, ...]:
    """Return ``text`` as words of a menu that say all of it, unless that takes more lines than ``most``."""
    wrapped = textwrap.wrap(
        one_line(text),
        LONGEST_LINE - 8,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        max_lines=most,
        placeholder="…",
    )
    return tuple(wrapped)


def whole(text: str, shown: tuple[str, ...]) -> bool:
    """Return whether ``shown``, made by ``lines``, says all of ``text``."""
    return "".join(text.split()) in "".join("".join(shown).split())


def moment(timestamp: str) -> str:
    """Return an RFC 3339 timestamp in the user's own time."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return short(timestamp)


def _without_piles(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks <= _MARKS:
            kept.append(character)
    return "".join(kept)
