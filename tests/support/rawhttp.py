"""HTTP as raw bytes: requests that no well-behaved client sends, and everything that is received."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DEADLINE = 10.0
"""How many seconds a test waits for a response, or for the end of a connection."""


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    """By name, in lower case."""
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
        """Write ``data``. It is not an error if the server has closed the connection."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def drip(self, data: bytes, *, every: float) -> None:
        """Write ``data`` byte by byte, until all is sent or the connection is closed."""
        for byte in data:
            if self.writer.is_closing() or self.reader.at_eof():
                return
            await self.send(bytes([byte]))
            await asyncio.sleep(every)

    async def until_closed(self) -> list[Answer]:
        """Return all responses until the server closes the connection."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    self.received += piece
        return parse(bytes(self.received))

    async def answer(self) -> Answer:
        """Return the next response, which must have a Content-Length."""
        async with asyncio.timeout(DEADLINE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = _head(head)
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))


@contextlib.asynccontextmanager
async def connected(port: int, host: str = "127.0.0.1") -> AsyncIterator[RawConnection]:
    """Open a connection, and close it on leaving."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(port: int, *parts: bytes, host: str = "127.0.0.1") -> list[Answer]:
    """
    Send ``parts`` on a new connection, and return all responses until the server closes it.

    The parts arrive separately: the server has time between them to process what it has received.
    """
    async with connected(port, host) as connection:
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(0.05)
            await connection.send(part)
        return await connection.until_closed()


async def get(port: int, path: str = "/", *, host: str = "127.0.0.1") -> Answer:
    """Return the response to a plain GET."""
    async with connected(port, host) as connection:
        await connection.send(request("GET", path, port=port))
        return await connection.answer()


def request(
    method: str, path: str, *, port: int = 3000, headers: tuple[tuple[str, str], ...] = (), body: bytes = b""
) -> bytes:
    """Return a request as bytes. ``Content-Length`` is up to the caller."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: localhost:{port}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def parse(data: bytes) -> list[Answer]:
    """Parse responses, each of them with a Content-Length."""
    answers = []
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        assert found, f"a response was cut off: {data!r}"
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
