"""``/upstash/…``: passes requests through to Upstash's Developer API, for its existing clients."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Self

from aiohttp import HttpVersion11, hdrs, web

from upstash_helper.api.guard.middleware import UPSTASH_PREFIX
from upstash_helper.api.server import problems
from upstash_helper.api.server.body import (
    BodyTimeout,
    BodyTooLarge,
    MalformedBody,
    UnsupportedEncoding,
    require_chunked,
)
from upstash_helper.api.server.routes import RECORD_FIRST, Policy, Route, caller_of
from upstash_helper.broker.errors import HelperError
from upstash_helper.broker.ports import PassThroughRequest
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from upstash_helper.broker.databases.pass_through import PassThrough
    from upstash_helper.broker.ports import PassThroughResponse

logger = logging.getLogger(__name__)

PREFIX: Final = UPSTASH_PREFIX
BODY_LIMIT: Final = 1024 * 1024
"""Bytes. Upstash's own limit is of this order of magnitude."""
BODY_SECONDS: Final = 30.0
"""How long an app may take to send its body, not counting the time in which Upstash receives it."""
SEND_SECONDS: Final = 15.0
"""How long an app may take to read a chunk of the response. Otherwise it could keep two connections open forever."""

_METHODS: Final[dict[Scope, tuple[str, ...]]] = {
    "upstash:read": ("GET", "HEAD"),
    "upstash:write": ("POST", "PUT", "PATCH", "DELETE"),
}
_UPSTREAM: Final = (409, 413, 424, 429, 502, 503, 504)


class PassThroughResource:
    """The handler of passed-through requests."""

    def __init__(self, *, pass_through: PassThrough, body_seconds: float = BODY_SECONDS) -> None:
        self._pass_through = pass_through
        self._body_seconds = body_seconds

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method=method, path=f"{PREFIX}{{path:.+}}", handler=self.forward,
                # Reads are audited as well: they may return passwords.
                policy=Policy(
                    "token", scope, "any", basic=True, audit=f"upstash.{method.lower()}", order=RECORD_FIRST
                ),
                operation_id=f"passThrough{method.title()}",
                summary="Call Upstash's Developer API. Its own responses have `Via: 1.1 upstash-helper`",
                answers={200: "*/*"}, problems=(408, *_UPSTREAM),
            )
            for scope, methods in _METHODS.items()
            for method in methods
        ]  # fmt: skip

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """Stream the request to Upstash, and the response back."""
        try:
            wanted = PassThroughRequest(
                method=request.method,
                target=_target(request),
                headers=tuple(request.headers.items()),
                body=IncomingBody(request, seconds=self._body_seconds) if request.body_exists else None,
                length=request.content_length,
            )

            async with self._pass_through(wanted, caller_of(request)) as answer:
                return await send_answer(request, answer)
        except BodyTooLarge:
            response = problems.answer(413, "body_too_large", "The body is larger than 1 MiB.")
        except BodyTimeout:
            detail = f"The body did not arrive within {self._body_seconds:g} seconds."
            response = problems.answer(408, "body_timeout", detail)
        except MalformedBody:
            detail = "The body's framing is invalid, or it is cut off."
            response = problems.answer(400, "malformed_request", detail)
        except UnsupportedEncoding:
            detail = "Send the body without Transfer-Encoding, or with chunked alone."
            response = problems.answer(415, "unsupported_encoding", detail)
        # An unread body must not be parsed as the connection's next request.
        response.force_close()
        return response


class IncomingBody:
    """Iterates over the body of a request in chunks, within limits of size and time, without decoding it."""

    def __init__(self, request: web.BaseRequest, *, limit: int = BODY_LIMIT, seconds: float = BODY_SECONDS) -> None:
        """
        Args:
            request: The request. Its body must not have been read yet.
            limit: The maximum size in bytes.
            seconds: The maximum total time spent waiting for the client.

        Raises:
            BodyTooLarge: If more than ``limit`` bytes are declared.
            UnsupportedEncoding: If it has a Transfer-Encoding other than ``chunked``, which applies to this connection
                only and would have to be undone.
        """
        require_chunked(request)
        declared = request.content_length
        if declared is not None and declared > limit:
            raise BodyTooLarge(f"it has {declared} bytes, and the limit is {limit}")
        self._content = request.content
        self._left = limit
        self._seconds = seconds

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """
        Return the next chunk.

        Raises:
            BodyTooLarge: If the body exceeds the limit.
            BodyTimeout: If it does not arrive in time.
            MalformedBody: If its framing is invalid, or the client has disconnected.
        """
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            async with asyncio.timeout(self._seconds):
                chunk = await self._content.readany()
        except TimeoutError:
            raise BodyTimeout("it did not arrive in time") from None
        except (web.RequestPayloadError, ConnectionError):
            raise MalformedBody("its framing is invalid, or it is cut off") from None
        self._seconds -= loop.time() - before
        self._left -= len(chunk)
        if self._left < 0:
            raise BodyTooLarge("it exceeds the limit")
        if not chunk:
            raise StopAsyncIteration
        return chunk


def _target(request: web.Request) -> str:
    """Return the path and query at Upstash, unmodified: decoding and re-encoding could change their meaning."""
    if not request.raw_path.startswith(PREFIX):
        # The router matches the decoded path, so it also accepts /%75pstash/.
        raise web.HTTPNotFound
    return request.raw_path.removeprefix(PREFIX)


async def send_answer(
    request: web.BaseRequest, answer: PassThroughResponse, *, seconds: float = SEND_SECONDS
) -> web.StreamResponse:
    """
    Stream Upstash's response to the app, and return the response.

    If it cannot be sent completely, the connection is reset, so that the app does not take a part for the whole.

    Args:
        request: The app's request.
        answer: Upstash's response.
        seconds: How long the app may take to read one chunk.
    """
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if request.version < HttpVersion11 and hdrs.CONTENT_LENGTH not in response.headers:
        response.force_close()  # the end of the connection marks the end of the body
    try:
        await response.prepare(request)
        async for chunk in answer.pieces:
            async with asyncio.timeout(seconds):
                await response.write(chunk)
    except ConnectionError:
        pass  # the app has disconnected; aiohttp closes the connection
    except (HelperError, TimeoutError) as error:
        code = error.code if isinstance(error, HelperError) else "response_not_read"
        logger.info("pass_through_interrupted", extra={"code": code})
        _reset(request)
    except asyncio.CancelledError:
        _reset(request)  # the app has disconnected, or its rights have ended
        raise
    return response


def _reset(request: web.BaseRequest) -> None:
    from upstash_helper.system import connection_reset

    if request.transport is not None:
        connection_reset.reset(request.transport)
