"""The signs above the pages: icons of the sprite that the dashboard draws as well (``web/pages/icons.svg``)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from upstash_helper.api.pages.static import read

if TYPE_CHECKING:
    from collections.abc import Mapping

Sign = Literal[
    "done", "key", "waiting", "cancelled", "person", "settings", "late", "pause", "fault", "offline", "shield",
    "lock", "mail", "lost",
]  # fmt: skip

ICONS: Final[Mapping[Sign, str]] = {
    "done": "check",
    "key": "key",
    "waiting": "sign-in",
    "cancelled": "cross",
    "person": "person",
    "settings": "settings",
    "late": "clock",
    "pause": "pause",
    "fault": "warning",
    "offline": "offline",
    "shield": "shield",
    "lock": "lock",
    "mail": "mail",
    "lost": "question",
}
"""The icon of each sign."""


@cache
def sprite() -> str:
    """Return all icons, as an SVG element that is not visible itself."""
    text = read("pages/icons.svg").decode()
    return text[text.index("<svg") :].strip()


@cache
def icons() -> Mapping[str, str]:
    """Return the paths of each icon by its name, as SVG for a grid of 24."""
    return dict(re.findall(r'<symbol id="icon-([a-z-]+)" viewBox="0 0 24 24">(.*)</symbol>', sprite()))


def svg(name: str) -> str:
    """
    Return an icon as an SVG element.

    Raises:
        KeyError: If the sprite does not have it.
    """
    return f'<svg viewBox="0 0 24 24" aria-hidden="true">{icons()[name]}</svg>'
