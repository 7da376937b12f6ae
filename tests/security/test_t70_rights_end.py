"""T70: what an app has open ends with its rights, and it learns nothing from before its approval."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.mcp.messages import agent, send
from tests.security.test_t65_full_disk import locked
from tests.support.clock import FakeClock
from tests.support.passed import passed_to
from tests.support.stream import follow
from tests.support.until import until_async
from upstash_helper.broker.apps.registry import ONCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.upstream_api import UpstreamApi
    from tests.support.world import App, World

    Streaming = Callable[..., contextlib.AbstractAsyncContextManager[tuple[World, UpstreamApi]]]

PAGE = "https://app.example.com"


@pytest.fixture
def streaming(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Streaming:
    """Run a daemon in front of a Developer API whose responses never end; those of ``/v2/silent`` never begin."""

    @contextlib.asynccontextmanager
    async def running(**options: Any) -> AsyncIterator[tuple[World, UpstreamApi]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            if request.method == "POST":
                return web.Response(body=await upstream.body(request))
            if request.path in ("/v2/x", "/v2/redis/databases"):
                return web.json_response([])
            response = web.StreamResponse()
            if request.path == "/v2/endless":
                await response.prepare(request)
                await response.write(b"first")
            await asyncio.Event().wait()
            return response

        async with passed_to(handler, tmp_path, sandbox, daemon_port, **options) as (world, upstream):
            yield world, upstream

    return running


async def end_rights(how: str, world: World, app: App, clock: FakeClock) -> None:
    """End an app's rights."""
    match how:
        case "revoke":
            assert 204 == (await world.call("DELETE", f"/v1/apps/{app.id}")).status
        case "sign out":
            assert 204 == (await world.as_app(app, "DELETE", "/v1/token")).status
        case "expiry":
            clock.advance(ONCE_SECONDS)
        case "misuse":
            for _ in range(5):
                await world.get("/v1/token", token=app.token, headers={"Origin": "https://thief.example"})
        case "disconnect":
            assert 200 == (await world.call("DELETE", "/v1/connection")).status
        case _:
            other = {"email": "bob@upstash.example", "api_key": "another"}
            assert 200 == (await world.call("PUT", "/v1/connection/api-key", other)).status


ENDS = ("revoke", "sign out", "expiry", "misuse", "disconnect", "replace")


@pytest.mark.parametrize("how", ENDS)
async def test_t70_response_ends_with_the_rights(streaming: Streaming, how: str) -> None:
    """It is cut off within a second, so that the app does not take it for complete, and Upstash's end is closed."""
    clock, loop = FakeClock(), asyncio.get_running_loop()
    async with streaming(clock=clock) as (world, upstream):
        app = await world.pair("upstash:read", "connection:read", once=how == "expiry")
        async with world.session.get("/upstash/v2/endless", headers=app.headers) as response:
            first = await response.content.readany()
            before = loop.time()
            await end_rights(how, world, app, clock)
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                async with asyncio.timeout(5):
                    await response.content.read()
            took = loop.time() - before
        async with asyncio.timeout(5):
            await upstream.left.wait()
        after = await world.as_app(app, "GET", "/upstash/v2/x")

    assert (b"first", 200) == (first, response.status)
    assert took < 1
    assert {"disconnect": 409, "replace": 200}.get(how, 401) == after.status


@pytest.mark.parametrize("how", ENDS)
async def test_t70_request_ends_with_the_rights(streaming: Streaming, how: str) -> None:
    """A request that waits for its response, or sends its body, gets an error, and Upstash receives no end of it."""
    clock = FakeClock()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    async def send() -> tuple[int, str]:
        async with world.session.post("/upstash/v2/body", data=body(), headers=app.headers) as response:
            return response.status, (await response.json(content_type=None))["code"]

    async with streaming(clock=clock) as (world, upstream), asyncio.timeout(10):
        app = await world.pair("upstash:read", "upstash:write", "connection:read", once=how == "expiry")
        waiting = asyncio.create_task(world.as_app(app, "GET", "/upstash/v2/silent"))
        sending = asyncio.create_task(send())
        await upstream.arrived.wait()
        await until_async(lambda: len(upstream.seen) == 2)
        await end_rights(how, world, app, clock)
        async with asyncio.timeout(1):
            answer, sent = await waiting, await sending
        await upstream.left.wait()

        assert not any(seen.whole for seen in upstream.seen)
    expected = (409, "not_connected") if how in ("disconnect", "replace") else (401, "invalid_token")
    assert [expected, expected] == [(answer.status, answer.code), sent]


async def test_t70_other_apps_continue(streaming: Streaming) -> None:
    """Only what belongs to the app ends: not another app's response, and not the owner's."""
    async with streaming() as (world, upstream):
        app, other = [await world.pair("upstash:read") for _ in range(2)]
        owner = {"Authorization": f"Bearer {world.owner}"}
        async with contextlib.AsyncExitStack() as stack:
            ended, *going = [
                await stack.enter_async_context(world.session.get("/upstash/v2/endless", headers=headers))
                for headers in (app.headers, other.headers, owner)
            ]
            for response in (ended, *going):
                assert b"first" == await response.content.readany()
            await world.call("DELETE", f"/v1/apps/{app.id}")
            await upstream.left.wait()
            states = [response.content.is_eof() or response.content.exception() is not None for response in going]
            served = await world.as_app(other, "GET", "/upstash/v2/x")

    assert ([False, False], 200) == (states, served.status)


# --- responses of the daemon's own ------------------------------------------------------------------------------------

DATABASE = {
    "database_id": "93e3a3b8-4fd4-4a8f-a1d2-55a6e5b5d1f0",
    "database_name": "orders",
    "endpoint": "orders.upstash.io",
    "port": 6379,
    "password": "s3cret-password",
    "rest_token": "s3cret-token",
    "read_only_rest_token": "s3cret-reader",
    "state": "active",
    "tls": True,
    "type": "free",
    "primary_region": "us-east-1",
    "read_regions": [],
    "creation_time": 1_790_000_000,
}
ONE = f"/v1/databases/{DATABASE['database_id']}"


@pytest.fixture
def answering(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Streaming:
    """Run a daemon in front of a Developer API that responds once the test sets its event."""

    @contextlib.asynccontextmanager
    async def running(goes_on: asyncio.Event, **options: Any) -> AsyncIterator[tuple[World, UpstreamApi]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            upstream.arrived.set()
            await goes_on.wait()
            return web.json_response([DATABASE] if request.path.endswith("databases") else DATABASE)

        async with passed_to(handler, tmp_path, sandbox, daemon_port, **options) as (world, upstream):
            yield world, upstream

    return running


@pytest.mark.parametrize("how", [it for it in ENDS if it != "replace"])  # that would ask Upstash, too
async def test_t70_password_is_not_disclosed_once_the_rights_have_ended(answering: Streaming, how: str) -> None:
    """Not even if Upstash was asked for it before. The request ends at once, without waiting for Upstash."""
    goes_on, clock = asyncio.Event(), FakeClock()
    async with answering(goes_on, clock=clock) as (world, upstream), asyncio.timeout(10):
        app = await world.pair("databases:credentials", all_databases=True, once=how == "expiry")
        reading = asyncio.create_task(world.as_app(app, "GET", f"{ONE}/credentials"))
        await upstream.arrived.wait()
        await end_rights(how, world, app, clock)
        async with asyncio.timeout(2):
            reply = await reading
        goes_on.set()

    expected = (409, "not_connected") if how == "disconnect" else (401, "invalid_token")
    assert expected == (reply.status, reply.code)


@pytest.mark.parametrize("path", ["/v1/databases?refresh=true", ONE])
async def test_t70_revoked_app_gets_no_late_response(answering: Streaming, path: str) -> None:
    """Upstash's response to what it has requested before comes too late."""
    goes_on = asyncio.Event()
    async with answering(goes_on) as (world, upstream), asyncio.timeout(10):
        app = await world.pair("databases:read")
        waiting = asyncio.create_task(world.as_app(app, "GET", path))
        await upstream.arrived.wait()
        await world.call("DELETE", f"/v1/apps/{app.id}")
        goes_on.set()
        reply = await waiting

    assert (401, "invalid_token") == (reply.status, reply.code)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("resources/list", {}),
        ("resources/read", {"uri": f"upstash-helper://redis/{DATABASE['database_id']}/env"}),
        ("tools/call", {"name": "redis_list_databases", "arguments": {}}),
    ],
)
async def test_t70_revoked_agent_gets_no_late_response(
    answering: Streaming, method: str, params: dict[str, Any]
) -> None:
    """Neither as a result of a tool nor as a resource. It does not wait for Upstash either."""
    goes_on = asyncio.Event()
    async with answering(goes_on) as (world, upstream), asyncio.timeout(30):
        approved = await agent(world, "databases:read")
        waiting = asyncio.create_task(send(world, approved.token, method, params))
        await upstream.arrived.wait()
        await world.call("DELETE", f"/v1/apps/{approved.id}")
        reply = await waiting
        goes_on.set()

    assert (401, "invalid_token") == (reply.status, reply.code)


async def test_t70_password_is_not_disclosed_if_the_rights_end_while_it_is_recorded(
    answering: Streaming, tmp_path: Path
) -> None:
    """The disk may take longer than Upstash."""
    goes_on = asyncio.Event()
    goes_on.set()
    async with answering(goes_on) as (world, upstream), asyncio.timeout(10):
        app = await world.pair("databases:credentials", all_databases=True)
        with locked(tmp_path / "state" / "ledger.db"):
            reading = asyncio.create_task(world.as_app(app, "GET", f"{ONE}/credentials"))
            await upstream.arrived.wait()
            revoking = asyncio.create_task(world.call("DELETE", f"/v1/apps/{app.id}"))
            while (await world.as_app(app, "GET", "/v1/token")).status != 401:
                pass
        reply = await reading
        await revoking

    assert reply.status in (401, 503)  # the latter on a machine that is busy for a second
    assert b"s3cret" not in reply.body


# --- events -----------------------------------------------------------------------------------------------------------


async def test_t70_new_app_sees_no_event_from_before_its_approval(world: World) -> None:
    """A guessed or known Last-Event-ID replays nothing older than the app. It gets a reset, and what follows."""
    async with follow(world) as owner:
        await world.start()
        old = (await owner.until("attempt"))["id"]
        app = await world.pair("connection:read", origin=PAGE)
        approval = [await owner.until("pairing") for _ in range(2)][-1]
    run, _, number = approval["id"].partition("-")

    seen = []
    for last in (f"{run}-0", old, f"{run}-1"):
        async with follow(world, **{**app.headers, "Last-Event-ID": last}) as stream:
            first = await stream.next()
            await world.start(force=True)
            seen.append((first["event"], int((await stream.next())["id"].partition("-")[2]) > int(number)))

    assert [("reset", True)] * 3 == seen


async def test_t70_approval_starts_the_history_again(world: World) -> None:
    """An app that was revoked and approved again, now with fewer scopes, does not get what happened in between."""
    await world.connect()
    before = await world.pair("connection:read", "databases:read", origin=PAGE)
    async with follow(world, **before.headers) as stream:
        await world.create("first")
        last = (await stream.until("database"))["id"]
    await world.call("DELETE", f"/v1/apps/{before.id}")
    await world.create("between")
    await world.call("DELETE", "/v1/connection")
    again = await world.pair("connection:read", origin=PAGE)
    wider = await world.pair("connection:read", "databases:read", origin=PAGE)

    received = []
    for app in (again, wider):
        async with follow(world, **{**app.headers, "Last-Event-ID": last}) as stream:
            first = await stream.next()
            await world.start(force=True)
            received.append([first["event"], (await stream.next())["event"]])

    assert ["reset", "attempt"] == received[0]
    assert "reset" == received[1][0]


async def test_t70_app_that_reconnects_gets_what_it_missed(world: World) -> None:
    """Resuming works as before for events since the approval."""
    app = await world.pair("connection:read", origin=PAGE)
    async with follow(world, **app.headers) as stream:
        await world.start()
        last = (await stream.until("attempt"))["id"]
    await world.start(force=True)

    async with follow(world, **{**app.headers, "Last-Event-ID": last}) as stream:
        missed = await stream.next()

    assert missed["event"] != "reset"
