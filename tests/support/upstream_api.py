"""A Developer API with a handler written by the test, which can stream: a real server on a free port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """A request, recorded as it arrives."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytearray = field(default_factory=bytearray)
    """What has arrived so far, not decoded."""
    whole: bool = False
    """Whether the body is complete."""


class UpstreamApi:
    """The server."""

    def __init__(self, handler: Handler) -> None:
        self.seen: list[Seen] = []
        self.arrived = asyncio.Event()
        """Set with each chunk of a body."""
        self.left = asyncio.Event()
        """Set when a client disconnected before the response, or before its own body, was complete."""
        self.url = ""
        self._handler = handler

    @property
    def targets(self) -> list[str]:
        """Method and target of each request."""
        return [f"{it.method} {it.target}" for it in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record the headers, and respond."""
        self.seen.append(Seen(request.method, request.raw_path, request.headers))
        try:
            return await self._handler(request)
        except (asyncio.CancelledError, ConnectionError):
            self.left.set()
            raise

    async def body(self, request: web.Request) -> bytes:
        """Read the complete body."""
        seen = self.seen[-1]
        async for chunk in request.content.iter_any():
            seen.body += chunk
            self.arrived.set()
        seen.whole = True
        return bytes(seen.body)


async def ok(request: web.Request) -> web.StreamResponse:
    """Respond as Upstash does to most changes."""
    await request.read()
    return web.json_response("OK")


@asynccontextmanager
async def upstream_api(handler: Handler = ok) -> AsyncIterator[UpstreamApi]:
    """Run the server."""
    api = UpstreamApi(handler)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, handler_cancellation=True, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = site_url(runner)
        yield api
    finally:
        await runner.cleanup()


def site_url(runner: web.BaseRunner) -> str:
    """Return the URL of a runner with a single site."""
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
