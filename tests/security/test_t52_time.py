"""T52: the clock jumps, the machine is suspended, or the network is down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from tests.support.stream import follow
from tests.support.world import PASSWORD, World
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY = 86_400.0
NIGHT = 8 * 3600.0

both_ways = pytest.mark.parametrize("jump", [DAY, -DAY], ids=["forward", "back"])


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield world
        await sandbox.clear_faults()


async def attempt_of(world: World, started: dict[str, Any]) -> tuple[str, str | None]:
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return attempt["state"], attempt.get("waiting")


async def sent(world: World, path: str) -> int:
    return sum(seen["path"] == path for seen in await world.sandbox.requests())


# --- the wall clock is set --------------------------------------------------------------------------------------------


@both_ways
async def test_t52_sign_in_timeouts_ignore_the_wall_clock(world: World, clock: FakeClock, jump: float) -> None:
    """The hint comes after 90 seconds and the end after ten minutes, whatever the wall clock shows."""
    started = await world.start()
    clock.set_wall_clock(jump)
    seen = []
    for seconds in (89.0, 1.0, 509.0, 1.0):
        clock.advance(seconds)
        seen.append(await attempt_of(world, started))

    assert [("pending", None), ("pending", "no_callback"), ("pending", "no_callback"), ("expired", None)] == seen


@both_ways
async def test_t52_sign_in_succeeds_across_a_clock_change(world: World, clock: FakeClock, jump: float) -> None:
    """Setting the clock during a sign-in has no effect."""
    started = await world.start()
    address = await world.sign_in(started)
    clock.set_wall_clock(jump)

    await world.land(address)
    settled = await world.settled(started["attempt_id"])

    assert "succeeded" == settled["state"], settled


@both_ways
async def test_t52_list_cache_ignores_the_wall_clock(world: World, clock: FakeClock, jump: float) -> None:
    """A clock change neither invalidates a fresh list nor keeps an old one."""
    await world.connect()
    await world.get("/v1/databases")
    await world.sandbox.forget_requests()
    clock.set_wall_clock(jump)

    await world.get("/v1/databases")
    after_the_jump = await sent(world, "/v2/redis/databases")
    clock.advance(5)
    await world.get("/v1/databases")
    after_five_seconds = await sent(world, "/v2/redis/databases")

    assert (0, 1) == (after_the_jump, after_five_seconds)


@both_ways
async def test_t52_idempotency_key_survives_a_clock_change(world: World, clock: FakeClock, jump: float) -> None:
    """The key is remembered across a clock change."""
    await world.connect()
    body, key = {"name": "once", "primary_region": "us-east-1"}, {"Idempotency-Key": "jump"}
    first = await world.call("POST", "/v1/databases", body, headers=key)
    clock.set_wall_clock(jump)

    again = await world.call("POST", "/v1/databases", body, headers=key)

    assert (201, 201) == (first.status, again.status), again.text
    assert first.json["id"] == again.json["id"]
    assert 1 == len((await world.get("/v1/databases?refresh=true")).json["databases"])


@both_ways
async def test_t52_refused_key_back_off_ignores_the_wall_clock(world: World, clock: FakeClock, jump: float) -> None:
    """For one minute no request is sent with the key, and then one is."""
    connection = await world.connect()
    await world.sandbox.revoke_api_key(world.email, connection["api_key_name"])
    await world.get("/v1/databases?refresh=true")
    await world.sandbox.forget_requests()
    clock.set_wall_clock(jump)

    await world.get("/v1/databases?refresh=true")
    after_the_jump = await sent(world, "/v2/redis/databases")
    clock.advance(60)
    await world.get("/v1/databases?refresh=true")
    after_a_minute = await sent(world, "/v2/redis/databases")

    assert (0, 1) == (after_the_jump, after_a_minute)


@both_ways
async def test_t52_circuit_breaker_ignores_the_wall_clock(world: World, clock: FakeClock, jump: float) -> None:
    """A clock change neither closes the circuit breaker before its ten seconds nor keeps it open for a day."""
    await world.connect()
    await world.sandbox.fault(path="/v2/redis/databases", times=None, status=500, body="oops")
    for _ in range(5):
        await world.get("/v1/databases?refresh=true")
    await world.sandbox.clear_faults()
    await world.sandbox.forget_requests()
    clock.set_wall_clock(jump)

    at_once = await world.get("/v1/databases?refresh=true")
    after_the_jump = await sent(world, "/v2/redis/databases")
    clock.advance(10)
    later = await world.get("/v1/databases?refresh=true")

    assert (502, "upstream_unavailable", 0) == (at_once.status, at_once.code, after_the_jump)
    assert 200 == later.status


# --- the machine sleeps -----------------------------------------------------------------------------------------------


async def test_t52_sign_in_expires_during_a_suspend(world: World, clock: FakeClock) -> None:
    """Followers get one event, the late redirect exchanges nothing, and the next sign-in works."""
    async with follow(world) as stream:
        started = await world.start()
        address = await world.sign_in(started)
        await world.sandbox.forget_requests()
        clock.advance(NIGHT)
        events = [(await stream.until("attempt"))["data"]["state"] for _ in range(2)]
        connection = (await stream.until("connection"))["data"]
        landed = await world.land(address)
        spent = await sent(world, "/oauth/token")
        again = await world.start()
        events.append((await stream.until("attempt"))["data"]["state"])

    assert ["pending", "expired", "pending"] == events
    assert "disconnected" == connection["state"]
    assert (400, 0) == (landed.status, spent)
    await world.land(await world.sandbox.authorize(again["authorization_url"], world.email, PASSWORD, sign_up=False))
    assert "succeeded" == (await world.settled(again["attempt_id"]))["state"]


async def test_t52_event_stream_resumes_after_a_suspend(world: World, clock: FakeClock) -> None:
    """With Last-Event-ID the client gets the missed events, and none twice."""
    async with follow(world) as stream:
        await world.start()
        last = (await stream.until("connection"))["id"]
    clock.advance(NIGHT)

    async with follow(world, **{"Last-Event-ID": last}) as stream:
        missed = [await stream.next(), await stream.next()]

    assert [("attempt", "expired"), ("connection", "disconnected")] == [
        (event["event"], event["data"]["state"]) for event in missed
    ]


async def test_t52_exchange_is_completed_after_a_suspend(world: World, clock: FakeClock) -> None:
    """An attempt whose code is being exchanged does not expire: it ends with a stored key or a specific failure."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.fault(method="POST", path="/oauth/token", latency=0.2)
    await world.land(address)
    clock.advance(NIGHT)

    asleep = await attempt_of(world, started)
    settled = await world.settled(started["attempt_id"])

    assert ("exchanging", None) == asleep
    assert "succeeded" == settled["state"], settled


async def test_t52_account_stays_connected_overnight(world: World, clock: FakeClock) -> None:
    """After a night the account is still connected, and the list is fetched again."""
    before = await world.connect()
    await world.create("evening")
    await world.get("/v1/databases")
    await world.sandbox.forget_requests()
    clock.advance(NIGHT)

    listed = (await world.get("/v1/databases")).json["databases"]
    after = (await world.get("/v1/connection")).json

    assert ["evening"] == [database["name"] for database in listed]
    assert 1 == await sent(world, "/v2/redis/databases")
    assert (before["state"], before["since"]) == (after["state"], after["since"])


async def test_t52_access_request_expires_across_a_restart(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock
) -> None:
    """The request expires on time although the daemon that received it has been restarted."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        pairing_request = (await world.ask(origin="https://app.example.com")).json
    clock.advance(100)
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world, follow(world) as stream:
        waiting = (await world.get("/v1/pairings")).json["pairings"]
        clock.advance(21)
        expired = (await stream.until("pairing"))["data"]

    assert [pairing_request["id"]] == [pairing["id"] for pairing in waiting]
    assert (pairing_request["id"], "expired") == (expired["id"], expired["state"])


# --- the network is down ----------------------------------------------------------------------------------------------


async def test_t52_daemon_started_without_a_network_recovers(
    tmp_path: Path, daemon_port: int, clock: FakeClock
) -> None:
    """
    It serves, knows its account, and reports that Upstash cannot be reached. Once there is a network, everything
    works without a restart.
    """
    email, store = "offline@example.com", MemoryStore()
    async with Sandbox.running(tmp_path / "sandbox", redirect_uris=(f"http://localhost:{daemon_port}",)) as sandbox:
        await sandbox.account(email, PASSWORD)
        key = Secret(await sandbox.api_key(email, "by-hand"))
        await store.save(Credential(email=email, api_key=key, method="api_key", since=clock.time()))
        await sandbox.stop()

        async with World.running(tmp_path, sandbox, daemon_port, store=store, clock=clock) as world:
            connection = (await world.get("/v1/connection")).json
            unreachable = [await world.get("/v1/databases") for _ in range(3)]
            started = await world.start(force=True)
            await sandbox.restart()
            clock.advance(10)
            reached = await world.get("/v1/databases")
            address = await sandbox.authorize(started["authorization_url"], email, PASSWORD, sign_up=False)
            await world.land(address)
            settled = await world.settled(started["attempt_id"])

    assert ("connected", email) == (connection["state"], connection["account"]["email"])
    assert {(502, "upstream_unavailable")} == {(reply.status, reply.code) for reply in unreachable}
    assert (200, []) == (reached.status, reached.json["databases"])
    assert "succeeded" == settled["state"], settled


async def test_t52_lost_network_fails_the_sign_in_with_a_reason(
    tmp_path: Path, daemon_port: int, clock: FakeClock
) -> None:
    """The page says that Upstash could not be reached, and the user can start again."""
    redirect_uris = (f"http://localhost:{daemon_port}",)
    async with (
        Sandbox.running(tmp_path / "sandbox", redirect_uris=redirect_uris) as sandbox,
        World.running(tmp_path, sandbox, daemon_port, clock=clock) as world,
    ):
        started = await world.start()
        address = await world.sign_in(started)
        await sandbox.stop()
        await world.land(address)
        settled = await world.settled(started["attempt_id"])
        again = await world.start()

    assert ("failed", "network_error") == (settled["state"], settled["reason"])
    assert settled["detail"]
    assert started["attempt_id"] != again["attempt_id"]
