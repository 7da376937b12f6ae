"""A tray that follows the events: the daemon knows of it, and leaves to it what it shows."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stream import Stream, follow
from upstash_helper.api.resources.events import MAX_STREAMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.world import World

PAGE = "https://app.example.com"


@asynccontextmanager
async def attached(world: World, query: str = "tray=statusnotifier&notifies=true") -> AsyncIterator[Stream]:
    """Follow the events as a tray does."""
    sent = {"Authorization": f"Bearer {world.owner}"}
    async with world.session.get(f"/v1/events?{query}", headers=sent) as response:
        assert 200 == response.status
        assert b": upstash-helper\n" == await response.content.readline()
        yield Stream(response)


async def tray_of(world: World) -> dict[str, Any]:
    """Return what the daemon says of its tray."""
    found: dict[str, Any] = (await world.get("/v1/daemon")).json["tray"]
    return found


async def detached(world: World) -> dict[str, Any]:
    """Return what the daemon says of its tray once it has seen that none is there."""
    async with asyncio.timeout(10):
        while True:
            found = await tray_of(world)
            if found["state"] != "attached":
                return found
            await asyncio.sleep(0.01)


async def test_a_tray_is_attached_for_as_long_as_it_follows(world: World) -> None:
    """It needs no call to say that it goes: a tray that was killed is gone as well."""
    before = await tray_of(world)
    async with attached(world):
        during = await tray_of(world)
    after = await detached(world)

    assert "unavailable" == before["state"]
    assert "upstash-helper tray" in before["detail"]
    assert ("attached", "statusnotifier", True) == (during["state"], during["backend"], during["notifies"])
    assert before == after


async def test_any_other_follower_is_no_tray(world: World) -> None:
    """The dashboard and `upstash-helper events` follow too."""
    async with follow(world):
        found = await tray_of(world)

    assert "unavailable" == found["state"]


async def shown_to_the_user(world: World) -> int:
    """Let an app ask, and return of how many notifications the daemon took care itself."""
    assert 202 == (await world.ask(origin=PAGE)).status
    await world.daemon.background.drain(10)
    return len(world.desktop.shown)


async def test_a_tray_that_notifies_spares_the_user_a_second_notification(world: World) -> None:
    """Both would say the same."""
    async with attached(world) as tray:
        shown = await shown_to_the_user(world)
        told = await tray.until("pairing")

    assert 0 == shown
    assert ("pending", PAGE) == (told["data"]["state"], told["data"]["identity"]["shown"])


@pytest.mark.parametrize("query", ["tray=xorg", "tray=xorg&notifies=false"])
async def test_a_tray_without_notifications_leaves_them_to_the_daemon(world: World, query: str) -> None:
    """Not every backend can show one."""
    async with attached(world, query):
        shown = await shown_to_the_user(world)

    assert 1 == shown


async def test_without_its_tray_the_daemon_notifies_again(world: World) -> None:
    """A tray that crashed takes nothing with it."""
    async with attached(world):
        pass
    await detached(world)

    assert 1 == await shown_to_the_user(world)


async def test_many_dashboards_do_not_keep_the_tray_out(world: World) -> None:
    """One place is the tray's: there the user decides. A second tray waits like everybody else."""
    async with AsyncExitStack() as open_streams:
        for _ in range(MAX_STREAMS):
            await open_streams.enter_async_context(follow(world))
        await open_streams.enter_async_context(attached(world))
        second = await world.get("/v1/events?tray=statusnotifier")

        assert "attached" == (await tray_of(world))["state"]
    assert (429, "too_many_streams") == (second.status, second.code)


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("tray=", "a-z"),
        ("tray=Tray", "a-z"),
        ("tray=%3Cscript%3E", "a-z"),
        (f"tray={'x' * 33}", "32"),
        ("tray=gtk&notifies=maybe", "true or false"),
    ],
)
async def test_a_tray_says_rightly_what_it_is(world: World, query: str, word: str) -> None:
    """What it says is shown to the user, so it is checked."""
    refused = await world.get(f"/v1/events?{query}")

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert word in refused.json["detail"]
    assert "unavailable" == (await tray_of(world))["state"]


async def test_no_app_passes_itself_off_as_the_tray(world: World) -> None:
    """It would keep the user from being told of requests: its own, say."""
    app = await world.pair("connection:read", origin=PAGE)

    refused = await world.as_app(app, "GET", "/v1/events?tray=gtk&notifies=true")

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert "unavailable" == (await tray_of(world))["state"]


async def test_the_console_is_named_only_where_there_is_one(world: World) -> None:
    """A sandbox's databases have no page at Upstash."""
    assert (await world.get("/v1/daemon")).json["console_url"] is None
