"""The HTTP server: aiohttp's, with our connections, on our sockets."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api.connections import Connections, Limits

if TYPE_CHECKING:
    import socket

# After everything was given its time, what still hangs is cut off.
_CUT_SECONDS: Final = 0.2


class Server:
    """Serves one application on any number of sockets."""

    def __init__(self, app: web.Application, *, limits: Limits | None = None) -> None:
        # A handler whose client has gone is cancelled, or an event stream would wait for ever; what must not stop half
        # way is owned by the broker's Background and goes on.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_CUT_SECONDS, handler_cancellation=True
        )
        self._limits = limits or Limits()
        self._servers: list[asyncio.Server] = []
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Get ready to listen."""
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - setup makes it
        self._connections = Connections(self._runner.server, self._limits)

    @property
    def connections(self) -> Connections:
        """What is open; after ``start``."""
        assert self._connections is not None  # noqa: S101 - start was called
        return self._connections

    async def listen(self, bound: socket.socket) -> None:
        """Serve on ``bound``."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self.connections, sock=bound, backlog=128))

    async def stop(self, *, seconds: float) -> None:
        """Take no more connections, let the requests in flight end for at most ``seconds``, and close."""
        for server in self._servers:
            server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.connections.quiet()
        await self._runner.cleanup()
