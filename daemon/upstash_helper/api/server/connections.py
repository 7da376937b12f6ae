"""
What a connection may cost before anybody has asked who is calling.

aiohttp's own protocol takes any number of connections, logs a traceback for every malformed request, and answers it
with a quotation of what was sent. This one has a cap, says one constant sentence, and logs one line that holds nothing
of the request.

Of aiohttp this uses what ``aiohttp.web`` exports (``RequestHandler``, ``Server``) and, but for one place that says so,
what has no leading underscore: ``connection_made``, ``connection_lost``, ``data_received``, ``handle_error``,
``finish_response``, ``log_exception``, ``force_close``, ``Server.request_factory``. The tests of T18 to T22 in
``tests/security/test_http_hardening.py`` notice when aiohttp gives them another meaning.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import hdrs, web

from upstash_helper.broker.account.attempts import https_forced

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

logger = logging.getLogger(__name__)

# RFC 8446, section 5.1: a ClientHello is a record of type handshake (22), its legacy version 3.x.
_TLS_HELLO: Final = b"\x16\x03"

_REFUSED: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 1\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s"
)
_FULL: Final = (
    b'{"status":503,"code":"too_many_connections","title":"Service Unavailable",'
    b'"detail":"Every connection of the helper is in use. Close some, or try again.","type":"about:blank"}'
)
_WORDS: Final = {
    400: ("malformed_request", "This is not a valid HTTP/1.1 request."),
    408: ("request_timeout", "The request did not arrive in time."),
}
_FAULT: Final = ("internal_error", "The helper has a fault. Its log tells where.")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of every connection."""

    connections: int = 64
    """How many there are at once. A browser opens six, an app one or two."""
    idle_seconds: float = 15.0
    """
    From the opening of a connection, or its last answer, to the end of the next request's headers. Bytes that drip in
    do not extend it.
    """
    linger_seconds: float = 0.5
    """
    How long the rest of a body that nobody wants is read and thrown away before closing (RFC 9112, section 9.6):
    closing at once would reset the connection, and the client might never see the answer.
    """
    answer_seconds: float = 15.0
    """How long a client may take to read an answer. One that reads nothing would hold its connection for ever."""
    line_bytes: int = 16_384
    """Of the request line, and of one header field."""
    header_fields: int = 128


@dataclass(kw_only=True)
class Counts:
    """What happened to connections since the start."""

    opened: int = 0
    evicted: int = 0
    refused: int = 0
    malformed: int = 0
    tls: int = 0


class Connections:
    """All connections of one server, the ones that have been idle longest first."""

    def __init__(self, server: web.Server, limits: Limits, counts: Counts) -> None:
        """
        Args:
            server: aiohttp's, from ``AppRunner.server``. Its requests are counted from now on.
            limits: The bounds.
            counts: Where what happens is counted.
        """
        self._server = server
        self._limits = limits
        self._open: dict[Connection, None] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._busy = 0
        self.counts: Final = counts
        self.watch: Callable[[int], None] = lambda _: None
        """Is told how many there are, whenever that may have changed."""
        self._make_request: Final[Callable[..., web.BaseRequest]] = server.request_factory
        server.request_factory = cast("Any", self._begin)  # every protocol of this server is a Connection

    def __len__(self) -> int:
        return len(self._open)

    def __call__(self) -> Connection:
        """Return the protocol of a new connection, as ``loop.create_server`` asks for it."""
        return Connection(self, self._server, self._limits)

    @property
    def all_spoken(self) -> bool:
        """Whether everybody who is connected has sent something."""
        return all(connection.spoken for connection in self._open)

    async def quiet(self) -> None:
        """Wait until no request is being answered."""
        await self._quiet.wait()

    def end(self) -> None:
        """Close all of them, whatever they are at."""
        for connection in tuple(self._open):
            connection.force_close()

    def admit(self, connection: Connection) -> bool:
        """Make room for one more by closing the one that has been idle longest; False if none is idle."""
        self.counts.opened += 1
        if len(self._open) >= self._limits.connections:
            idle = next((one for one in self._open if not one.busy), None)
            if idle is None:
                self.counts.refused += 1
                logger.warning("connection_refused", extra={"open": len(self._open), "refused": self.counts.refused})
                return False
            self.counts.evicted += 1
            logger.info("idle_connection_evicted", extra={"evicted": self.counts.evicted})
            del self._open[idle]
            idle.force_close()
        self._open[connection] = None
        self.watch(len(self._open))
        return True

    def forget(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self.ended(connection)
        self._open.pop(connection, None)
        self.watch(len(self._open))

    def ended(self, connection: Connection) -> None:
        """Note that a request has been answered; its connection is now the one that was idle shortest."""
        if connection.busy:
            connection.busy = False
            self._busy -= 1
            if self._busy == 0:
                self._quiet.set()
            if connection in self._open:
                del self._open[connection]
                self._open[connection] = None

    def _begin(self, message: Any, payload: Any, protocol: Connection, writer: Any, task: Any) -> web.BaseRequest:
        """Note that a request's headers are complete. aiohttp calls this for each, malformed ones included."""
        if not protocol.busy:
            protocol.busy = True
            self._busy += 1
            self._quiet.clear()
        protocol.reading(payload)
        return self._make_request(message, payload, protocol, writer, task)


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_answer_seconds", "_body", "_connections", "_refused", "busy", "other_user", "spoken")

    def __init__(self, connections: Connections, server: web.Server, limits: Limits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # Counted by aiohttp from the opening of the connection and from each answer on, whatever drips in.
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.linger_seconds,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.header_fields,
            # Bodies are never decompressed, so none can be a bomb: api/server/body.py refuses them by their header.
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp is told to keep none
            logger=logger,
        )
        self._connections = connections
        self._answer_seconds = limits.answer_seconds
        self._refused = False
        self.spoken = False
        self._body: StreamReader | None = None
        self.busy = False
        self.other_user: bool | None = None
        """Whether it is another user's, as the gate has found out; None before it has asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or turn it away at once."""
        if self._connections.admit(self):
            super().connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            self._refused = True
            transport.write(_REFUSED % (len(_FULL), _FULL))
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._connections.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Close at once on TLS, else go on."""
        if self._refused:
            return
        if not self.spoken:
            self.spoken = True
            if data.startswith(_TLS_HELLO):
                self._refuse_tls()
                return
        super().data_received(data)
        self._end_broken_body()

    def reading(self, body: StreamReader) -> None:
        """Note the body of the request that is about to be answered."""
        self._body = body
        self._end_broken_body()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the answer. One that was given before all of the body had come ends the connection."""
        body = request.content
        if not body.is_eof() and not getattr(resp, "prepared", True):
            resp.force_close()
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            logger.info("answer_not_read", extra={"seconds": self._answer_seconds})
            if self.transport is not None:
                self.transport.abort()
            return resp, True
        finally:
            if body.exception() is not None:
                body.feed_eof()  # there is no rest to wait for
            self._connections.ended(self)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's words quote what was sent
    ) -> web.StreamResponse:
        """Return the answer to a request that no handler saw, or whose handler failed in spite of the gate's care."""
        self._note(status, exc)
        if request.writer.output_size > 0:
            # An answer has begun: a second one after it would be taken for a part of it.
            self.force_close()
            error = "part of an answer has been sent"
            raise ConnectionError(error)
        code, detail = _WORDS.get(status, _FAULT)
        problem = f'{{"status":{status},"code":"{code}","title":"{HTTPStatus(status).phrase}","detail":"{detail}"}}'
        response = web.Response(status=status, text=problem, content_type="application/problem+json")
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - aiohttp's signature and words
        """Name what failed in aiohttp's own loop over requests, without a traceback."""
        logger.error("connection_failed", extra={"error": type(kw.get("exc_info")).__name__})

    def _note(self, status: int, exc: BaseException | None) -> None:
        kind = type(exc).__name__
        if status == HTTPStatus.BAD_REQUEST:
            self._connections.counts.malformed += 1
            logger.info("malformed_request", extra={"error": kind, "count": self._connections.counts.malformed})
        elif isinstance(exc, ConnectionError):
            logger.debug("client_left", extra={"error": kind})
        else:
            logger.error("request_failed", extra={"error": kind, "status": status})

    def _end_broken_body(self) -> None:
        """
        Wake the reader of a body whose framing has just been found broken.

        aiohttp queues the error behind the request whose body it is, and leaves the reader to wait. Before a body is
        complete nothing else can be queued behind it. (The queue is private; without a look at it the reader would wait
        for its deadline, and be as safe.)
        """
        body = self._body
        if body is not None and self._messages and not body.is_eof() and body.exception() is None:
            self._connections.counts.malformed += 1
            body.set_exception(web.RequestPayloadError())

    def _refuse_tls(self) -> None:
        counts = self._connections.counts
        counts.tls += 1
        if counts.tls == 1:
            logger.warning("tls_on_plain_port", extra={"hint": https_forced(1)})
        self.force_close()
