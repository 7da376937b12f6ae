"""The HTTP server: aiohttp's, with our connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from aiohttp import web

from upstash_helper.api.connections import Connections, Limits

# After everything was given its time, what still hangs is cut off.
_CUT_SECONDS: Final = 0.2


class Server:
    """Serves one application to whoever comes through its ``connections``."""

    def __init__(self, app: web.Application, *, limits: Limits | None = None) -> None:
        # A handler whose client has gone is cancelled, or an event stream would wait for ever; what must not stop half
        # way is owned by the broker's Background and goes on.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CUT_SECONDS, handler_cancellation=True)
        self._limits = limits or Limits()
        self._connections: Connections | None = None

    async def start(self) -> None:
        """Get ready to be connected to."""
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - setup makes it
        self._connections = Connections(self._runner.server, self._limits)

    @property
    def connections(self) -> Connections:
        """Makes the protocol of each new connection; after ``start``."""
        assert self._connections is not None  # noqa: S101 - start was called
        return self._connections

    async def drain(self, seconds: float) -> None:
        """Let the requests in flight end for at most ``seconds``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.connections.quiet()

    async def close(self) -> None:
        """Close what is still open, and the application with it."""
        await self._runner.cleanup()
