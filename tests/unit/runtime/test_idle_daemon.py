"""What keeps a daemon to which nobody is connected: whatever would be lost with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.until import until_async
from tests.support.world import World
from upstash_helper.broker.account.attempts import LIFETIME
from upstash_helper.broker.apps.dashboard_sessions import TICKET_SECONDS
from upstash_helper.storage.credentials.file_store import FileStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still."""
    return FakeClock()


@pytest.fixture
async def world(tmp_path: Path, far_side: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    """A daemon whose key survives it."""
    store = FileStore(tmp_path / "credential.json")
    async with World.running(tmp_path, far_side, daemon_port, store=store, clock=clock) as world:
        yield world
        await far_side.clear_faults()


def keeps(world: World) -> str | None:
    """Return why the daemon stays."""
    return world.daemon.rest.blocker()


async def test_a_daemon_with_nothing_to_do_may_leave(world: World) -> None:
    """
    Neither a new daemon nor one with a connected account and an app has to stay.
    """
    new = keeps(world)
    await world.connect()
    await world.pair("databases:read")
    await world.get("/v1/databases")

    await until_async(lambda: keeps(world) is None)
    assert new is None


async def test_a_sign_in_keeps_it_as_long_as_it_lives(world: World, clock: FakeClock) -> None:
    """
    The user may be reading a mail with a code: the daemon stays until the sign-in has expired.
    """
    await world.start()
    running = keeps(world)

    clock.advance(LIFETIME)

    assert "a sign-in is pending" == running
    await until_async(lambda: keeps(world) is None)


async def test_the_exchange_of_a_code_keeps_it(world: World, far_side: Sandbox) -> None:
    """
    A spent code is turned into a stored key, and the tokens are given back, before the daemon leaves.
    """
    started = await world.start()
    landing = await world.sign_in(started)
    await far_side.fault(method="POST", path="/oauth/token", latency=0.5)

    await world.land(landing)
    exchanging = keeps(world)
    await world.settled(started["attempt_id"])

    assert "a sign-in is pending" == exchanging
    await until_async(lambda: keeps(world) is None)


async def test_a_database_that_is_being_made_keeps_it(world: World, far_side: Sandbox) -> None:
    """
    What goes on although its caller has left is finished first.
    """
    await world.connect()
    await until_async(lambda: keeps(world) is None)
    await far_side.fault(method="POST", path="/v2/redis/database", latency=0.5)
    body = {"name": "kept", "primary_region": "us-east-1"}

    making = asyncio.create_task(world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "kept"}))
    await until_async(lambda: keeps(world) == "background work is in progress")
    made = await making

    assert 201 == made.status
    await until_async(lambda: keeps(world) is None)


async def test_an_app_that_waits_for_the_user_keeps_it(world: World, clock: FakeClock) -> None:
    """
    From its wish until it has fetched its token, or until its time is over.
    """
    asked = (await world.ask("connection:read")).json
    waiting = keeps(world)
    await world.call("POST", f"/v1/pairings/{asked['id']}/approve", {})
    approved = keeps(world)
    await world.call("POST", f"/v1/pairings/{asked['id']}/token", token=asked["poll_secret"])
    await until_async(lambda: keeps(world) is None)
    await world.ask("connection:read", origin="https://app.example.com")
    another = keeps(world)
    clock.advance(121)

    assert {"an app is waiting for the user or has yet to fetch its token"} == {waiting, approved, another}
    assert keeps(world) is None


async def test_a_browser_on_its_way_to_the_dashboard_keeps_it(world: World, clock: FakeClock) -> None:
    """
    The ticket in the address is this daemon's: it stays until the browser has come, or is too late.
    """
    await world.call("POST", "/v1/dashboard/tickets")
    waiting = keeps(world)

    clock.advance(TICKET_SECONDS)

    assert ("a browser is opening the dashboard", None) == (waiting, keeps(world))


async def test_a_key_in_memory_keeps_it(tmp_path: Path, far_side: Sandbox, daemon_port: int) -> None:
    """
    With the store that is gone when the daemon stops, it does not stop by itself while there is a key.
    """
    async with World.running(tmp_path, far_side, daemon_port) as world:
        before = keeps(world)
        await world.connect()
        await until_async(lambda: keeps(world) == "the API key is only in memory")
        await world.call("DELETE", "/v1/connection")

        await until_async(lambda: keeps(world) is None)
        assert before is None
