"""
The name of the owner's pages, which gives them an origin that no other program uses or has used.

Every program that ever listened on a port of ``localhost`` may have left a service worker or an open page at
``http://localhost:PORT``. Browsers resolve every name below ``localhost`` to the loopback addresses (RFC 6761, section
6.3), so the owner's pages have such a name, with a random part that is new at every start: no program can have prepared
for it.
"""

from __future__ import annotations

import secrets
from typing import Final

SITE: Final = "upstash-helper.localhost"
"""The site of the owner's pages. It only redirects to the current name; ``connect.js`` opens it for the bridge."""


def new_name() -> str:
    """Return a name for the owner's pages, with 64 random bits."""
    return f"{secrets.token_hex(8)}.{SITE}"


def is_on_site(origin: str) -> bool:
    """
    Return whether ``origin`` looks like one of the owner's pages, on any port. No app may have such an origin.

    A name may end with a dot, and browsers accept more characters in names than DNS does.
    """
    host = origin.partition("://")[2].partition(":")[0].rstrip(".").lower()
    return host == SITE or host.endswith(f".{SITE}")
