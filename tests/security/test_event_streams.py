"""Event streams of unauthorized, too many, or slow clients: T49."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.effects import no_effect
from tests.support.rawhttp import request
from tests.support.stream import Stream, follow
from tests.support.until import until_async
from tests.support.world import App, World, as_page
from upstash_helper.api.resources.events import MAX_APP_STREAMS, MAX_STREAMS, MAX_STREAMS_PER_APP, SEND_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PAGE = "https://app.example.com"
OTHER = "https://other.example.com"


@contextlib.asynccontextmanager
async def streams(world: World, number: int, **headers: str) -> AsyncIterator[list[Stream]]:
    """Open several event streams."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(follow(world, **headers)) for _ in range(number)]


# --- authorization ----------------------------------------------------------------------------------------------------


async def test_t49_unauthorized_callers_get_no_stream(world: World) -> None:
    """
    Without a token, with a token in the URL, from an unapproved page, with a misused token, or without the scope,
    nothing is disclosed.
    """
    page = await world.pair("connection:read", origin=PAGE)
    blind = await world.pair("databases:read")

    async with no_effect(world):
        replies = {
            "no token": await world.get("/v1/events", token=None),
            "in the address": await world.get(f"/v1/events?token={page.token}&access_token={page.token}", token=None),
            "an unapproved page": await world.get("/v1/events", token=None, headers=as_page(OTHER)),
            "without its scope": await world.get("/v1/events", token=blind.token),
            "made up": await world.get("/v1/events", token="uha_" + "A" * 43),
            "an image": await world.get(
                "/v1/events", token=None, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
            ),
        }
    elsewhere = await world.get("/v1/events", headers={**page.headers, **as_page(OTHER)}, token=None)

    assert {
        "no token": (401, "token_required"),
        "in the address": (401, "token_required"),
        "an unapproved page": (403, "origin_not_allowed"),
        "without its scope": (403, "insufficient_scope"),
        "made up": (401, "invalid_token"),
        "an image": (403, "cross_site_request"),
    } == {what: (reply.status, reply.code) for what, reply in replies.items()}
    assert (403, "origin_mismatch") == (elsewhere.status, elsewhere.code)


async def test_t49_each_caller_gets_only_its_own_events(world: World) -> None:
    """
    All get the connection's events, apps with the scope those of databases, and only the owner those of pairings
    and revocations.
    """
    await world.connect()
    reader = await world.pair("connection:read", "databases:read", origin=PAGE)
    other = await world.pair("connection:read")
    async with (
        follow(world) as owner,
        follow(world, **reader.headers) as first,
        follow(world, **other.headers) as second,
    ):
        made = await world.create("created")
        pairing = (await world.ask(origin=OTHER)).json
        await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
        third = await world.pair("connection:read")
        await world.call("DELETE", f"/v1/apps/{third.id}")
        await world.call("DELETE", "/v1/connection")
        received = [await until_disconnected(stream) for stream in (owner, first, second)]

    kinds = [[event["event"] for event in events] for events in received]
    assert ["database", "pairing", "pairing", "pairing", "pairing", "pairing", "revoked", "connection"] == kinds[0]
    assert ["database", "connection"] == kinds[1]
    assert ["connection"] == kinds[2]
    assert made["id"] == received[1][0]["data"]["id"]


async def until_disconnected(stream: Stream) -> list[dict[str, Any]]:
    """Return the events up to the disconnection from Upstash."""
    events = [await stream.next()]
    while events[-1]["event"] != "connection":
        events.append(await stream.next())
    return events


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "last",
    ["garbage", "0", "-1", "00000000-1", "{run}-999999", "{run}-", "{run}-x", "{run}--1", "{run}-" + "9" * 4000,
     "{run}-1; DROP TABLE", "é", "null", "{run}"],
)  # fmt: skip
async def test_t49_unknown_event_id_is_a_reset(world: World, last: str) -> None:
    """With an old, future, or invented id, the client is received to reload the state, and follows from then on."""
    app = await world.pair("connection:read", origin=PAGE)
    async with follow(world) as stream:
        await world.start()
        run = (await stream.next())["id"].partition("-")[0]

    async with follow(world, **{**app.headers, "Last-Event-ID": last.format(run=run)}) as resumed:
        first = await resumed.next()
        await world.start(force=True)
        second = await resumed.next()

    assert {"event": "reset", "data": {}} == first
    assert "attempt" == second["event"]


async def test_t49_resuming_replays_missed_events(world: World) -> None:
    """
    A resuming client gets the missed events that are for it, in order and once each. Two clients may resume from
    the same event.
    """
    app = await world.pair("connection:read", origin=PAGE)
    async with follow(world, **app.headers) as stream:
        started = await world.start()
        last = (await stream.until("attempt"))["id"]
    await world.ask(origin=OTHER)
    await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
    headers = {**app.headers, "Last-Event-ID": last}

    received = []
    for _ in range(2):
        async with follow(world, **headers) as resumed:
            event = await resumed.next()
            while event["event"] != "attempt":
                event = await resumed.next()
            received.append((event["id"], event["data"]["state"]))

    assert received[0] == received[1]
    assert "failed" == received[0][1]


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_t49_app_is_limited_to_three_streams(world: World) -> None:
    """The fourth gets a 429 with a time to wait. Other apps are not affected, and closing one frees its place."""
    app = await world.pair("connection:read", origin=PAGE)
    async with streams(world, MAX_STREAMS_PER_APP, **app.headers):
        fourth = await world.get("/v1/events", headers=app.headers, token=None)
        async with streams(world, 2):
            pass
    again = await opened(world, app)

    assert (429, "too_many_streams", "5") == (fourth.status, fourth.code, fourth.headers["Retry-After"])
    assert PAGE == fourth.headers["Access-Control-Allow-Origin"]
    assert again


async def test_t49_total_number_of_streams_is_limited(world: World) -> None:
    """Sixteen streams of the owner are served, and the daemon still handles all other requests."""
    async with streams(world, MAX_STREAMS):
        refused = [await world.get("/v1/events") for _ in range(4)]
        served = await world.get("/v1/connection")

    assert {(429, "too_many_streams")} == {(reply.status, reply.code) for reply in refused}
    assert 200 == served.status


async def test_t67_apps_cannot_hold_the_streams_of_the_owner(world: World) -> None:
    """However many streams six apps open, the owner's dashboards and tray get theirs, with every event."""
    apps = [await world.pair("connection:read", origin=f"https://app-{number}.example") for number in range(6)]
    async with contextlib.AsyncExitStack() as stack:
        for app in apps[:5]:
            await stack.enter_async_context(streams(world, MAX_STREAMS_PER_APP, **app.headers))
        await stack.enter_async_context(streams(world, MAX_APP_STREAMS - 15, **apps[5].headers))
        full = await world.get("/v1/events", headers=apps[5].headers, token=None)

        tray = await stack.enter_async_context(follow(world, "?tray=gtk"))
        owners = await stack.enter_async_context(streams(world, MAX_STREAMS - 1))
        await world.start()
        seen = [(await stream.until("attempt"))["data"]["state"] for stream in (tray, *owners)]

    assert (429, "too_many_streams") == (full.status, full.code)
    assert ["pending"] * MAX_STREAMS == seen


async def test_t67_each_app_gets_a_stream_before_others_get_a_third(world: World) -> None:
    """If the apps' streams are all taken, one of an app with several ends without a goodbye, so that it can resume."""
    apps = [await world.pair("connection:read", origin=f"https://app-{number}.example") for number in range(7)]
    async with contextlib.AsyncExitStack() as stack:
        held = [
            stream
            for app in apps[:6]
            for stream in await stack.enter_async_context(
                streams(world, min(MAX_STREAMS_PER_APP, MAX_APP_STREAMS - 3 * apps.index(app)), **app.headers)
            )
        ]
        newcomer = await stack.enter_async_context(follow(world, **apps[6].headers))
        ended = [asyncio.create_task(stream.next()) for stream in held]
        done, others = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        second = await world.get("/v1/events", headers=apps[6].headers, token=None)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await world.start()
        event = await newcomer.until("attempt")

    assert ["(end)"] == [task.result()["event"] for task in done]
    assert 429 == second.status
    assert "pending" == event["data"]["state"]


async def opened(world: World, app: App) -> bool:
    """Open a stream as soon as there is a free place. A closed stream is noticed with a short delay."""
    async with asyncio.timeout(5):
        while True:
            async with world.session.get("/v1/events", headers=app.headers) as response:
                if response.status == 200:
                    return True
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("whose", ["the owner", "an app"])
async def test_t67_stream_of_a_client_that_disconnects_at_once_takes_no_place(world: World, whose: str) -> None:
    """Such as of a page that is reloaded again and again: it is gone before the response begins."""
    token = world.owner if whose == "the owner" else (await world.pair("connection:read")).token
    headers = (("Authorization", f"Bearer {token}"),)
    for _ in range(3 * MAX_STREAMS):
        with contextlib.closing(socket.create_connection(("127.0.0.1", world.port))) as one:
            one.sendall(request("GET", "/v1/events", port=world.port, headers=headers))

    await until_async(lambda: world.daemon.counts.opened >= 3 * MAX_STREAMS)
    await until_async(lambda: world.daemon.events.stream_count == 0)
    async with streams(world, MAX_STREAMS_PER_APP, Authorization=f"Bearer {token}") as opened:
        assert MAX_STREAMS_PER_APP == len(opened)


# --- slow clients -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def unread(world: World, app: App) -> AsyncIterator[socket.socket]:
    """Open a stream with the smallest window, and do not read from it."""
    loop = asyncio.get_running_loop()
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        slow.setblocking(False)
        await loop.sock_connect(slow, ("127.0.0.1", world.settings.port))
        headers = tuple(app.headers.items())
        await loop.sock_sendall(slow, request("GET", "/v1/events", port=world.settings.port, headers=headers))
        yield slow


@pytest.mark.slow
async def test_t49_client_that_does_not_read_is_disconnected(world: World) -> None:
    """
    It is disconnected within three seconds after its buffer is full. Meanwhile other clients get all events without
    delay.
    """
    loop = asyncio.get_running_loop()
    app = await world.pair("connection:read", origin=PAGE)
    slowest, begun, status = 0.0, loop.time(), 429
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(follow(world))
        for _ in range(MAX_STREAMS_PER_APP):
            await stack.enter_async_context(unread(world, app))
        while status == 429 and loop.time() - begun < 30:
            before = loop.time()
            await world.start(force=True)
            while (await reader.until("attempt"))["data"]["state"] != "pending":
                pass
            slowest = max(slowest, loop.time() - before)
            async with world.session.get("/v1/events", headers=app.headers) as response:
                status = response.status

    assert 200 == status  # its place is free again
    assert loop.time() - begun < SEND_SECONDS + 5
    assert slowest < 1
    assert SEND_SECONDS <= 3
