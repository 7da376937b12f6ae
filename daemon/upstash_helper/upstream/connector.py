"""
What became of a request: whether anything of it can have been sent, and whether anything came back.

aiohttp tells neither, and an authorization code or a database order must not be sent twice. So the connector notes
when a request got its connection, and a protocol between the transport and aiohttp's notes the first byte received.
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
    """How far one try of a request has come."""

    def __init__(self, *, fresh: bool) -> None:
        """
        Args:
            fresh: Whether it needs a connection of its own: one kept alive may be closed by the far side just as the
                request is written, and then nobody can tell whether it was taken.
        """
        self.fresh = fresh
        self.restart()

    def restart(self) -> None:
        """Begin another try."""
        self._witness: TrackedProtocol | None = None

    def connected(self, witness: TrackedProtocol) -> None:
        """Note the connection over which the request is about to be sent."""
        witness.spoken = False
        self._witness = witness

    @property
    def stage(self) -> Stage:
        """``connecting``: certainly not sent. ``sent``: perhaps sent, nothing came back. ``answered``: a byte came."""
        if self._witness is None:
            return "connecting"
        return "answered" if self._witness.spoken else "sent"


# connect() runs in the task of the request, so that this is how it knows whose connection it makes.
PROGRESS: Final[ContextVar[Progress]] = ContextVar("progress")


class TrackedProtocol(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol and remembers whether a byte was received."""

    def __init__(self, listener: asyncio.Protocol) -> None:
        self._listener = listener
        self.spoken = False

    def data_received(self, data: bytes) -> None:
        """Note that the far side has spoken."""
        self.spoken = True
        self._listener.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._listener.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._listener.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._listener.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._listener.resume_writing()


class TrackedConnector(TCPConnector):
    """A connector of which ``PROGRESS`` learns what a request went through."""

    async def connect(self, req: ClientRequest, traces: list[Trace], timeout: ClientTimeout) -> Connection:  # noqa: ASYNC109 - aiohttp's signature
        """Return a connection, a new one where the request asks for that."""
        progress = PROGRESS.get()
        connection = await super().connect(req, traces, timeout)
        while progress.fresh and _witness_of(connection) is not None:
            connection.close()
            connection = await super().connect(req, traces, timeout)

        progress.connected(_witness_of(connection) or _placed(connection))
        return connection


def _witness_of(connection: Connection) -> TrackedProtocol | None:
    protocol = _transport(connection).get_protocol()
    return protocol if isinstance(protocol, TrackedProtocol) else None


def _placed(connection: Connection) -> TrackedProtocol:
    transport = _transport(connection)
    witness = TrackedProtocol(cast("asyncio.Protocol", transport.get_protocol()))
    transport.set_protocol(witness)
    return witness


def _transport(connection: Connection) -> asyncio.Transport:
    # None only once the connection is closed, and this one was handed out just now.
    return cast("asyncio.Transport", connection.transport)
