"""
The numeric address of the owner's pages, for browsers that do not resolve names below ``localhost``.

A service worker belongs to a host and a port, so the safety of this address depends on nobody having been able to
prepare for it. Linux and Windows have the whole of ``127.0.0.0/8``: there the address has about 24 random bits, and the
system picks the port. macOS has only ``127.0.0.1``, and there the port alone has to be new.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
from typing import TYPE_CHECKING, Final

from upstash_helper.runtime.listeners import ACCEPTED_AT_ONCE, QUEUE, V4, bind

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.ports import Clock
    from upstash_helper.runtime.listeners import Listeners

logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 61.0
"""How often it is checked whether the address is in use. Longer than the lifetime of a ticket."""


class NumericAddress:
    """The ``NumericAddress`` port. It serves the same application as ``listeners``, with the same limits."""

    def __init__(self, listeners: Listeners, clock: Clock) -> None:
        """
        Args:
            listeners: The daemon's listeners, which must be served before the address is opened.
            clock: The clock.
        """
        self._listeners = listeners
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._host: str | None = None
        self._opening = asyncio.Lock()
        self.on_change: Callable[[str | None], None] = lambda _: None
        """Called with the Host when the address is opened, before anything is accepted, and with None at its end."""

    async def open(self, in_use: Callable[[str], bool]) -> str | None:
        """Open it on a new address and port, unless it is open."""
        async with self._opening:
            if self._host is not None:
                return self._host
            protocol = self._listeners.protocol
            listening = None if protocol is None else _listen()
            if protocol is None or listening is None:
                return None
            address, port = listening.getsockname()[:2]
            host = self._host = f"{address}:{port}"
            self.on_change(host)
            try:
                await self._serve(protocol, listening)
            except BaseException:
                self.close()
                listening.close()
                raise
            self._check_later(host, in_use)
            logger.info("numeric_address_opened")
            return self._host

    async def _serve(self, protocol: Callable[[], asyncio.BaseProtocol], listening: socket.socket) -> None:
        # Started in a second step, so that it can be closed if this is canceled.
        self._server = await asyncio.get_running_loop().create_server(
            protocol, sock=listening, backlog=ACCEPTED_AT_ONCE, start_serving=False
        )
        await self._server.start_serving()
        if self._server is not None:  # not closed meanwhile
            listening.listen(QUEUE)  # asyncio has set it to the number of connections that are accepted at once

    def close(self) -> None:
        """Close it, if it is open. Open connections stay open, and get no further responses from the pages."""
        if self._host is None:
            return
        server, self._server, self._host = self._server, None, None
        if server is not None:
            server.close()
        self.on_change(None)
        logger.info("numeric_address_closed")

    def _check_later(self, host: str, in_use: Callable[[str], bool]) -> None:
        self._clock.call_at(self._clock.monotonic() + CHECK_SECONDS, lambda: self._check(host, in_use))

    def _check(self, host: str, in_use: Callable[[str], bool]) -> None:
        if self._host != host:
            return
        if in_use(host):
            self._check_later(host, in_use)
        else:
            self.close()


def _listen() -> socket.socket | None:
    """Return a socket on a random loopback address, or on 127.0.0.1 where there is no other; None if that fails."""
    numbers = (1 + secrets.randbelow(254), secrets.randbelow(256), 1 + secrets.randbelow(254))
    for host in (f"127.{'.'.join(map(str, numbers))}", V4):
        with contextlib.suppress(OSError):
            return bind(host, 0)
    logger.warning("numeric_address_not_opened")
    return None
