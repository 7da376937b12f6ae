"""A relay to the sandbox that records its responses, so that a test knows every secret in them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_SECRET = re.compile(
    rb'"(access_token|refresh_token|id_token|api_key|password|rest_token|read_only_rest_token)"\s*:\s*"([^"]+)"'
)


class Recorded:
    """The relay, and the recorded responses."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self.received = bytearray()
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def secrets(self) -> dict[str, set[str]]:
        """The secrets in the responses, by the name of their field."""
        found: dict[str, set[str]] = {}
        for kind, value in _SECRET.findall(bytes(self.received)):
            found.setdefault(kind.decode(), set()).add(value.decode())
        return found

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._relay(reader, writer)))

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        copying = asyncio.create_task(_copy(reader, upstream_writer))
        with contextlib.suppress(ConnectionError):
            while answer := await upstream_reader.read(65536):
                self.received += answer
                writer.write(answer)
        writer.close()
        await copying

    async def end(self) -> None:
        """Wait until all connections are closed."""
        await asyncio.gather(*self._tasks)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while request := await reader.read(65536):
            writer.write(request)
    writer.close()


@asynccontextmanager
async def recorded(port: int) -> AsyncIterator[Recorded]:
    """Run a relay to a local port."""
    relay = Recorded(port)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
    relay.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield relay
        server.close()
        await relay.end()
