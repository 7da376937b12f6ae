"""A relay to the daemon that loses the response to one request, after the daemon has handled it."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support import proofs
from tests.support.faulty import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class LossyRelay:
    """A relay. The first response to a request that starts with ``loses`` is lost: the connection is closed."""

    def __init__(self, port: int, loses: bytes, tokens: tuple[str, ...]) -> None:
        self.url = ""
        self.lost = 0
        self.seen: list[bytes] = []
        """The matching requests, each as received in one read."""
        self._port = port
        self._loses = loses
        self._tokens = tokens
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        forwarding = asyncio.create_task(self._forward(reader, writer, server_writer))
        with contextlib.suppress(ConnectionError):
            while answer := await server_reader.read(65536):
                if self.seen and not self.lost and not answer.startswith(b"HTTP/1.1 200"):
                    self.lost += 1
                    break
                writer.write(answer)
        writer.close()
        server_writer.close()
        await forwarding

    async def _forward(
        self, reader: asyncio.StreamReader, client: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        relay, daemon = self.url.removeprefix("http://").encode(), b"127.0.0.1:%d" % self._port
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(65536):
                if request.startswith(b"GET /v1/proof?"):
                    target = request.split(b" ")[1].decode()
                    client.write(Answer(*proofs.answer_to(target, relay.decode(), self._tokens)).encoded())
                    continue
                if request.startswith(self._loses):
                    self.seen.append(request)
                writer.write(request.replace(b"Host: " + relay, b"Host: " + daemon))
        writer.close()

    async def end(self) -> None:
        """Wait until both sides of each connection are closed."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def lossy(port: int, *, loses: bytes, tokens: tuple[str, ...]) -> AsyncIterator[LossyRelay]:
    """
    Run a relay to the daemon.

    Args:
        port: The daemon's port on 127.0.0.1.
        loses: The start of the request whose first response with a status other than 200 is lost.
        tokens: The tokens that the relay proves to know. Clients send no others to it.
    """
    relay = LossyRelay(port, loses, tokens)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        await relay.end()
