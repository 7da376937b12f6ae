"""
Which page may read an answer (Fetch standard, section 3.2): the one whose exact origin the gate has found fit, and no
other. Never ``*``, never with credentials, and nothing of the Private Network Access headers, which browsers dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from collections.abc import Iterable

_READER: web.RequestKey[str] = web.RequestKey("reader", str)

ALLOWED_HEADERS: Final = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id"
EXPOSED_HEADERS: Final = (
    "etag, idempotency-replayed, location, retry-after, upstash-helper-probe, via, www-authenticate"
)
MAX_AGE: Final = 600
"""Seconds. A browser that remembers a yes for longer would ask on after the user has revoked the app."""


def let_read(request: web.Request, origin: str | None) -> None:
    """Let the page of ``origin`` read the answer to ``request``."""
    if origin is not None:
        request[_READER] = origin


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Say so in the answer, whatever it is: an error that the page cannot read helps nobody."""
    if hdrs.ORIGIN in request.headers:
        response.headers[hdrs.VARY] = "Origin"
    origin = request.get(_READER)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS


def preflight(methods: Iterable[str]) -> web.Response:
    """Answer a browser that asks first."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE),
        },
    )
