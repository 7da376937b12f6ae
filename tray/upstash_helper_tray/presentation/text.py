"""
Display text that is safe in a menu: on one line, short, and without characters that hide, reorder, or overlap others.

Much of what is shown is untrusted: apps choose their own names, and databases have the names that their owners gave.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from typing import Final

from upstash_helper.protocol.shorten import shorten as shorten_line

MAX_NAME: Final = 48
"""Characters of a foreign name within an entry."""
MAX_LINE: Final = 64
"""Characters of an entry."""
_MAX_LINES: Final = 6
# Bounds the work for a very long text, of which only the ends can be shown anyway.
_MAX_INPUT: Final = 4096

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
# Printable according to Unicode, but rendered as a space or as nothing: Hangul fillers, the empty Braille pattern, the
# combining grapheme joiner, Khmer inherent vowels, and the Mongolian and common variation selectors.
_BLANK: Final = "\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
# Stacked combining marks reach into the lines above. No script needs more than this many on one letter.
_MAX_MARKS: Final = 2


def one_line(text: str) -> str:
    """
    Return ``text`` on one line.

    Each run of invisible characters becomes a �, so that a text that contains some cannot pass for one that does not.
    """
    if len(text) > _MAX_INPUT:
        text = text[: _MAX_INPUT // 2] + "…" + text[-_MAX_INPUT // 2 :]
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    visible = "".join(character if character.isprintable() else _REPLACEMENT for character in text)
    return _without_stacked_marks(re.sub(f"[{_REPLACEMENT}{_BLANK}]+", _REPLACEMENT, visible))


def shorten(text: str, limit: int = MAX_NAME) -> str:
    """Return ``text`` on one line of at most ``limit`` characters; the end of a domain or a path is always shown."""
    return shorten_line(one_line(text), limit)


def quoted(text: str, limit: int = MAX_NAME) -> str:
    """Return untrusted text in quotation marks. Double quotes inside are replaced, so that they cannot close it."""
    inner = re.sub('["“”„‟″\uff02]', "'", text)
    return f"“{shorten(inner, limit)}”"


def wrapped(text: str, *, first: str = "", limit: int = _MAX_LINES) -> tuple[str, ...]:
    """
    Wrap ``text`` into lines for a menu, and elide the middle if it takes more than ``limit`` lines.

    Args:
        text: The text.
        first: Prefix of the first line, such as a bullet. The other lines are indented by its length.
        limit: Maximum number of lines.
    """
    lines = textwrap.wrap(
        one_line(text),
        MAX_LINE - 8,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,  # or a domain with many hyphens would take too many lines
    )
    if len(lines) <= limit:
        return tuple(lines)
    head = limit // 2
    return (*lines[:head], " " * len(first) + "…", *lines[len(lines) - (limit - head - 1) :])


def is_complete(text: str, shown: tuple[str, ...]) -> bool:
    """Return whether ``shown``, as returned by ``wrapped``, contains all of ``text``."""
    return "".join(text.split()) in "".join("".join(shown).split())


def local_time(timestamp: str) -> str:
    """Return an RFC 3339 timestamp as local date and time."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return shorten(timestamp)


def _without_stacked_marks(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if marks <= _MAX_MARKS:
            kept.append(character)
    return "".join(kept)
