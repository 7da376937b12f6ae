"""A relay to the daemon that loses the answer to one request, after the daemon has carried it out."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Lossy:
    """A relay that drops the connection in place of the first answer to a request that begins with ``loses``."""

    def __init__(self, port: int, loses: bytes) -> None:
        self.url = ""
        self.lost = 0
        self.seen: list[bytes] = []
        """The requests that begin with ``loses``: headers, and the part of the body that arrived with them."""
        self._port = port
        self._loses = loses
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        daemon_reader, daemon_writer = await asyncio.open_connection("127.0.0.1", self._port)
        requests = asyncio.create_task(self._relay_requests(reader, daemon_writer))
        with contextlib.suppress(ConnectionError):
            while answer := await daemon_reader.read(65536):
                if self.seen and not self.lost and not answer.startswith(b"HTTP/1.1 200"):
                    self.lost += 1
                    break
                writer.write(answer)
        writer.close()
        daemon_writer.close()
        await requests

    async def _relay_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ours, theirs = self.url.removeprefix("http://").encode(), b"127.0.0.1:%d" % self._port
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(65536):
                if request.startswith(self._loses):
                    self.seen.append(request)
                writer.write(request.replace(b"Host: " + ours, b"Host: " + theirs))
        writer.close()

    async def end(self) -> None:
        """Wait until both sides of each connection are closed."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def lossy(port: int, *, loses: bytes) -> AsyncIterator[Lossy]:
    """
    Run a relay to the daemon at ``port``.

    Args:
        port: The daemon's port.
        loses: Beginning of the requests whose first answer with a status other than 200 is lost.
    """
    relay = Lossy(port, loses)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        await relay.end()
