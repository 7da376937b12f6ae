"""
Tracks how far a request has come: whether any of it may have been sent, and whether any response was received.

aiohttp reports neither, and an authorization code or a request for a database must not be sent twice. So the connector
records when a request gets its connection, and a protocol between the transport and aiohttp's own records the first
byte received.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal, cast

from aiohttp import TCPConnector

if TYPE_CHECKING:
    from aiohttp import ClientRequest, ClientTimeout
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

Stage = Literal["connecting", "sent", "answered"]


class Progress:
    """The progress of the current attempt to send a request."""

    def __init__(self, *, new_connection: bool) -> None:
        """
        Args:
            new_connection: Do not use a kept-alive connection. The server may close one just as the request is written,
                and then it is unknown whether the request was processed.
        """
        self.new_connection = new_connection
        self.restart()

    def restart(self) -> None:
        """Start another attempt."""
        self._protocol: TrackedProtocol | None = None

    def connected(self, protocol: TrackedProtocol) -> None:
        """Record the connection on which the request is about to be sent."""
        protocol.received = False
        self._protocol = protocol

    @property
    def stage(self) -> Stage:
        """``connecting``: not sent. ``sent``: may have been sent; no response. ``answered``: a byte was received."""
        if self._protocol is None:
            return "connecting"
        return "answered" if self._protocol.received else "sent"


# connect() runs in the request's task, so it can find the request's progress here.
PROGRESS: Final[ContextVar[Progress]] = ContextVar("progress")


class TrackedProtocol(asyncio.Protocol):
    """Forwards everything to aiohttp's protocol, and records whether a byte was received."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        self._protocol = protocol
        self.received = False

    def data_received(self, data: bytes) -> None:
        """Record that the server has sent something."""
        self.received = True
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Forward it."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forward it."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Forward it."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Forward it."""
        self._protocol.resume_writing()


class TrackedConnector(TCPConnector):
    """A connector that updates ``PROGRESS``."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's signature
        """Return a connection, and a new one if the request needs that."""
        progress = PROGRESS.get()
        connection = await super().connect(req, traces, timeout)
        # A connection that already has our protocol was used by an earlier request.
        while progress.new_connection and _tracked_protocol(connection) is not None:
            connection.close()
            connection = await super().connect(req, traces, timeout)

        progress.connected(_tracked_protocol(connection) or _install_protocol(connection))
        return connection


def _tracked_protocol(connection: Connection) -> TrackedProtocol | None:
    protocol = _transport(connection).get_protocol()
    return protocol if isinstance(protocol, TrackedProtocol) else None


def _install_protocol(connection: Connection) -> TrackedProtocol:
    transport = _transport(connection)
    protocol = TrackedProtocol(cast("asyncio.Protocol", transport.get_protocol()))
    transport.set_protocol(protocol)
    return protocol


def _transport(connection: Connection) -> asyncio.Transport:
    # It is None only for a closed connection, and this one was just opened or taken from the pool.
    return cast("asyncio.Transport", connection.transport)
