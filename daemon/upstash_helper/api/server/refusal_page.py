"""
The page that a browser shows in place of a problem document, for someone who has followed a link or typed an address.

It can be at any origin that leads here, also one that other programs have used. So it is constant but for the problem's
own text, loads nothing, and has nothing that belongs to the owner.
"""

from __future__ import annotations

import hashlib
import html
import re
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE: Final = "text/html"

_STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{margin:0 auto;padding:12vh 1.5rem 3rem;max-width:34rem;font:1rem/1.55 system-ui,sans-serif}"
    "h1{font-size:1.5rem;line-height:1.25;overflow-wrap:anywhere}p{overflow-wrap:anywhere}"
    "code{font:.95em ui-monospace,monospace}a{color:inherit}"
)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · upstash-helper</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{paragraphs}
</main>
</body>
</html>
"""

_ABOUT: Final = (
    "This is upstash-helper, a program on this computer that connects apps to Upstash. To open its dashboard, choose "
    "Dashboard in the menu of its tray icon, or run <code>upstash-helper open</code> in a terminal."
)
_HOME: Final = '<p><a href="/">Go to the start page</a></p>'

# The headers of a request that could not be parsed. What a browser sends first is never a request of a script.
_NAVIGATION: Final = re.compile(rb"\nsec-fetch-mode:[ \t]*navigate|\naccept:[ \t]*text/html", re.IGNORECASE)
_SEARCHED: Final = 65_536


def is_navigation(headers: Mapping[str, str]) -> bool:
    """
    Return whether a browser shows the response to its user.

    All current browsers send Fetch Metadata to loopback addresses. What a script requests is no navigation, whatever it
    accepts.
    """
    mode = headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "text/html" in headers.get(hdrs.ACCEPT, "").lower()


def looks_like_navigation(data: bytes) -> bool:
    """Return the same for what has arrived of a request that cannot be parsed."""
    return _NAVIGATION.search(data, 0, _SEARCHED) is not None


def render(title: str, *paragraphs: str, home: bool = False) -> bytes:
    """
    Return the page.

    Args:
        title: The problem in a few words.
        paragraphs: What happened, and what to do about it. Plain text.
        home: Whether the start page is at the same origin.
    """
    texts = "\n".join(f"<p>{html.escape(text)}</p>" for text in filter(None, paragraphs))
    return _PAGE.format(
        title=html.escape(title),
        style=_STYLE,
        paragraphs="\n".join(filter(None, (texts, f"<p>{_ABOUT}</p>", _HOME if home else ""))),
    ).encode()


@cache
def policy() -> str:
    """Return the page's Content-Security-Policy."""
    digest = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
