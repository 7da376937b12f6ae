"""Which header fields go through to Upstash, and which come back (RFC 9110, section 7.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Fields = tuple[tuple[str, str], ...]

VIA: Final = "1.1 upstash-helper"
"""RFC 9110, section 7.6.3. In an answer it tells Upstash's statuses from the daemon's own."""

# RFC 9110, section 7.6.1: they are about one connection, and there are two.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "http2-settings"}
)

_NOT_TO_UPSTASH: Final = frozenset(
    {
        "accept-encoding",  # sent once, below
        "authorization",  # the app's own token
        "content-length",  # said anew with the body
        "cookie",
        "cookie2",
        "forwarded",
        "host",
        "origin",
        "purpose",
        "referer",
        "user-agent",
        "via",
        "x-real-ip",
        # Some servers take another method or path from these: a GET could delete, and a path that is not let through
        # could be reached by one that is.
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
    }
)
_NOT_TO_UPSTASH_PREFIXES: Final = ("access-control-", "proxy-", "sec-", "x-forwarded-")

_NOT_TO_APPS: Final = frozenset(
    {
        "alt-svc",
        "authentication-info",
        "authorization",
        "clear-site-data",
        "date",
        "nel",
        "refresh",
        "server",
        "service-worker-allowed",
        "set-cookie",
        "set-cookie2",
        "sourcemap",
        "strict-transport-security",
        "timing-allow-origin",
        "via",
        "www-authenticate",
        "x-powered-by",
        "x-sourcemap",
        # How a browser treats an answer is said by the gate, for every answer of the daemon's.
        "cache-control",
        "content-security-policy",
        "content-security-policy-report-only",
        "expires",
        "origin-agent-cluster",
        "permissions-policy",
        "pragma",
        "referrer-policy",
        "report-to",
        "reporting-endpoints",
        "x-content-type-options",
        "x-dns-prefetch-control",
        "x-frame-options",
        "x-permitted-cross-domain-policies",
        "x-xss-protection",
    }
)
_NOT_TO_APPS_PREFIXES: Final = ("access-control-", "cross-origin-", "proxy-", "sec-")

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110, section 5.5, without what is not UTF-8: aiohttp keeps that as lone surrogates and cannot write them.
_VALUE: Final = re.compile(r"[\t -~\x80-\ud7ff\ue000-\U0010ffff]*")


def to_upstash(fields: Iterable[tuple[str, str]]) -> Fields:
    """
    Return the fields of a request that go on, without ``Authorization``, ``Content-Length`` and ``User-Agent``.

    Bodies pass as they are, so an encoding is asked for only if the app has: else it might get one it cannot read.
    """
    fields = tuple(fields)
    taken = [value for name, value in fields if name.lower() == "accept-encoding" and _VALUE.fullmatch(value)]
    passed = _passed(fields, _NOT_TO_UPSTASH, _NOT_TO_UPSTASH_PREFIXES)
    return (*passed, ("Accept-Encoding", ", ".join(taken) or "identity"), ("Via", VIA))


def to_app(fields: Iterable[tuple[str, str]]) -> Fields:
    """Return the fields of an answer that go back."""
    fields = tuple(fields)
    via = [value for name, value in fields if name.lower() == "via" and _VALUE.fullmatch(value)]
    return (*_passed(fields, _NOT_TO_APPS, _NOT_TO_APPS_PREFIXES), ("Via", ", ".join([*via, VIA])))


def _passed(fields: Fields, dropped: frozenset[str], prefixes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    of_connection = {
        option.strip().lower() for name, value in fields if name.lower() == "connection" for option in value.split(",")
    }
    for name, value in fields:
        known = name.lower()
        if known in _HOP_BY_HOP or known in dropped or known in of_connection or known.startswith(prefixes):
            continue
        # Line breaks above all: with them a value could end the header and begin another answer.
        if _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            yield name, value
