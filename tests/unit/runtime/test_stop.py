"""Stopping: pending work is completed, and nothing waits forever."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from aiohttp import web

from tests.support.rawhttp import connected, request
from tests.support.served import RecordingServer, serving
from upstash_helper.runtime.listeners import open_listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

BOUND = 3.0
"""The maximum duration of a stop in seconds."""


class PendingWork:
    """An application with event streams, a slow write, and a handler that never ends."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.begun = asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.endless = False
        self._ended = asyncio.Event()
        self._writes: set[asyncio.Task[None]] = set()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/stream", self._stream)
        app.router.add_get("/write", self._write)
        app.router.add_get("/stuck", self._stuck)
        app.on_shutdown.append(self._end_streams)
        app.on_cleanup.append(self._finish)
        return app

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.begun.release()
        await self._ended.wait()
        await response.write(b"event: bye\n\n")
        return response

    async def _write(self, request: web.Request) -> web.Response:
        task = asyncio.create_task(self._written())
        self._writes.add(task)
        self.begun.release()
        await asyncio.shield(task)
        return web.Response(text="written")

    async def _written(self) -> None:
        await self._ended.wait()
        if self.endless:
            await self.go_on.wait()
        await asyncio.sleep(0.3)  # upstream responds slowly, and the daemon is stopped meanwhile
        self.written.append("all of it")

    async def _stuck(self, request: web.Request) -> web.Response:
        self.begun.release()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await self.go_on.wait()
                return web.Response()

    async def _end_streams(self, app: web.Application) -> None:
        self._ended.set()

    async def _finish(self, app: web.Application) -> None:
        if self._writes:
            await asyncio.wait(self._writes)


@contextlib.asynccontextmanager
async def pending_requests(work: PendingWork, *paths: str) -> AsyncIterator[Callable[[], Awaitable[list[bytes]]]]:
    """Start a request for each path. Yield a function that stops the daemon and returns what each request received."""
    listeners = open_listeners(0)
    stop = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(serving(work.app(), listeners, stop=stop))
        connections = []
        for path in paths:
            connections.append(await stack.enter_async_context(connected(listeners.port)))
            await connections[-1].send(request("GET", path))
            await work.begun.acquire()

        async def stopped() -> list[bytes]:
            stop.set()
            await running
            return [await connection.reader.read() for connection in connections]

        yield stopped


async def test_pending_work_is_completed() -> None:
    """When the daemon stops, its event streams end properly, and a pending write is completed and answered."""
    work = PendingWork()
    async with pending_requests(work, *["/stream"] * 10, "/write") as stopped:
        began = time.monotonic()

        *streams, answer = await stopped()
        took = time.monotonic() - began

    assert ["all of it"] == work.written
    assert answer.endswith(b"\r\n\r\nwritten")
    assert all(stream.endswith(b"event: bye\n\n\r\n0\r\n\r\n") for stream in streams)
    assert took < BOUND


async def test_write_of_a_disconnected_client_is_completed() -> None:
    """A write continues after its client has disconnected, and the stop waits for it."""
    work = PendingWork()
    listeners = open_listeners(0)
    stop = asyncio.Event()
    async with serving(work.app(), listeners, stop=stop) as running:
        async with connected(listeners.port) as connection:
            await connection.send(request("GET", "/write"))
            await work.begun.acquire()
        stop.set()
        await running

    assert ["all of it"] == work.written


async def test_handler_that_never_ends_is_abandoned() -> None:
    """Even a handler that ignores its cancellation does not delay a stop beyond its limit."""
    work = PendingWork()
    async with pending_requests(work, "/stuck") as stopped:
        began = time.monotonic()

        await stopped()
        took = time.monotonic() - began
        work.go_on.set()

    assert took < BOUND


async def test_write_that_never_ends_is_abandoned() -> None:
    """A write that gets no response from upstream does not delay a stop beyond its limit either."""
    work = PendingWork()
    work.endless = True
    async with pending_requests(work, "/write") as stopped:
        began = time.monotonic()

        await stopped()
        took = time.monotonic() - began
        work.go_on.set()

    assert [] == work.written
    assert took < BOUND


async def test_disconnect_cancels_the_handler() -> None:
    """A handler is canceled when its client disconnects, so that unread streams cost nothing."""
    async with RecordingServer.serving() as server:
        async with connected(server.port) as connection:
            await connection.send(request("GET", "/hold"))
            await server.held.acquire()

        async with asyncio.timeout(5):
            await server.left.wait()

        assert server.held.locked()
        assert not server.hold.is_set()


async def test_idle_daemon_stops_immediately() -> None:
    """Without pending work, a stop waits for nothing, including open idle connections."""
    work = PendingWork()
    listeners = open_listeners(0)
    stop = asyncio.Event()
    async with connected(listeners.port) as idle, serving(work.app(), listeners, stop=stop) as running:
        await idle.send(request("GET", "/nothing"))
        await idle.answer()
        began = time.monotonic()

        stop.set()
        await running
        took = time.monotonic() - began

    assert took < 1.0
