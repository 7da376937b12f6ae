"""
The OAuth callback port while the API uses another one: ``port_policy = "on-demand"``.

The port that is registered with Upstash is also the default of many development servers. With this policy the API has a
separate port, and the registered one is opened only for a sign-in and closed right after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import literals, wire
from upstash_helper.runtime.listeners import V4, V6, Listeners, PortBusy, describe_bind_error, open_listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from upstash_helper.api.server.connections import Connections, Counts, Limits

logger = logging.getLogger(__name__)

ANSWER_SECONDS: Final = 2.0
"""How long pending requests may take after the port was closed. One of them sends the browser to the result page."""


class CallbackPort:
    """
    The callback port, as the broker's ``CallbackAddress``.

    It cannot be taken outside of ``served_by``.
    """

    def __init__(self, port: int) -> None:
        self.port: Final = port
        self._listeners: Listeners | None = None
        self._connections: Connections | None = None
        self._closing: asyncio.Task[None] | None = None

    def snapshot(self) -> tuple[wire.Listener, ...]:
        """Return the states of its addresses."""
        if self._listeners is not None:
            return tuple(_listener(each.address, each.state, each.holder) for each in self._listeners.snapshot())
        return tuple(_listener(f"{host}:{self.port}", "on_demand") for host in (V4, f"[{V6}]"))

    async def conflict(self) -> str | None:
        """Return why a sign-in is not possible, or None. While the port is closed, other programs may use it."""
        return None if self._listeners is None else _with_advice(await self._listeners.describe_other_listener())

    async def take(self) -> str | None:
        """Open both addresses, or neither. Return the reason if that is not possible, else None."""
        if self._listeners is not None:
            return await self.conflict()
        if self._connections is None:
            message = "no application serves the callback port"
            raise RuntimeError(message)
        if self._closing is not None:
            # Where addresses are exclusive (Windows), connections of the last sign-in still occupy the port.
            await asyncio.shield(self._closing)
        try:
            # In a thread, since finding out which program has the port may take long.
            listeners = await asyncio.to_thread(open_listeners, self.port, explain=describe_bind_error)
        except PortBusy as error:
            logger.warning("callback_port_busy", extra={"detail": error.detail})
            return _with_advice(f"{error.detail} The browser returns to this port after the sign-in.")
        conflict = await listeners.describe_other_listener()
        if conflict is not None:
            listeners.close()
            return _with_advice(conflict)
        self._listeners = listeners
        await listeners.serve(self._connections)
        logger.info("callback_port_opened", extra={"port": self.port})
        return None

    async def release(self) -> None:
        """Close the port. Pending requests are completed, then their connections are closed."""
        listeners, self._listeners = self._listeners, None
        if listeners is None or self._connections is None:
            return
        listeners.close()
        logger.info("callback_port_closed", extra={"port": self.port})
        self._closing = asyncio.get_running_loop().create_task(_close_connections(self._connections))

    @contextlib.asynccontextmanager
    async def served_by(
        self, app: web.Application, *, counts: Counts, limits: Limits | None = None
    ) -> AsyncIterator[None]:
        """
        Serve ``app`` on the port while it is open. Close it on leaving.

        Args:
            app: The application.
            counts: The counts of connections to update.
            limits: The limits of connections.
        """
        from aiohttp import web

        from upstash_helper.api.server.connections import Connections, Limits
        from upstash_helper.system.peers import SystemPeers

        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        try:
            if runner.server is None:
                message = "aiohttp created no server"
                raise RuntimeError(message)
            self._connections = Connections(
                runner.server, limits or Limits(), counts, is_other_user=SystemPeers().is_other_user
            )
            yield
        finally:
            await self.release()
            if self._closing is not None:
                await self._closing
            self._connections = None
            await runner.cleanup()


async def _close_connections(connections: Connections) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS):
            await connections.wait_idle()
    connections.close_all()


def all_listeners(api: Listeners, callback_port: CallbackPort) -> tuple[wire.Listener, ...]:
    """Return the states of the API's addresses and of the callback port's."""
    api_listeners = (
        wire.Listener(address=each.address, state=each.state, holder=each.holder, use="api") for each in api.snapshot()
    )
    return (*api_listeners, *callback_port.snapshot())


def _listener(address: str, state: literals.ListenerState, holder: str | None = None) -> wire.Listener:
    return wire.Listener(address=address, state=state, holder=holder, use="sign_in")


def _with_advice(reason: str | None) -> str | None:
    if reason is None:
        return None
    return (
        f"{reason} Stop that program during the sign-in, and try again. You can start it again right after that, and "
        "the helper does not have to be restarted. Or connect without a sign-in: upstash-helper connect --api-key"
    )
