"""The event stream over HTTP (threat T49 for one caller)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.stream import follow
from upstash_helper.api.resources.events import MAX_STREAMS

if TYPE_CHECKING:
    from tests.support.world import World


async def test_stream_reports_a_sign_in_and_databases(world: World) -> None:
    """A GUI does not need to poll."""
    async with follow(world) as stream:
        await world.connect()
        attempts = [(await stream.until("attempt"))["data"]["state"] for _ in range(3)]
        connection = (await stream.until("connection"))["data"]
        made = await world.create("told")
        event = await stream.until("database")

    assert ["pending", "exchanging", "succeeded"] == attempts
    assert ("connected", world.email) == (connection["state"], connection["account"]["email"])
    assert {"change": "created", "id": made["id"], "name": "told"} == event["data"]


async def test_t49_interrupted_stream_resumes(world: World) -> None:
    """With Last-Event-ID, missed events are replayed; with an unknown ID, a reset is sent."""
    async with follow(world) as stream:
        await world.start()
        last = (await stream.until("attempt"))["id"]
    await world.start(force=True)

    async with follow(world, **{"Last-Event-ID": last}) as stream:
        missed = await stream.until("attempt")
    async with follow(world, **{"Last-Event-ID": "garbage"}) as stream:
        reset = await stream.next()

    assert "pending" == missed["data"]["state"]
    assert missed["id"] != last
    assert {"event": "reset", "data": {}} == reset


async def test_t49_stream_needs_a_token_in_the_header(world: World) -> None:
    """A token in the query is not accepted."""
    without = await world.get("/v1/events", token=None)
    query = await world.get(f"/v1/events?token={world.owner}", token=None)
    foreign = await world.get("/v1/events", headers={"Origin": "https://evil.example"}, token=None)

    assert [401, 401, 403] == [without.status, query.status, foreign.status]


async def test_t49_number_of_streams_is_limited(world: World) -> None:
    """A stream above the limit is refused until another one ends."""
    opened = [follow(world) for _ in range(MAX_STREAMS)]
    for stream in opened:
        await stream.__aenter__()

    refused = await world.get("/v1/events")
    for stream in opened:
        await stream.__aexit__(None, None, None)
    async with asyncio.timeout(10):
        while True:
            async with world.session.get("/v1/events", headers={"Authorization": f"Bearer {world.owner}"}) as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.01)

    assert (429, "too_many_streams") == (refused.status, refused.code)


async def test_stopping_daemon_ends_streams_with_bye(world: World) -> None:
    """Open streams end cleanly and do not delay the stop."""
    loop = asyncio.get_running_loop()
    async with follow(world) as stream:
        before = loop.time()
        world.stop.set()
        await world.serving
        took = loop.time() - before
        events = [await stream.next(), await stream.next()]

    assert ["bye", "(end)"] == [event["event"] for event in events]
    assert took < 3


async def test_events_contain_no_secret(world: World) -> None:
    """Neither the state, the verifier, the key, nor a password."""
    async with follow(world) as stream:
        await world.connect()
        made = await world.create("told")
        events: list[dict[str, Any]] = []
        while not events or events[-1]["event"] != "database":
            events.append(await stream.next())

    credential = await world.store.load()
    assert credential is not None
    assert credential.api_key is not None
    secrets = (await world.get(f"/v1/databases/{made['id']}/credentials")).json
    hidden = [credential.api_key.reveal(), secrets["password"], secrets["rest_token"], world.owner]
    text = msgspec.json.encode(events).decode()
    assert not any(secret in text for secret in hidden)
