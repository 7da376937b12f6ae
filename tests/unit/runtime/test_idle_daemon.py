"""What keeps an idle daemon from exiting: work that would be lost."""

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
    """A clock that does not advance."""
    return FakeClock()


@pytest.fixture
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    """A daemon with a credential that survives it."""
    store = FileStore(tmp_path / "credential.json")
    async with World.running(tmp_path, sandbox, daemon_port, store=store, clock=clock) as world:
        yield world
        await sandbox.clear_faults()


def busy_reason(world: World) -> str | None:
    """Return why the daemon stays."""
    return world.daemon.idle_check.blocker()


async def test_idle_daemon_may_exit(world: World) -> None:
    """Neither a new daemon nor one with a connected account and an app has to stay."""
    new = busy_reason(world)
    await world.connect()
    await world.pair("databases:read")
    await world.get("/v1/databases")

    await until_async(lambda: busy_reason(world) is None)
    assert new is None


async def test_pending_sign_in_keeps_the_daemon_until_it_expires(world: World, clock: FakeClock) -> None:
    """The user may be reading an email with a code, so the daemon stays until the sign-in has expired."""
    await world.start()
    running = busy_reason(world)

    clock.advance(LIFETIME)

    assert "a sign-in is pending" == running
    await until_async(lambda: busy_reason(world) is None)


async def test_code_exchange_keeps_the_daemon(world: World, sandbox: Sandbox) -> None:
    """Before it exits, the daemon exchanges the code, stores the API key, and revokes the tokens."""
    started = await world.start()
    landing = await world.sign_in(started)
    await sandbox.fault(method="POST", path="/oauth/token", latency=0.5)

    await world.land(landing)
    exchanging = busy_reason(world)
    await world.settled(started["attempt_id"])

    assert "a sign-in is pending" == exchanging
    await until_async(lambda: busy_reason(world) is None)


async def test_background_work_keeps_the_daemon(world: World, sandbox: Sandbox) -> None:
    """Work that continues after its client has disconnected is completed first."""
    await world.connect()
    await until_async(lambda: busy_reason(world) is None)
    await sandbox.fault(method="POST", path="/v2/redis/database", latency=0.5)
    body = {"name": "kept", "primary_region": "us-east-1"}

    making = asyncio.create_task(world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "kept"}))
    await until_async(lambda: busy_reason(world) == "background work is in progress")
    made = await making

    assert 201 == made.status
    await until_async(lambda: busy_reason(world) is None)


async def test_pending_pairing_keeps_the_daemon(world: World, clock: FakeClock) -> None:
    """The daemon stays from an app's request until the app has fetched its token, or the request expires."""
    asked = (await world.ask("connection:read")).json
    waiting = busy_reason(world)
    await world.call("POST", f"/v1/pairings/{asked['id']}/approve", {})
    approved = busy_reason(world)
    await world.call("POST", f"/v1/pairings/{asked['id']}/token", token=asked["poll_secret"])
    await until_async(lambda: busy_reason(world) is None)
    await world.ask("connection:read", origin="https://app.example.com")
    another = busy_reason(world)
    clock.advance(121)

    assert {"an app is waiting for the user or has yet to fetch its token"} == {waiting, approved, another}
    assert busy_reason(world) is None


async def test_unused_dashboard_ticket_keeps_the_daemon(world: World, clock: FakeClock) -> None:
    """Only this daemon accepts the ticket, so it stays until the ticket is used or expires."""
    await world.call("POST", "/v1/dashboard/tickets")
    waiting = busy_reason(world)

    clock.advance(TICKET_SECONDS)

    assert ("a browser is opening the dashboard", None) == (waiting, busy_reason(world))


async def test_api_key_in_memory_keeps_the_daemon(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """With the memory store, the daemon does not exit while it has an API key."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        before = busy_reason(world)
        await world.connect()
        await until_async(lambda: busy_reason(world) == "the account's credential is only in memory")
        await world.call("DELETE", "/v1/connection")

        await until_async(lambda: busy_reason(world) is None)
        assert before is None
