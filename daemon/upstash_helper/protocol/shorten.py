"""
Shortening identities for places with little room, such as the title of a notification or an entry of a menu.

What decides whether a user trusts an origin is the end of its domain, and for a program the name of its file. Neither
is ever cut off: a text of which only the beginning is shown could be anyone's.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TITLE: Final = 40
"""Characters of an identity in a notification's title. Desktops cut titles at the end, and Windows after 63."""
MAX_SHOWN: Final = 120
"""Characters of an identity in a notification's body."""

_ORIGIN: Final = re.compile(r"https?://(?P<host>[^/\s]+)")
_ELLIPSIS: Final = "…"
# A whole domain of this many labels is shown, if there is room: a public suffix rarely has more than two.
_MIN_LABELS: Final = 3
# Characters for a label that is cut: its first, an ellipsis, and its last.
_MIN_ROOM: Final = 3


def shorten(text: str, limit: int) -> str:
    """
    Return at most ``limit`` characters of ``text``.

    An origin loses its scheme and then labels at the front, as in ``….example.com:8443``; a label is never cut so that
    its end could pass for a whole one. Any other text is cut in the middle.

    Args:
        text: One line.
        limit: At least 3.
    """
    if len(text) <= limit:
        return text
    match = _ORIGIN.fullmatch(text)
    return _shorten_host(match["host"], limit) if match else _cut_middle(text, limit)


def _shorten_host(host: str, limit: int) -> str:
    if len(host) <= limit:
        return host
    kept: list[str] = []
    rest = host.split(".")
    while rest and len(".".join((_ELLIPSIS, rest[-1], *kept))) <= limit:
        kept.insert(0, rest.pop())
    if len(kept) < _MIN_LABELS and rest:
        # The beginning of the next label shows that what follows is only its end.
        room = limit - len(".".join((_ELLIPSIS, "", *kept)))
        if room >= _MIN_ROOM:
            kept.insert(0, _cut_middle(rest.pop(), room))
    if not kept:
        return _cut_middle(host, limit)
    return ".".join((_ELLIPSIS, *kept)) if rest else ".".join(kept)


def _cut_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 2
    head = limit - tail - 1
    return f"{text[:head].rstrip()}{_ELLIPSIS}{text[len(text) - tail :].lstrip()}"
