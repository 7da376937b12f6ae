"""
Ports where the API leaves the port of sign-ins to others: ``port_policy = "on-demand"``.

The port that is registered with Upstash is also the favorite of web developers. So the API is on a port of its own, and
the registered one is taken for a sign-in alone and let go as soon as it is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import literals, wire
from upstash_helper.runtime.listeners import V4, V6, Listeners, PortBusy, open_listeners, why_not

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 2.0
"""What requests under way have for their answers once the door is shut; one of them sends the browser on."""


def open_first(ports: Sequence[int]) -> Listeners:
    """
    Take the first of ``ports`` that is free on 127.0.0.1.

    Raises:
        PortBusy: If none can be had. Says who has each.
    """
    refused = []
    for port in ports:
        try:
            return open_listeners(port, explain=why_not)
        except PortBusy as error:
            refused.append(error.detail)
    detail = (
        f"No port is left for the API. {' '.join(refused)} Stop one of these programs, or give the helper another "
        "port: the setting 'api_port', UPSTASH_HELPER_API_PORT or --api-port."
    )
    raise PortBusy(detail)


def api_and_door(api: Listeners, door: Door) -> tuple[wire.Listener, ...]:
    """Return how the addresses of both are."""
    of_api = (
        wire.Listener(address=one.address, state=one.state, holder=one.holder, use="api") for one in api.snapshot()
    )
    return (*of_api, *door.snapshot())


class Door:
    """
    The port of sign-ins, and the ``CallbackAddress`` port where that is not always ours.

    It cannot be taken before ``answered_by`` has said who answers.
    """

    def __init__(self, port: int) -> None:
        self.port: Final = port
        self._listeners: Listeners | None = None
        self._connections: Connections | None = None
        self._ending: asyncio.Task[None] | None = None

    def snapshot(self) -> tuple[wire.Listener, ...]:
        """Return how its addresses are."""
        if self._listeners is not None:
            return tuple(_for_sign_ins(one.address, one.state, one.holder) for one in self._listeners.snapshot())
        return tuple(_for_sign_ins(f"{host}:{self.port}", "on_demand") for host in (V4, f"[{V6}]"))

    async def conflict(self) -> str | None:
        """Return None while others may have the port, else what stands against a sign-in."""
        return None if self._listeners is None else _advised(await self._listeners.stranger())

    async def take(self) -> str | None:
        """Take both addresses, or neither and say why."""
        if self._listeners is not None:
            return await self.conflict()
        if self._connections is None:
            message = "nobody answers at this door"
            raise RuntimeError(message)
        if self._ending is not None:
            # Where addresses are exclusive (Windows), connections of the last time are in the way of the next.
            await asyncio.shield(self._ending)
        try:
            # In a thread, since looking for who has the port may take long.
            listeners = await asyncio.to_thread(open_listeners, self.port, explain=why_not)
        except PortBusy as error:
            logger.warning("sign_in_port_busy", extra={"detail": error.detail})
            return _advised(f"{error.detail} A sign-in comes back to it.")
        stranger = await listeners.stranger()
        if stranger is not None:
            listeners.close()
            return _advised(stranger)
        self._listeners = listeners
        await listeners.serve(self._connections)
        logger.info("sign_in_port_taken", extra={"port": self.port})
        return None

    async def release(self) -> None:
        """Listen no longer. Answers under way are finished, and connections closed then."""
        listeners, self._listeners = self._listeners, None
        if listeners is None or self._connections is None:
            return
        listeners.close()
        logger.info("sign_in_port_released", extra={"port": self.port})
        self._ending = asyncio.get_running_loop().create_task(_end(self._connections))

    @contextlib.asynccontextmanager
    async def answered_by(
        self, app: web.Application, *, counts: Counts, limits: Limits | None = None
    ) -> AsyncIterator[None]:
        """
        Have ``app`` answer whoever comes while the port is taken; on leaving it is let go.

        Args:
            app: What answers.
            counts: Where what happens to connections is counted.
            limits: What a connection may cost.
        """
        from aiohttp import web

        from upstash_helper.api.server.connections import Connections, Limits

        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            if runner.server is None:
                message = "aiohttp made no server"
                raise RuntimeError(message)
            self._connections = Connections(runner.server, limits or Limits(), counts)
            yield
        finally:
            await self.release()
            if self._ending is not None:
                await self._ending
            self._connections = None
            await runner.cleanup()


async def _end(connections: Connections) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await connections.quiet()
    connections.end()


def _for_sign_ins(address: str, state: literals.ListenerState, holder: str | None = None) -> wire.Listener:
    return wire.Listener(address=address, state=state, holder=holder, use="sign_in")


def _advised(trouble: str | None) -> str | None:
    if trouble is None:
        return None
    return (
        f"{trouble} Stop that program for the moment of signing in and try again; it can start again right after, and "
        "the helper need not be restarted. Or connect without a sign-in: upstash-helper connect --api-key"
    )
