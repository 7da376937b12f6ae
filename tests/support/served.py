"""An application behind the daemon's own sockets and connections, in the test's process."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from upstash_helper.api.server.body import BodyError, BodyTimeout, BodyTooLarge, UnsupportedEncoding, read_body
from upstash_helper.api.server.connections import Connection, Counts, Limits
from upstash_helper.broker.identity import OWNER
from upstash_helper.runtime.compose import Machine, compose
from upstash_helper.runtime.listeners import Listeners, open_listeners
from upstash_helper.runtime.numeric_address import NumericAddress
from upstash_helper.runtime.serve import serve
from upstash_helper.settings.config import Profile, Settings
from upstash_helper.settings.profiles import Folders
from upstash_helper.storage.credentials.file_store import MemoryStore
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.storage.registrations import MemoryRegistrations
from upstash_helper.system.clock import SystemClock
from upstash_helper.system.default_browser import SystemBrowser
from upstash_helper.system.notifications import SilentNotifier
from upstash_helper.system.peers import SystemPeers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from upstash_helper.runtime.idle_exit import IdleExit

BODY_SECONDS = 0.4


@contextlib.asynccontextmanager
async def serving(
    app: web.Application,
    listeners: Listeners,
    *,
    limits: Limits | None = None,
    counts: Counts | None = None,
    stop: asyncio.Event | None = None,
    idle: IdleExit | None = None,
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve ``app``. On leaving, stop unless it has stopped already."""
    stop = stop or asyncio.Event()
    ready = asyncio.Event()

    @contextlib.contextmanager
    def announced() -> Iterator[None]:
        ready.set()
        yield

    task = asyncio.create_task(
        serve(app, listeners, stop=stop, limits=limits, counts=counts, announced=announced, idle=idle)
    )
    await asyncio.wait({task, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield task
    finally:
        stop.set()
        await task


@dataclass
class RecordingServer:
    """A small application that records which requests its handlers receive, and what happens to them."""

    port: int = 0
    handled: list[str] = field(default_factory=list)
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to let the handlers of ``/hold`` continue. Their requests count as the owner's."""
    held: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """Released by each handler of ``/hold`` that has started."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a handler of ``/hold`` is canceled because its client has disconnected."""

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, *, limits: Limits | None = None) -> AsyncIterator[RecordingServer]:
        """Serve it on a free port."""
        async with cls.behind(open_listeners(0), limits=limits) as server:
            yield server

    @classmethod
    @contextlib.asynccontextmanager
    async def behind(cls, listeners: Listeners, *, limits: Limits | None = None) -> AsyncIterator[RecordingServer]:
        """Serve it on the given sockets."""
        server = cls(port=listeners.port)
        async with serving(server.app(), listeners, limits=limits):
            try:
                yield server
            finally:
                server.hold.set()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_route("GET", "/hold", self._hold)
        app.router.add_route("GET", "/large", self._large)
        app.router.add_route("GET", "/broken", self._broken)
        app.router.add_route("*", "/{path:.*}", self._read)
        return app

    async def _read(self, request: web.Request) -> web.Response:
        self.handled.append(request.path)
        try:
            body = await read_body(request, deadline=BODY_SECONDS)
        except BodyError as error:
            statuses = {BodyTooLarge: 413, BodyTimeout: 408, UnsupportedEncoding: 415}
            return web.Response(status=statuses.get(type(error), 400))
        return web.Response(body=body)

    async def _hold(self, request: web.Request) -> web.Response:
        assert isinstance(request.protocol, Connection)
        request.protocol.begin_for(OWNER)
        self.held.release()
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        return web.Response()

    async def _large(self, request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 64_000_000)

    async def _broken(self, request: web.Request) -> web.Response:
        message = "sk-live-a-secret-value"
        raise RuntimeError(message)


@dataclass
class LocalDaemon:
    """The composed daemon without an upstream: enough for requests that must not get that far."""

    port: int
    token: str

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(cls, root: Path, *, limits: Limits | None = None) -> AsyncIterator[LocalDaemon]:
        """Serve it, with its folders below ``root``."""
        listeners = open_listeners(0)
        stop = asyncio.Event()
        clock = SystemClock()
        machine = Machine(
            clock=clock,
            browser=SystemBrowser(root / "run"),
            store=MemoryStore(),
            ledger=SqliteLedger(None),
            peers=SystemPeers(),
            notifier=SilentNotifier(),
            port=listeners.port,
            callback=listeners,
            numeric=NumericAddress(listeners, clock),
            listeners=listeners.snapshot,
            registrations=MemoryRegistrations(),
            client_name="upstash-helper (test)",
        )
        folders = Folders(config=root / "config", state=root / "state", runtime=root / "run", logs=root / "log")
        settings = Settings(port=listeners.port, open_browser=False)
        daemon = compose(machine, Profile(name="t", folders=folders, settings=settings, sources={}), stop=stop)
        async with serving(daemon.app, listeners, limits=limits, counts=daemon.counts, stop=stop):
            yield cls(port=listeners.port, token=daemon.tokens.owner_token.reveal())

    @property
    def owner(self) -> tuple[tuple[str, str], ...]:
        """The headers of the owner's JSON requests."""
        return (("Authorization", f"Bearer {self.token}"), ("Content-Type", "application/json"))
