"""``/upstash/…``: the Developer API itself, for clients of it that know nothing of the daemon but its address."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final, Self

from aiohttp import HttpVersion11, hdrs, web

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.server import problems
from upstash_helper.api.server.body import BodyTimeout, BodyTooLarge, MalformedBody
from upstash_helper.api.server.routes import Route
from upstash_helper.broker.errors import HelperError
from upstash_helper.broker.ports import PassThroughRequest
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from upstash_helper.broker.databases.pass_through import PassThrough
    from upstash_helper.broker.ports import PassThroughResponse

logger = logging.getLogger(__name__)

PREFIX: Final = "/upstash/"
BODY_LIMIT: Final = 1024 * 1024
"""Bytes. Upstash's own limit is of this order."""
BODY_SECONDS: Final = 30.0
"""That an app may take to send its body, without the time that Upstash takes for it."""
TAKEN_SECONDS: Final = 15.0
"""That an app may take to read a piece of the answer. One that reads nothing would hold two connections for ever."""

_METHODS: Final[dict[Scope, tuple[str, ...]]] = {
    "upstash:read": ("GET", "HEAD"),
    "upstash:write": ("POST", "PUT", "PATCH", "DELETE"),
}
_UPSTREAM: Final = (409, 413, 424, 429, 502, 503, 504)


class PassThroughResource:
    """The handlers."""

    def __init__(self, *, pass_through: PassThrough, body_seconds: float = BODY_SECONDS) -> None:
        self._pass_through = pass_through
        self._body_seconds = body_seconds

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method=method, path=f"{PREFIX}{{path:.+}}", handler=self.pass_on,
                # Reading is in the audit too: what is read here may be passwords.
                policy=Policy("token", scope, "any", basic=True, audit=f"upstash.{method.lower()}"),
                operation_id=f"passThrough{method.title()}",
                summary="Upstash's Developer API: its own statuses and bodies, told by `Via: 1.1 upstash-helper`",
                answers={200: "*/*"}, problems=(408, *_UPSTREAM),
            )
            for scope, methods in _METHODS.items()
            for method in methods
        ]  # fmt: skip

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Hand the request on, and the answer back, both as they come."""
        try:
            wanted = PassThroughRequest(
                method=request.method,
                target=_target(request),
                headers=tuple(request.headers.items()),
                body=IncomingBody(request, seconds=self._body_seconds) if request.body_exists else None,
                length=request.content_length,
            )

            async with self._pass_through(wanted) as answer:
                return await handed_on(request, answer)
        except BodyTooLarge:
            response = problems.answer(413, "body_too_large", "The body is larger than 1 MiB.")
        except BodyTimeout:
            detail = f"The body did not arrive within {self._body_seconds:g} seconds."
            response = problems.answer(408, "body_timeout", detail)
        except MalformedBody:
            detail = "The body's framing is broken or it ended too soon."
            response = problems.answer(400, "malformed_request", detail)
        # What was not read of the body must not be taken for the next request.
        response.force_close()
        return response


class IncomingBody:
    """The body of a request in pieces, within limits of size and time, and never decoded."""

    def __init__(self, request: web.BaseRequest, *, limit: int = BODY_LIMIT, seconds: float = BODY_SECONDS) -> None:
        """
        Args:
            request: Whose body has not been read yet.
            limit: Bytes that are taken at most.
            seconds: That may be spent waiting for it, all in all.

        Raises:
            BodyTooLarge: If more than ``limit`` bytes are declared.
        """
        declared = request.content_length
        if declared is not None and declared > limit:
            raise BodyTooLarge(f"{declared} bytes were declared, {limit} are taken")
        self._content = request.content
        self._left = limit
        self._seconds = seconds

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """
        Return the next piece.

        Raises:
            BodyTooLarge: If there is more than the limit.
            BodyTimeout: If it is not there in time.
            MalformedBody: If its framing is broken, or the app has left.
        """
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            async with asyncio.timeout(self._seconds):
                piece = await self._content.readany()
        except TimeoutError:
            raise BodyTimeout("the body was not there in time") from None
        except (web.RequestPayloadError, ConnectionError):
            raise MalformedBody("the body's framing is broken, or it ended too soon") from None
        self._seconds -= loop.time() - before
        self._left -= len(piece)
        if self._left < 0:
            raise BodyTooLarge("more than the limit came")
        if not piece:
            raise StopAsyncIteration
        return piece


def _target(request: web.Request) -> str:
    """Return the path and query at Upstash, as they were sent: encoding them anew could make another path of them."""
    if not request.raw_path.startswith(PREFIX):
        # The router has decoded what it compared: /%75pstash/ is found as well.
        raise web.HTTPNotFound
    return request.raw_path.removeprefix(PREFIX)


async def handed_on(
    request: web.BaseRequest, answer: PassThroughResponse, *, seconds: float = TAKEN_SECONDS
) -> web.StreamResponse:
    """
    Answer ``request`` with ``answer``, piece by piece, and return what was answered.

    If the app does not get all of it, for whatever reason, its connection is broken: what it got must not look whole.

    Args:
        request: The app's.
        answer: Upstash's.
        seconds: That the app may take for one piece.
    """
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    if request.version < HttpVersion11 and hdrs.CONTENT_LENGTH not in response.headers:
        response.force_close()  # the end of the connection is that of the body
    try:
        await response.prepare(request)
        async for piece in answer.pieces:
            async with asyncio.timeout(seconds):
                await response.write(piece)
    except ConnectionError:
        pass  # the app has left: aiohttp finds out by itself
    except (HelperError, TimeoutError) as error:
        code = error.code if isinstance(error, HelperError) else "answer_not_read"
        logger.info("pass_through_broke_off", extra={"code": code})
        _abort(request)
    return response


def _abort(request: web.BaseRequest) -> None:
    """
    Break the connection with a TCP reset. Without chunks or a length (HTTP/1.0) an orderly end of the connection would
    say that the body is whole.
    """
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # SO_LINGER with a time of zero; the C struct has shorts on Windows.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()
