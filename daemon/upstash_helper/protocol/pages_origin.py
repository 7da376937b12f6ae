"""
The name of the owner's pages, which gives them an origin that no other program uses or has used.

Every program that ever listened on a port of ``localhost`` may have left a service worker or an open page at
``http://localhost:PORT``. Browsers resolve every name below ``localhost`` to the loopback addresses (RFC 6761, section
6.3), so the owner's pages have such a name, with a random part that is new at every start: no program can have prepared
for it.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

SITE: Final = "upstash-helper.localhost"
"""The site of the owner's pages. It only redirects to the current name; ``connect.js`` opens it for the bridge."""

_ON_SITE: Final = re.compile(rf"https?://([a-z0-9-]+\.)*{re.escape(SITE)}(:[0-9]+)?", re.IGNORECASE)


def new_name() -> str:
    """Return a name for the owner's pages, with 64 random bits."""
    return f"{secrets.token_hex(8)}.{SITE}"


def is_on_site(origin: str) -> bool:
    """Return whether ``origin`` looks like one of the owner's pages. No app may have such an origin, on any port."""
    return _ON_SITE.fullmatch(origin) is not None
