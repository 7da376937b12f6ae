"""Icons, from the sprite that the result pages and the dashboard share (``web/pages/icons.svg``)."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

from upstash_helper.api.pages.static import read

if TYPE_CHECKING:
    from collections.abc import Mapping

IconName = Literal[
    "check", "clock", "cross", "key", "lock", "mail", "offline", "pause", "person", "question", "settings", "shield",
    "sign-in", "warning",
]  # fmt: skip
"""The icons of the result pages. The dashboard uses more of the sprite."""


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
