"""
Limits what a connection can cost before its caller is authenticated.

aiohttp's own protocol accepts any number of connections, logs a traceback for every malformed request, and quotes the
request in its error response. This one limits the number of connections, sends a constant error response, and logs one
line that contains nothing from the request.

It relies on what ``aiohttp.web`` exports (``RequestHandler``, ``Server``) and, with one documented exception, only on
public names: ``connection_made``, ``connection_lost``, ``data_received``, ``pause_reading``, ``resume_reading``,
``handle_error``, ``finish_response``, ``log_exception``, ``force_close``, ``Server.request_factory``. The tests for T18
to T22 in ``tests/security/test_http_hardening.py`` fail if a new version of aiohttp changes their meaning.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.server import refusal_page
from upstash_helper.api.server.arrivals import Arrival, Arrivals, is_reset
from upstash_helper.api.server.unread_fields import UnreadFields
from upstash_helper.broker.account.attempts import https_forced

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

    from upstash_helper.broker.identity import Caller

logger = logging.getLogger(__name__)

# RFC 8446, section 5.1: a ClientHello is a record of type handshake (22) with legacy version 3.x.
_TLS_HELLO: Final = b"\x16\x03"

_OTHER_DESCRIPTORS: Final = 160
"""More than everything else needs: 64 connections to Upstash, as many of apps, the listeners, files, and processes."""
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
    b"Retry-After: 1\r\nCache-Control: no-store\r\nContent-Security-Policy: %s\r\nConnection: close\r\n\r\n%s"
)
_TOO_MANY_TITLE: Final = "Too many connections"
_TOO_MANY_DETAIL: Final = "All connections of the helper are in use. Close some, or try again."
_TOO_MANY_BODY: Final = (
    b'{"status":503,"code":"too_many_connections","title":"Too many connections",'
    b'"detail":"All connections of the helper are in use. Close some, or try again.","type":"about:blank"}'
)
_NO_CONTENT: Final = "default-src 'none'; frame-ancestors 'none'"
_CODES: Final = {400: "malformed_request", 408: "request_timeout"}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of connections."""

    connections: int = 64
    """The maximum number of open connections. A browser opens six, an app one or two."""
    app_requests: int = 40
    """
    How many of them may be busy with requests of apps at the same time. The rest is for the owner: all other
    connections can be closed for one of the owner's.
    """
    requests_per_app: int = 16
    silent: int = 640
    """How many connections that have not sent anything may be open besides. They hold no place."""
    other_users: int = 4
    """How many places connections of other users may have: enough to send each a refusal."""
    idle_seconds: float = 15.0
    """
    From the opening of a connection to its first byte, and from there, or from its last response, to the end of the
    next request's headers. Receiving another byte does not extend it.
    """
    linger_seconds: float = 0.5
    """
    How long the rest of an unwanted body is read and discarded before closing (RFC 9112, section 9.6). Closing
    immediately would reset the connection, and the client might not receive the response.
    """
    answer_seconds: float = 15.0
    """How long a client may take to read a response. One that reads nothing would keep its connection open forever."""
    pipelined_seconds: float = 0.1
    """
    From a response to the next request that the client has sent before, without a valid token. Neither browsers nor our
    clients do that, and a program that does could send more requests than all others.
    """
    line_bytes: int = 16_384
    """The maximum length of the request line, and of a header field that is read. Cookies are not."""
    header_fields: int = 128

    def within(self, descriptors: int) -> Limits:
        """
        Return the limits for a process that may open this many files. A container may restrict them to a few.

        The rest, for the ledger, the keyring, and the connections to Upstash, must not be used up by connections to us:
        the owner's would wait in the queue, and could not even stop the daemon.
        """
        available = max(descriptors // 4, descriptors - _OTHER_DESCRIPTORS)
        connections = min(self.connections, max(4, available // 2))
        return dataclasses.replace(
            self,
            connections=connections,
            app_requests=min(self.app_requests, connections * 5 // 8),
            requests_per_app=min(self.requests_per_app, max(1, connections // 4)),
            silent=min(self.silent, max(4, available - connections)),
        )


@dataclass(kw_only=True)
class Counts:
    """Counts of connections since the start."""

    opened: int = 0
    evicted: int = 0
    refused: int = 0
    other_users: int = 0
    """Connections of other users that were closed because too many were open."""
    malformed: int = 0
    tls: int = 0


class Standing(enum.IntEnum):
    """Whose a connection is, as far as is known. The lower, the sooner it is closed in favor of a new one."""

    UNKNOWN = 0
    """It has sent no valid token so far."""
    APP = 1
    """Its last request had an app's token, or was for the proof that precedes sending a token."""
    OWNER = 2


class Connections:
    """
    The open connections of one server, ordered by how long they have been waiting for their client, longest first.

    Until a connection has sent the owner's token, it cannot be told from any other. So a new one that has sent
    something always gets a place: if there is none, one is taken from a connection without a token that keeps us
    waiting, the longest-waiting first. It makes no difference whether it sends its headers or its body slowly, does not
    read its response, or is idle. An honest client is served before its turn comes; see ``arrivals.BEGUN_AT_ONCE``.
    """

    def __init__(
        self,
        server: web.Server,
        limits: Limits,
        counts: Counts,
        *,
        is_other_user: Callable[[tuple[str, int], tuple[str, int]], bool] = lambda _local, _remote: False,
    ) -> None:
        """
        Args:
            server: From ``AppRunner.server``. Its requests are tracked from now on.
            limits: The limits.
            counts: The counts to update.
            is_other_user: Returns whether the connection with these local and remote addresses is another user's.
        """
        self._arrivals = Arrivals(
            begin=self._begin_connection,
            changed=lambda: self.on_change(len(self)),
            is_other_user=is_other_user,
            limit=limits.silent,
            others=self._may_add_other_user,
            idle_seconds=limits.idle_seconds,
        )
        self._server = server
        self._limits = limits
        self._open: dict[Connection, None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._busy = 0
        self.counts: Final = counts
        self.on_change: Callable[[int], None] = lambda _: None
        """Called with the number of open connections whenever it may have changed."""
        self._make_request: Final[Callable[..., web.BaseRequest]] = server.request_factory
        server.request_factory = cast("Any", self._begin)  # every protocol of this server is a Connection

    def __len__(self) -> int:
        return len(self._open) + len(self._arrivals)

    def __call__(self) -> Arrival:
        """Return the protocol of a new connection: the protocol factory of ``loop.create_server``."""
        self.counts.opened += 1
        return Arrival(self._arrivals)

    @property
    def all_received(self) -> bool:
        """Whether every open connection has received data."""
        return len(self._arrivals) == 0

    def close_silent(self) -> None:
        """Close the connections that have not sent anything."""
        self._arrivals.close()

    async def wait_idle(self) -> None:
        """Wait until no request is being handled."""
        await self._idle.wait()

    def close_all(self) -> None:
        """Close all connections, including those whose requests are being handled."""
        self._arrivals.close()
        for connection in tuple(self._open):
            connection.force_close()

    def add(self, connection: Connection) -> bool:
        """Add a new connection, closing another one if necessary. Return False if none can be closed."""
        if len(self._open) >= self._limits.connections and not self._close_one():
            self.counts.refused += 1
            logger.warning("connection_refused", extra={"open": len(self._open), "refused": self.counts.refused})
            return False
        self._open[connection] = None
        return True

    def _begin_connection(self, arrival: Arrival) -> None:
        """Parse what an arrival has sent, as a connection with a place."""
        transport = arrival.transport
        if transport is None or transport.is_closing():
            return
        if is_reset(transport):
            transport.abort()
            return
        connection = Connection(self, self._server, self._limits)
        connection.look_at(arrival.data)
        connection.other_user = arrival.other_user or None  # the guard makes sure before a request is handled
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(arrival.data)
        transport.resume_reading()

    def _may_add_other_user(self) -> bool:
        """Return whether another user may have one more connection. It is closed without a response otherwise."""
        number = self._arrivals.other_users + sum(each.other_user is True for each in self._open)
        if number < self._limits.other_users:
            return True
        self.counts.other_users += 1
        logger.info("other_user_refused", extra={"count": self.counts.other_users})
        return False

    def _close_one(self) -> bool:
        """
        Close the connection that can best be spared. Return False if all are handling requests of the owner or of apps.
        """
        victim = min(
            # min() returns the first of equals, which has been waiting longest.
            (each for each in self._open if each.can_be_closed),
            key=lambda each: (each.other_user is not True, each.standing, each.is_handled),
            default=None,
        )
        if victim is None:
            return False
        self.counts.evicted += 1
        logger.info("connection_evicted", extra={"evicted": self.counts.evicted, "standing": victim.standing.name})
        del self._open[victim]
        victim.abort()
        return True

    def may_begin(self, connection: Connection, caller_id: str) -> bool:
        """
        Return whether a connection may be busy with a request of an app. It is the app's from now on.

        Args:
            connection: The connection, whose request has been authenticated.
            caller_id: The app's ID.
        """
        connection.caller_id, connection.standing = "", Standing.UNKNOWN
        busy = [each for each in self._open if each.busy and each.standing is Standing.APP]
        own = sum(each.caller_id == caller_id and not each.is_held for each in busy)
        if len(busy) >= self._limits.app_requests or own >= self._limits.requests_per_app:
            return False
        connection.caller_id, connection.standing = caller_id, Standing.APP
        return True

    def remove(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self.request_ended(connection)
        self._open.pop(connection, None)
        self.on_change(len(self))

    def request_ended(self, connection: Connection) -> None:
        """Mark a connection as idle, and move it to the end of the order."""
        if connection.busy:
            connection.busy = connection.is_held = False
            self._busy -= 1
            if self._busy == 0:
                self._idle.set()
            self._to_end(connection)

    def _to_end(self, connection: Connection) -> None:
        """Move a connection to the end of the order: it has just begun to wait for something else."""
        if connection in self._open:
            del self._open[connection]
            self._open[connection] = None

    def _begin(self, message: Any, payload: Any, protocol: Connection, writer: Any, task: Any) -> web.BaseRequest:
        """Mark a connection as busy. aiohttp calls this once a request's headers are complete, or malformed."""
        if not protocol.busy:
            protocol.busy = True
            self._busy += 1
            self._idle.clear()
            self._to_end(protocol)
        protocol.begin_body(payload)
        return self._make_request(message, payload, protocol, writer, task)


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = (
        "_answer_seconds",
        "_body",
        "_connections",
        "_is_navigation",
        "_is_reading_paused",
        "_pipelined_seconds",
        "_refused",
        "_sending",
        "_unread_fields",
        "busy",
        "caller_id",
        "is_held",
        "other_user",
        "received",
        "standing",
    )

    def __init__(self, connections: Connections, server: web.Server, limits: Limits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # aiohttp counts it from the opening of the connection and from each response; received bytes don't reset it
            keepalive_timeout=limits.idle_seconds,
            lingering_time=limits.linger_seconds,
            max_line_size=limits.line_bytes,
            max_field_size=limits.line_bytes,
            max_headers=limits.header_fields,
            # Bodies are never decompressed, which rules out decompression bombs; body.py refuses encoded ones.
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # None disables the access log
            logger=logger,
        )
        self._connections = connections
        self._answer_seconds = limits.answer_seconds
        self._pipelined_seconds = limits.pipelined_seconds
        self._refused = False
        self._is_navigation = False
        self._unread_fields = UnreadFields()
        self.received = False
        self._body: StreamReader | None = None
        self._is_reading_paused = False
        self._sending = False
        self.busy = False
        self.is_held = False
        """
        Whether its request waits for something other than us, such as the user, so that it does not count among the
        simultaneous requests of its app. The handler limits the number of such requests.
        """
        self.other_user: bool | None = None
        """Whether another user's process opened it; None if it is not known yet."""
        self.standing = Standing.UNKNOWN
        self.caller_id = ""
        """The ID of the app that sent the last request, if it is known."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection, or refuse it immediately."""
        if self._connections.add(self):
            super().connection_made(transport)
        elif isinstance(transport, asyncio.WriteTransport):
            self._refused = True
            transport.write(_too_many(is_navigation=self._is_navigation))
            transport.close()

    @property
    def is_handled(self) -> bool:
        """Whether we are at work for it, and do not wait for its client to send a request or to read a response."""
        return self.busy and not self._sending and (self._body is None or self._body.is_eof())

    @property
    def can_be_closed(self) -> bool:
        """Whether it may be closed in favor of a new one."""
        match self.standing:
            case Standing.UNKNOWN:
                return True
            case Standing.APP:
                return not self.is_handled
            case Standing.OWNER:
                return not self.busy

    def abort(self) -> None:
        """Close the connection without sending what is still buffered."""
        transport = self.transport
        self.force_close()
        if transport is not None:
            transport.abort()

    def names_token(self) -> None:
        """Record that its client knows a valid token's key ID, and will most likely send that token next."""
        if self.standing is Standing.UNKNOWN:
            self.standing = Standing.APP

    def begin_for(self, caller: Caller) -> bool:
        """
        Record whose request is being handled. Return False if it is one of too many simultaneous requests of an app.
        """
        if not caller.is_owner:
            return self._connections.may_begin(self, caller.id)
        self.standing = Standing.OWNER
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free the connection's slot."""
        self._connections.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Close the connection if the client speaks TLS, else parse the data."""
        if self._refused:
            return
        if not self.received:
            self.received = True
            if data.startswith(_TLS_HELLO):
                self._refuse_tls()
                return
        self.look_at(data)
        super().data_received(self._unread_fields.feed(data))
        self._end_broken_body()

    def pause_reading(self) -> None:
        """Read no more of a body until its handler has taken some of it."""
        self._is_reading_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002 - aiohttp's signature
        """
        Go on if reading was paused. aiohttp calls this for each chunk that a handler takes, which may be one byte long,
        and would run its parser each time.
        """
        if self._is_reading_paused:
            self._is_reading_paused = False
            super().resume_reading(resume_parser)

    def look_at(self, data: bytes) -> None:
        """Find out whether a browser shows its user the response, in case that the request cannot be parsed."""
        self._is_navigation = self._is_navigation or refusal_page.looks_like_navigation(data)

    def begin_body(self, body: StreamReader) -> None:
        """Remember the body of the request that is about to be handled."""
        self._body = body
        self._end_broken_body()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response. Close the connection afterwards if the request's body has not been read to its end."""
        if isinstance(resp, web.HTTPException):
            # Not from a handler: aiohttp refuses some requests (Expect) before our guard, and quotes them.
            resp = self.handle_error(request, HTTPStatus.BAD_REQUEST, resp)
        body = request.content
        if body.is_eof():
            # Before the response is sent: the client may send its next request as soon as it has it.
            self._unread_fields.request_read(_body_length(request))
        elif not getattr(resp, "prepared", True):
            resp.force_close()
        self._sending = True
        try:
            async with asyncio.timeout(self._answer_seconds):
                sent = await super().finish_response(request, resp, start_time)
        except TimeoutError:
            logger.info("response_not_read", extra={"seconds": self._answer_seconds})
            if self.transport is not None:
                from upstash_helper.system import connection_reset

                connection_reset.reset(self.transport)
            return resp, True
        finally:
            self._sending = False
            if body.exception() is not None:
                body.feed_eof()  # the rest of the body will not arrive
            self._connections.request_ended(self)
        # The queue of requests is private; see _end_broken_body.
        if self._messages and self.standing is Standing.UNKNOWN:
            await asyncio.sleep(self._pipelined_seconds)
        return sent

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's message quotes the request
    ) -> web.StreamResponse:
        """Return the response to a request that reached no handler, or that failed outside the guard."""
        self._log_error(status, exc)
        if request.writer.output_size > 0:
            # A response has been started; the client would take a second one for a part of it.
            self.force_close()
            error = "part of a response has been sent"
            raise ConnectionError(error)
        from upstash_helper.protocol.messages import PROBLEMS

        code = _CODES.get(status, "internal_error")
        title, detail = PROBLEMS[code].title, PROBLEMS[code].text
        # The request of one that could not be parsed has no headers.
        if self._is_navigation if status == HTTPStatus.BAD_REQUEST else refusal_page.is_navigation(request.headers):
            text = refusal_page.render(title, detail).decode()
            response = web.Response(status=status, text=text, content_type=refusal_page.CONTENT_TYPE)
            response.headers["Content-Security-Policy"] = refusal_page.policy()
        else:
            problem = {"status": status, "code": code, "title": title, "detail": detail}
            text = msgspec.json.encode(problem).decode()
            response = web.Response(status=status, text=text, content_type="application/problem+json")
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Or aiohttp names itself and Python, with their versions. (The application removes the header from its own.)
        response.headers[hdrs.SERVER] = "upstash-helper"
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - aiohttp's signature; the message may quote
        """Log the type of an error in aiohttp's request loop, without a traceback."""
        logger.error("connection_failed", extra={"error": type(kw.get("exc_info")).__name__})

    def _log_error(self, status: int, exc: BaseException | None) -> None:
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
        Wake the reader of a body if its framing has turned out to be invalid.

        aiohttp queues the error behind the body's request, and lets the reader wait. Nothing else can be queued there
        before the body is complete. (The queue is private. Without checking it, the reader would time out instead,
        which is slower but just as safe.)
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


def _too_many(*, is_navigation: bool) -> bytes:
    if is_navigation:
        page = refusal_page.render(_TOO_MANY_TITLE, _TOO_MANY_DETAIL)
        return _TOO_MANY % (b"text/html; charset=utf-8", len(page), refusal_page.policy().encode(), page)
    return _TOO_MANY % (b"application/problem+json", len(_TOO_MANY_BODY), _NO_CONTENT.encode(), _TOO_MANY_BODY)


def _body_length(request: web.BaseRequest) -> int | None:
    """Return the length of a request's body, or None if it was sent in chunks."""
    if request.content_length is not None:
        return request.content_length
    return None if request.body_exists else 0
