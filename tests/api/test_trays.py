"""Attached trays: the daemon reports them, and leaves notifications to them."""

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
    """Return the state of the tray as the daemon reports it."""
    found: dict[str, Any] = (await world.get("/v1/daemon")).json["tray"]
    return found


async def detached(world: World) -> dict[str, Any]:
    """Wait until the daemon has noticed that no tray is attached, and return the reported state."""
    async with asyncio.timeout(10):
        while True:
            found = await tray_of(world)
            if found["state"] != "attached":
                return found
            await asyncio.sleep(0.01)


async def test_tray_is_attached_while_its_event_stream_is_open(world: World) -> None:
    """It needs no call to detach, so a killed tray is detached, too."""
    before = await tray_of(world)
    async with attached(world):
        during = await tray_of(world)
    after = await detached(world)

    assert "unavailable" == before["state"]
    assert "upstash-helper tray" in before["detail"]
    assert ("attached", "statusnotifier", True) == (during["state"], during["backend"], during["notifies"])
    assert before == after


async def test_other_event_streams_are_not_trays(world: World) -> None:
    """The dashboard and `upstash-helper events` follow the events, too."""
    async with follow(world):
        found = await tray_of(world)

    assert "unavailable" == found["state"]


async def shown_to_the_user(world: World) -> int:
    """Let an app request access, and return how many notifications the daemon showed."""
    assert 202 == (await world.ask(origin=PAGE)).status
    await world.daemon.background.drain(10)
    return len(world.desktop.shown)


async def test_daemon_shows_no_notification_if_the_tray_does(world: World) -> None:
    """The user sees one notification per request."""
    async with attached(world) as tray:
        shown = await shown_to_the_user(world)
        event = await tray.until("pairing")

    assert 0 == shown
    assert ("pending", PAGE) == (event["data"]["state"], event["data"]["identity"]["shown"])


@pytest.mark.parametrize("query", ["tray=xorg", "tray=xorg&notifies=false"])
async def test_daemon_notifies_if_the_tray_cannot(world: World, query: str) -> None:
    """Not every backend can show notifications."""
    async with attached(world, query):
        shown = await shown_to_the_user(world)

    assert 1 == shown


async def test_daemon_notifies_again_after_the_tray_has_gone(world: World) -> None:
    """A crashed tray causes no lost notification."""
    async with attached(world):
        pass
    await detached(world)

    assert 1 == await shown_to_the_user(world)


async def test_one_event_stream_is_reserved_for_a_tray(world: World) -> None:
    """The user decides requests in the tray, so dashboards must not block it. A second tray has no reserved stream."""
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
async def test_tray_parameters_are_validated(world: World, query: str, word: str) -> None:
    """They are shown to the user."""
    refused = await world.get(f"/v1/events?{query}")

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert word in refused.json["detail"]
    assert "unavailable" == (await tray_of(world))["state"]


async def test_apps_cannot_register_as_a_tray(world: World) -> None:
    """An app could otherwise suppress the notification of its own request."""
    app = await world.pair("connection:read", origin=PAGE)

    refused = await world.as_app(app, "GET", "/v1/events?tray=gtk&notifies=true")

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert "unavailable" == (await tray_of(world))["state"]


async def test_console_url_is_null_for_a_sandbox(world: World) -> None:
    """A sandbox's databases have no page in the Upstash console."""
    assert (await world.get("/v1/daemon")).json["console_url"] is None
