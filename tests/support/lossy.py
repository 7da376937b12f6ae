"""A way to the daemon on which the answer to one request is lost, after the daemon has carried it out."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Lossy:
    """A relay. The first answer to a request that begins with ``loses`` never arrives: the connection breaks off."""

    def __init__(self, port: int, loses: bytes) -> None:
        self.url = ""
        self.lost = 0
        self.seen: list[bytes] = []
        """The requests that begin so, with their heads and as much of their bodies as came along."""
        self._port = port
        self._loses = loses
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._carry(reader, writer)))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(self._there(reader, far_writer))
        with contextlib.suppress(ConnectionError):
            while answer := await far_reader.read(65536):
                if self.seen and not self.lost and not answer.startswith(b"HTTP/1.1 200"):
                    self.lost += 1
                    break
                writer.write(answer)
        writer.close()
        far_writer.close()
        await there

    async def _there(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = self.url.removeprefix("http://").encode(), b"127.0.0.1:%d" % self._port
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(65536):
                if request.startswith(self._loses):
                    self.seen.append(request)
                writer.write(request.replace(b"Host: " + ours, b"Host: " + theirs))
        writer.close()

    async def end(self) -> None:
        """Wait until both ends of each connection are closed."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def lossy(port: int, *, loses: bytes) -> AsyncIterator[Lossy]:
    """
    Run a relay to the daemon at ``port``.

    Args:
        port: Of 127.0.0.1.
        loses: How the request begins whose first answer (of another status than 200) is lost.
    """
    relay = Lossy(port, loses)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        await relay.end()
