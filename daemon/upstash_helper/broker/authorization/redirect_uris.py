"""
Which redirect URIs a client can register, and which ones it can use.

Every client is a program on this computer (RFC 8252), so a code must not leave it. Cursor and VS Code also register
addresses on their websites, which are left out of the registration.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

MAX_LENGTH: Final = 512
"""Maximum characters of a URI."""
MAX_URIS: Final = 10
"""Maximum URIs of a client. Cursor registers three, and VS Code four."""

# Only a port, a path, or a query can follow the host. That excludes user information ("http://localhost@evil"), longer
# hosts ("http://localhost.evil"), and fragments.
_LOOPBACK: Final = re.compile(
    r"http://(?P<host>localhost|127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?P<query>\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)

# RFC 8252, section 7.1: the scheme is a reversed domain name, so it has a period. Cursor's has none, so it is listed.
# Other schemes without a period belong to browsers and systems ("javascript", "file", "ms-settings").
_PRIVATE_USE: Final = re.compile(
    r"(?:cursor|[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+):/{1,3}[A-Za-z0-9._~!$&'()*+,;=:@%/-]+"
    r"(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?"
)


_OF_ANSWER: Final = frozenset({"code", "error", "error_description", "error_uri", "iss", "state"})
"""The parameters of an answer (RFC 6749, section 4.1.2, and RFC 9207), each of which must be there once at most."""


def is_supported(uri: str) -> bool:
    """Return whether a client can register ``uri``."""
    if len(uri) > MAX_LENGTH or _names_of(uri) & _OF_ANSWER:
        return False
    loopback = _LOOPBACK.fullmatch(uri)
    if loopback is not None:
        return int(loopback["port"] or 0) <= 65_535
    return is_private_use(uri)


def is_private_use(uri: str) -> bool:
    """Return whether the scheme of ``uri`` opens a program, while the browser stays on its page."""
    return _PRIVATE_USE.fullmatch(uri) is not None and len(uri) <= MAX_LENGTH


def matches(registered: str, requested: str, *, own_port: int) -> bool:
    """
    Return whether a client that registered one URI can use another: they must be equal, except that the port of a
    loopback address may differ (RFC 8252, section 7.3), since the program gets a new port each time.

    Args:
        registered: The registered URI.
        requested: The URI in the authorization request.
        own_port: The daemon's own port, to which no code is sent.
    """
    if _names_of(requested) & _OF_ANSWER:
        return False  # of a client that was registered before this was refused
    before, now = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(requested)
    if before is None or now is None:
        return registered == requested and is_private_use(requested)
    port = int(now["port"] or 80)
    if not 0 < port <= 65_535 or port == own_port or len(requested) > MAX_LENGTH:
        return False
    return all((before[part] or default) == (now[part] or default) for part, default in _PARTS.items())


def _names_of(uri: str) -> frozenset[str]:
    """Return the names of the parameters in the query. For some readers, a semicolon separates them, too."""
    query = uri.partition("?")[2].replace(";", "&")
    return frozenset(name for name, _ in parse_qsl(query, keep_blank_values=True))


_PARTS: Final = {"host": "", "path": "/", "query": ""}
"""The parts that must be equal, with their defaults."""
