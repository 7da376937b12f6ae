"""
The ``PassThroughApi`` port: forwards an app's request to the Developer API with the account's credential.

Which header fields are forwarded in each direction is decided here too.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from upstash_helper.broker.errors import InvalidRequest, ReconnectRequired, UpstreamTimeout, UpstreamUnavailable
from upstash_helper.broker.ports import PassThroughResponse
from upstash_helper.upstream.authorization import authorization
from upstash_helper.upstream.developer_api import REFUSED, as_helper_error
from upstash_helper.upstream.request import TransportFailed, transport_failure
from upstash_helper.upstream.streaming import StreamingRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

    from aiohttp import ClientResponse

    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import PassThroughRequest
    from upstash_helper.upstream.http_client import HttpClient

Fields = tuple[tuple[str, str], ...]

ANSWER_SECONDS: Final = 30.0
IDLE_SECONDS: Final = 60.0

# Visible ASCII without "#": a request target has no fragment (RFC 9112, section 3.2.1).
_TARGET: Final = re.compile(r"[!\"$-~]+")

VIA: Final = "1.1 upstash-helper"
"""RFC 9110, section 7.6.3. In a response it distinguishes Upstash's statuses from the daemon's own."""

# Every other field is dropped, in both directions: some servers and proxies take the method, path, host, or client from
# fields of a request (X-HTTP-Method-Override, X-Original-URL, X-Envoy-Original-Path), and no list of those is complete.
# The Developer API's description names no field; these describe the body and the wanted response (RFC 9110), make a
# request safe to repeat, or are what Upstash's own clients send about themselves.
_REQUEST_FIELDS: Final = frozenset(
    {
        "accept",
        "accept-language",
        "content-encoding",
        "content-language",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "range",
        "upstash-telemetry-platform",
        "upstash-telemetry-runtime",
        "upstash-telemetry-sdk",
    }
)
# Here, a field that is not listed could apply to the daemon's origin: cookies, service workers, browser policies.
_RESPONSE_FIELDS: Final = frozenset(
    {
        "accept-ranges",
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "deprecation",
        "etag",
        "last-modified",
        "location",
        "ratelimit",
        "ratelimit-limit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
        "sunset",
        "vary",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
    }
)

# RFC 9110, section 5.5. aiohttp decodes bytes that are not UTF-8 as lone surrogates, which it cannot write.
# The characters that are not allowed, because the list of those that are takes 2 ms to compile.
_VALUE: Final = re.compile(r"[^\x00-\x08\n-\x1f\x7f\ud800-\udfff]*")


class DeveloperApiPassThrough:
    """The adapter."""

    def __init__(
        self,
        *,
        http: HttpClient,
        api_url: str,
        answer_seconds: float = ANSWER_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """
        Args:
            http: The HTTP client.
            api_url: The Developer API's URL without ``/v2``.
            answer_seconds: Time limit from the end of the request to the response's headers.
            idle_seconds: Time limit between two chunks of the response's body.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/"
        self._answer_seconds = answer_seconds
        self._idle_seconds = idle_seconds

    @asynccontextmanager
    async def open(self, credential: Credential, request: PassThroughRequest) -> AsyncIterator[PassThroughResponse]:
        """Send ``request`` once and yield the response."""
        outgoing = StreamingRequest(
            method=request.method,
            url=self._url(request.target),
            headers=_outgoing_headers(credential, request),
            body=request.body,
            timeout=self._answer_seconds,
        )
        failure: Exception
        try:
            async with (
                self._http.open(outgoing) as response,
                aclosing(self._chunks(response, outgoing.url)) as chunks,
            ):
                if response.status == 401:
                    raise ReconnectRequired(REFUSED)
                headers = response_headers(response.headers.items())
                yield PassThroughResponse(status=response.status, headers=headers, pieces=chunks)
                return
        except TransportFailed as error:
            failure = as_helper_error(error, changing=not outgoing.safe)
        raise failure

    def _url(self, target: str) -> str:
        """
        Return the URL for ``target``.

        The target is appended, so it cannot change the scheme, user or host. The comparison guards against a later
        change of this.

        Raises:
            InvalidRequest: If the result is not a path and query at the Developer API.
        """
        address = self._base + target
        if _TARGET.fullmatch(target):
            url, base = URL(address, encoded=True), URL(self._base, encoded=True)
            if url.origin() == base.origin() and url.raw_path == base.raw_path + target.partition("?")[0]:
                return address
        raise InvalidRequest("The path or query contains characters that are not percent-encoded.")

    async def _chunks(self, response: ClientResponse, url: str) -> AsyncGenerator[bytes]:
        failure: Exception
        try:
            while True:
                async with asyncio.timeout(self._idle_seconds):
                    chunk = await response.content.readany()
                if not chunk:
                    return
                yield chunk
        except TimeoutError:
            failure = UpstreamTimeout(f"Upstash stopped sending its response for {self._idle_seconds:g} s.")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = UpstreamUnavailable(transport_failure(error, "answered", URL(url, encoded=True)).detail)
        raise failure


def request_headers(fields: Iterable[tuple[str, str]]) -> Fields:
    """
    Return the header fields of a request to forward, without ``Authorization``, ``Content-Length``, ``User-Agent``.

    Bodies are forwarded unchanged, so a content coding is requested only if the app has requested it: otherwise the
    app might receive one that it cannot decode.
    """
    fields = tuple(fields)
    encodings = [value for name, value in fields if name.lower() == "accept-encoding" and _VALUE.fullmatch(value)]
    forwarded = _forwarded(fields, _REQUEST_FIELDS)
    return (*forwarded, ("Accept-Encoding", ", ".join(encodings) or "identity"), ("Via", VIA))


def response_headers(fields: Iterable[tuple[str, str]]) -> Fields:
    """Return the header fields of a response to forward to the app."""
    fields = tuple(fields)
    via = [value for name, value in fields if name.lower() == "via" and _VALUE.fullmatch(value)]
    forwarded = _forwarded(fields, _RESPONSE_FIELDS)
    return (*forwarded, ("Via", ", ".join([*via, VIA])))


def _outgoing_headers(credential: Credential, request: PassThroughRequest) -> Fields:
    own = [("Authorization", authorization(credential))]
    if request.body is not None and request.length is not None:
        own.append(("Content-Length", str(request.length)))
    return (*own, *request_headers(request.headers))


def _forwarded(fields: Fields, allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    connection_options = {
        option.strip().lower() for name, value in fields if name.lower() == "connection" for option in value.split(",")
    }
    for name, value in fields:
        key = name.lower()
        # RFC 9110, section 7.6.1: the fields that Connection lists apply to a single connection.
        if key not in allowed or key in connection_options:
            continue
        # Line breaks above all: a value with them could end the header and inject another response.
        if _VALUE.fullmatch(value):
            yield name, value
