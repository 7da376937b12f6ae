"""A client of the daemon's event stream."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

    from tests.support.world import World


class Stream:
    """A reader of server-sent events (WHATWG HTML, section 9.2)."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        """Return the next event. Comments are skipped."""
        event: dict[str, Any] = {}
        async with asyncio.timeout(10):
            while True:
                line = (await self._response.content.readline()).decode()
                if not line:
                    return {"event": "(end)"}
                name, _, value = line.rstrip("\n").partition(": ")
                if not name and event:
                    event["data"] = msgspec.json.decode(event["data"])
                    return event
                if name:
                    event[name] = value

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        while (event := await self.next())["event"] != kind:
            assert event["event"] != "(end)"
        return event


@asynccontextmanager
async def follow(world: World, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """Open the event stream, by default as the owner."""
    sent = {"Authorization": f"Bearer {world.owner}", **headers}
    async with world.session.get(f"/v1/events{query}", headers=sent) as response:
        assert 200 == response.status
        assert "text/event-stream" == response.content_type
        assert b": upstash-helper\n" == await response.content.readline()
        yield Stream(response)
