"""
T66: floods of connections do not keep the owner out. Every call of the owner is answered, the slowest within a second.

``python -m tests.bench floods`` prints the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import cProfile
import json
import socket
import struct
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.support.daemon import DaemonProcess
from tests.support.floods import FLOODS, Flood, owner_calls
from tests.support.other_programs import NOBODY, skip_unless_root
from tests.support.passed import passed_to
from tests.support.rawhttp import connected, exchange, request
from tests.support.served import LocalDaemon, RecordingServer
from tests.support.until import until_async
from upstash_helper.api.server.arrivals import READ_BYTES, Arrival, Arrivals
from upstash_helper.api.server.connections import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import Reply

SECONDS = 0.4
"""How long the owner calls, with and without a body."""
MUCH = 2_000_000
"""Bytes: more than the buffers of both ends."""
ATTEMPTS = 3
"""A busy machine can delay a call as well. A flood that locks the owner out does so each time."""


@pytest.fixture(scope="module", name="daemon")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Run a daemon as a process, and return its port and the owner's token."""
    with DaemonProcess.running(tmp_path_factory.mktemp("daemon")) as daemon:
        announced = json.loads((daemon.folders.runtime / "daemon.json").read_text(encoding="utf-8"))
        yield daemon.port, announced["owner_token"]


def failures_and_slowest(
    daemon: tuple[int, str], flood: Flood, record: Callable[[str, object], None]
) -> tuple[list[str], float]:
    """Return the owner's calls that failed in any attempt, and the slowest call of the best attempt in seconds."""
    port, token = daemon
    failed: list[str] = []
    slowest: list[float] = []
    while len(slowest) < ATTEMPTS and min(slowest, default=flood.within) >= flood.within:
        with flood.against(port):
            both = [owner_calls(port, token, seconds=SECONDS, body=body) for body in (False, True)]
        record("GET and POST", " / ".join(map(str, both)))
        failed += [failure for calls in both for failure in calls.failed]
        slowest.append(max(calls.slowest for calls in both))
    return failed, min(slowest)


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_t66_owner_is_served_during_a_flood(
    daemon: tuple[int, str], flood: Flood, record_property: Callable[[str, object], None]
) -> None:
    """Another program of this user, without a token, holds as many connections as it can."""
    failed, slowest = failures_and_slowest(daemon, flood, record_property)

    assert [] == failed
    assert slowest < flood.within


@pytest.mark.parametrize("name", ["500 silent connections", "500 requests that owe a body", "complete requests"])
def test_t66_owner_is_served_during_a_flood_of_another_user(
    daemon: tuple[int, str], name: str, record_property: Callable[[str, object], None]
) -> None:
    """Connections of other users are known when they are accepted, and have four places of their own."""
    skip_unless_root()

    failed, slowest = failures_and_slowest(daemon, replace(FLOODS[name], user=NOBODY), record_property)

    assert [] == failed
    assert slowest < 1.0


async def test_t66_body_of_a_route_without_one_is_not_awaited(tmp_path: Path) -> None:
    """A request that declares a body where none belongs gets a 400 at once, and the connection is closed."""
    async with LocalDaemon.serving(tmp_path) as daemon, asyncio.timeout(2):
        port, owner = daemon.port, daemon.owner
        sent = [
            request("GET", "/health", port=port, headers=(("Content-Length", "5"),)),
            request("GET", "/v1/connection", port=port, headers=(*owner, ("Transfer-Encoding", "chunked"))),
            request("DELETE", "/v1/connection", port=port, headers=(*owner, ("Content-Length", "2")), body=b"{}"),
        ]
        answers = [await exchange(port, each) for each in sent]

    assert [[(400, "body_not_allowed")]] * 3 == [[(it.status, it.json["code"]) for it in each] for each in answers]


async def test_t66_connection_that_owes_a_body_is_closed_before_idle_ones_of_the_owner(tmp_path: Path) -> None:
    """The owner's idle connection and the owner's request that has not arrived completely survive."""
    limits = Limits(connections=4)
    async with contextlib.AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(LocalDaemon.serving(tmp_path, limits=limits))
        idle, slow, *owing = [await stack.enter_async_context(connected(daemon.port)) for _ in range(8)]
        get = request("GET", "/v1/connection", port=daemon.port, headers=daemon.owner)
        length = (("Content-Type", "application/json"), ("Content-Length", "2"))
        await idle.send(get)
        first = await idle.answer()
        post = request("POST", "/v1/pairings/x/approve", port=daemon.port, headers=(*daemon.owner, length[1]))
        await slow.send(post + b"{")
        for each in owing:
            await each.send(request("POST", "/v1/pairings", port=daemon.port, headers=length))
            await asyncio.sleep(0.02)  # so that they arrive in this order
        closed = [await each.until_closed() for each in owing[:4]]
        await idle.send(get)
        await slow.send(b"}")
        answers = [await idle.answer(), await slow.answer()]

    assert [[], [], [], []] == closed
    assert (200, [200, 404]) == (first.status, [answer.status for answer in answers])


async def test_t66_apps_cannot_hold_all_places(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """
    One app has sixteen requests in progress at most, and all apps together forty. The next one gets a 429, and the
    owner still has places.
    """
    done = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await done.wait()
        return web.json_response([])

    limits = Limits()
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        world, upstream = await stack.enter_async_context(passed_to(handler, tmp_path, sandbox, daemon_port))
        apps = [await world.pair("upstash:read", origin=f"https://app-{number}.example") for number in range(3)]
        stack.callback(done.set)
        requests: list[asyncio.Task[Reply]] = []

        async def until_settled(passed: int) -> None:
            await until_async(lambda: len(upstream.seen) == passed)
            await until_async(lambda: sum(it.done() for it in requests) == len(requests) - passed)

        one = limits.requests_per_app
        for app, passed in zip(apps, (one, 2 * one, limits.app_requests), strict=True):
            requests += [asyncio.create_task(world.as_app(app, "GET", "/upstash/v2/x")) for _ in range(20)]
            await until_settled(passed)
        served = [await world.get("/v1/token") for _ in range(3)]
        done.set()
        replies = await asyncio.gather(*requests)

    refusals = [reply for reply in replies if reply.status != 200]
    assert [200] * 3 == [reply.status for reply in served]
    assert limits.app_requests == len(upstream.seen) == len(replies) - len(refusals)
    assert {(429, "rate_limited", "1")} == {
        (reply.status, reply.code, reply.headers["Retry-After"]) for reply in refusals
    }


async def test_t66_connection_is_answered_that_arrived_with_many_others() -> None:
    """All connections of a burst that have sent a request are served, although there are more than places."""
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        server = await stack.enter_async_context(RecordingServer.serving(limits=Limits(connections=64)))
        burst = [await stack.enter_async_context(connected(server.port)) for _ in range(200)]
        for one in burst:
            one.writer.write(request("GET", "/one"))
        answers = await asyncio.gather(*(one.answer() for one in burst))

    assert [200] * 200 == [answer.status for answer in answers]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows does not complete and reset a connection so")
async def test_t66_request_of_a_connection_that_was_reset_is_not_handled() -> None:
    """A program can open and reset thousands of connections while they wait to be accepted."""
    async with RecordingServer.serving() as server, asyncio.timeout(20):
        for _ in range(50):  # without an await: none is accepted meanwhile
            with socket.create_connection(("127.0.0.1", server.port)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.sendall(request("GET", "/reset"))
        async with connected(server.port) as honest:
            await honest.send(request("GET", "/honest"))
            answer = await honest.answer()

    assert (200, ["/honest"]) == (answer.status, server.handled)


async def test_t66_pipelined_requests_without_a_token_wait() -> None:
    """Those of other connections come first. A caller with a token may send several requests at once."""
    limits = Limits(pipelined_seconds=3600)
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        server = await stack.enter_async_context(RecordingServer.serving(limits=limits))
        greedy, other, owner = [await stack.enter_async_context(connected(server.port)) for _ in range(3)]
        await greedy.send(request("GET", "/first") + request("GET", "/second"))
        answers = [await greedy.answer()]
        server.hold.set()
        await owner.send(request("GET", "/hold") + request("GET", "/owner"))
        answers += [await owner.answer() for _ in range(2)]
        await other.send(request("GET", "/other"))
        answers.append(await other.answer())

    assert ([200] * 4, ["/first", "/owner", "/other"]) == ([answer.status for answer in answers], server.handled)


async def test_t66_little_is_read_and_parsed_at_once() -> None:
    """What a connection sends in one iteration of the event loop may be thousands of requests, chunks, or fields."""
    sizes: list[int] = []
    received = asyncio.Event()

    class Receiver(asyncio.Protocol):
        """Takes the place of the HTTP protocol."""

        def data_received(self, data: bytes) -> None:
            """Record how much it gets."""
            sizes.append(len(data))
            if sum(sizes) == MUCH:
                received.set()

    def begin(arrival: Arrival) -> None:
        assert arrival.transport is not None
        receiver = Receiver()
        arrival.transport.set_protocol(receiver)
        receiver.data_received(arrival.data)
        arrival.transport.resume_reading()

    arrivals = Arrivals(
        begin=begin,
        changed=lambda: None,
        is_other_user=lambda _local, _remote: False,
        limit=1,
        others=lambda: True,
        idle_seconds=20,
    )
    server = await asyncio.get_running_loop().create_server(lambda: Arrival(arrivals), "127.0.0.1", 0)
    async with server, connected(server.sockets[0].getsockname()[1]) as one, asyncio.timeout(20):
        one.writer.write(bytes(MUCH))
        await received.wait()

    assert max(sizes) <= READ_BYTES


async def test_t66_chunk_of_one_byte_does_not_run_the_parser() -> None:
    """It runs when something has arrived, and not for each chunk that a handler takes."""
    body = b"".join(b"1\r\na\r\n" for _ in range(5_000)) + b"0\r\n\r\n"
    headers = (("Transfer-Encoding", "chunked"),)
    profile = cProfile.Profile()
    async with RecordingServer.serving() as server, connected(server.port) as one, asyncio.timeout(20):
        profile.enable()
        await one.send(request("POST", "/one", headers=headers, body=body))
        answer = await one.answer()
        profile.disable()
    runs = [
        entry.callcount
        for entry in profile.getstats()
        if not isinstance(entry.code, str) and entry.code.co_qualname == "RequestHandler.data_received"
    ]

    assert 200 == answer.status
    assert 0 < sum(runs) < 100
