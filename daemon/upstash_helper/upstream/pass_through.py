"""The ``PassThroughApi`` port over HTTP: requests go out with the account's credential, and answers come back."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from upstash_helper.broker.errors import InvalidRequest, ReconnectRequired, UpstreamTimeout, UpstreamUnavailable
from upstash_helper.broker.ports import PassThroughResponse
from upstash_helper.upstream.developer_api import basic, transport_error
from upstash_helper.upstream.request import TransportFailed, failure_of
from upstash_helper.upstream.streaming import Opening

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from aiohttp import ClientResponse

    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import PassThroughRequest
    from upstash_helper.upstream.http_client import Upstream

ANSWER_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 60.0

# Visible ASCII, without the fragment that no request-target has (RFC 9112, section 3.2.1).
_TARGET: Final = re.compile(r"[!\"$-~]+")


class DeveloperApiPassage:
    """The adapter."""

    def __init__(
        self,
        *,
        http: Upstream,
        api_url: str,
        answer_seconds: float = ANSWER_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """
        Args:
            http: The client.
            api_url: The Developer API without ``/v2``.
            answer_seconds: From the end of the request to the headers of the answer.
            idle_seconds: Between two pieces of the answer's body.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/"
        self._answer_seconds = answer_seconds
        self._idle_seconds = idle_seconds

    @asynccontextmanager
    async def open(self, credential: Credential, request: PassThroughRequest) -> AsyncIterator[PassThroughResponse]:
        """Send ``request`` once and hand out the answer."""
        opening = Opening(
            method=request.method,
            url=self._url(request.target),
            headers=_fields(credential, request),
            body=request.body,
            seconds=self._answer_seconds,
        )
        failure: Exception
        try:
            async with (
                self._http.open(opening) as response,
                aclosing(self._pieces(response, opening.url)) as pieces,
            ):
                if response.status == 401:
                    raise ReconnectRequired("Upstash does not take the stored API key any more. Connect again.")
                yield PassThroughResponse(
                    status=response.status, headers=to_app(response.headers.items()), pieces=pieces
                )
                return
        except TransportFailed as error:
            failure = transport_error(error, changing=not opening.safe)
        raise failure

    def _url(self, target: str) -> str:
        """
        Return the address of ``target``. It is appended, so that nothing in it can be a scheme, a user or a host; the
        comparison is there for the day when somebody changes that.

        Raises:
            InvalidRequest: If it is not the path and query of an address at the Developer API.
        """
        address = self._base + target
        if _TARGET.fullmatch(target):
            url, base = URL(address, encoded=True), URL(self._base, encoded=True)
            if url.origin() == base.origin() and url.raw_path == base.raw_path + target.partition("?")[0]:
                return address
        raise InvalidRequest("The path or query has characters that are not percent-encoded.")

    async def _pieces(self, response: ClientResponse, url: str) -> AsyncGenerator[bytes]:
        failure: Exception
        try:
            while True:
                async with asyncio.timeout(self._idle_seconds):
                    piece = await response.content.readany()
                if not piece:
                    return
                yield piece
        except TimeoutError:
            failure = UpstreamTimeout(f"Upstash sent nothing more of its answer for {self._idle_seconds:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = UpstreamUnavailable(failure_of(error, "answered", URL(url, encoded=True)).detail)
        raise failure


def _fields(credential: Credential, request: PassThroughRequest) -> Fields:
    own = [("Authorization", f"Basic {basic(credential)}")]
    if request.body is not None and request.length is not None:
        own.append(("Content-Length", str(request.length)))
    return (*own, *to_upstash(request.headers))


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
