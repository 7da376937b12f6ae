"""HTTP as bytes: what no well-behaved client would send, and everything that comes back."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE = 10.0
"""Seconds after which a test gives up on an answer, or on the end of a connection."""


@dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


@dataclass
class RawConnection:
    """A connection to the daemon on which the test writes bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    received: bytearray = field(default_factory=bytearray)

    async def send(self, data: bytes) -> None:
        """Write ``data``; a far side that has closed already is no error."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def drip(self, data: bytes, *, every: float) -> None:
        """Write ``data`` byte by byte, until it is all sent or the connection is closed."""
        for byte in data:
            if self.writer.is_closing() or self.reader.at_eof():
                return
            await self.send(bytes([byte]))
            await asyncio.sleep(every)

    async def until_closed(self) -> list[Answer]:
        """Return every answer that came until the far side closed."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    self.received += piece
        return parse(bytes(self.received))

    async def answer(self) -> Answer:
        """Return the next answer, which says how long it is."""
        async with asyncio.timeout(DEADLINE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = _head(head)
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))


@contextlib.asynccontextmanager
async def connected(port: int, host: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Connect, and close at the end."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(port: int, *parts: bytes, host: str = "127.0.0.1") -> list[Answer]:
    """
    Send ``parts`` on a connection of their own, and return the answers that came until the far side closed it.

    Parts arrive one by one: between them the far side has time to work on what it got.
    """
    async with connected(port, host) as connection:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(0.05)
            await connection.send(part)
        return await connection.until_closed()


async def get(port: int, path: str = "/", *, host: str = "127.0.0.1") -> Answer:
    """Return the answer to a plain GET."""
    async with connected(port, host) as connection:
        await connection.send(request("GET", path, port=port))
        return await connection.answer()


def request(
    method: str, path: str, *, port: int = 3000, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
) -> bytes:
    """Return a request as it goes over the wire; ``Content-Length`` is the caller's to give."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def parse(data: bytes) -> list[Answer]:
    """Return the responses in ``data``, each of them with a Content-Length."""
    answers = []
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        assert found, f"an answer was cut off: {data!r}"
        status, headers = _head(head)
        length = int(headers["content-length"])
        assert len(rest) >= length, f"a body was cut off: {data!r}"
        answers.append(Answer(status, headers, rest[:length]))
        data = rest[length:]
    return answers


def _head(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in fields}
