"""Redirect URIs of clients that register themselves: which ones are allowed, and which port matches (RFC 8252)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MAX_LENGTH = 2048

_LOOPBACK = re.compile(r"http://(?P<host>127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?")
_LOCAL_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
_URI = re.compile(r"[!-~]+")


def allows(uri: str) -> bool:
    """
    Return whether a client may register a redirect URI.

    Allowed are ``https``, ``http`` on this machine, and schemes of native apps, which are reversed domain names
    (RFC 8252, sections 7.1 to 7.3).
    """
    if len(uri) > MAX_LENGTH or _URI.fullmatch(uri) is None or "#" in uri or "\\" in uri:
        return False
    try:
        parts = urlsplit(uri)
        valid = parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        return False
    hosts = {"http": parts.hostname in _LOCAL_HOSTS, "https": bool(parts.hostname)}
    return valid and hosts.get(parts.scheme, "." in parts.scheme)


def matches(registered: str, requested: str) -> bool:
    """
    Return whether a client may use a redirect URI.

    Comparison is exact (RFC 9700, section 2.1), except for the port of a loopback address (RFC 8252, section 7.3).
    """
    if registered == requested:
        return True
    ours, theirs = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(requested)
    if ours is None or theirs is None or not _is_port(theirs["port"]):
        return False
    return (ours["host"], ours["rest"] or "/") == (theirs["host"], theirs["rest"] or "/")


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) < 65_536
