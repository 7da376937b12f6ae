"""T69: what Upstash answers to one app, and what one app does with the answer, affects no other caller."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support.clock import FakeClock
from tests.support.passed import passed_to
from tests.support.until import until_async
from upstash_helper.broker.account.connection import REFUSED_SECONDS
from upstash_helper.broker.account.key_check import CHECK_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.upstream_api import UpstreamApi
    from tests.support.world import World

    Passed = Callable[..., contextlib.AbstractAsyncContextManager[tuple[World, UpstreamApi]]]

LIST = "GET /v2/redis/databases"


@pytest.fixture
def passed(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Passed:
    """Run a daemon in front of a Developer API with the given statuses by path; all other paths succeed."""

    @contextlib.asynccontextmanager
    async def running(
        statuses: dict[str, int] | None = None, **options: Any
    ) -> AsyncIterator[tuple[World, UpstreamApi]]:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response([], status=(statuses or {}).get(request.path, 200))

        async with passed_to(handler, tmp_path, sandbox, daemon_port, **options) as both:
            yield both

    return running


# --- 401 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_t69_one_unauthorized_path_disconnects_nobody(passed: Passed, method: str) -> None:
    """The app learns that Upstash refused this request. The connection, other apps, and other paths are unaffected."""
    async with passed({"/v2/odd": 401}) as (world, upstream):
        app, other = [await world.pair("upstash:read", "upstash:write") for _ in range(2)]
        refused = [await world.as_app(app, method, "/upstash/v2/odd") for _ in range(20)]
        state = (await world.get("/v1/connection")).json["state"]
        served = [await world.as_app(it, "GET", "/upstash/v2/x") for it in (app, other)]
        listed = await world.get("/v1/databases")

        checks = upstream.targets.count(LIST)
    assert {(424, "upstream_forbidden")} == {(reply.status, reply.code) for reply in refused}
    assert "although it accepts the connected account's credential" in refused[0].json["detail"]
    assert ("connected", [200, 200], 200) == (state, [reply.status for reply in served], listed.status)
    assert 2 == checks  # one check, and the list itself


async def test_t69_database_that_is_unauthorized_disconnects_nobody(passed: Passed) -> None:
    """The same holds for the daemon's own routes: an app chooses the ID."""
    async with passed({"/v2/redis/database/odd": 401}) as (world, _):
        app = await world.pair("databases:read")
        refused = await world.as_app(app, "GET", "/v1/databases/odd")
        listed = await world.get("/v1/databases")

    assert (424, "upstream_forbidden", 200) == (refused.status, refused.code, listed.status)


async def test_t69_unauthorized_requests_at_the_same_time_cause_one_check(passed: Passed) -> None:
    """An app cannot multiply its requests."""
    async with passed({"/v2/odd": 401}) as (world, upstream):
        app = await world.pair("upstash:read")
        await asyncio.gather(*(world.as_app(app, "GET", "/upstash/v2/odd") for _ in range(10)))

        assert 1 == upstream.targets.count(LIST)


async def test_t69_revoked_key_is_noticed_and_recovers(passed: Passed) -> None:
    """
    If the check is refused as well, the user has to reconnect. A success on one path does not change that, a success of
    the check does.
    """
    statuses = {"/v2/odd": 401, "/v2/redis/databases": 401}
    clock = FakeClock()
    async with passed(statuses, clock=clock) as (world, upstream):
        app = await world.pair("upstash:read")
        refused = await world.as_app(app, "GET", "/upstash/v2/odd")
        clock.advance(REFUSED_SECONDS + CHECK_SECONDS)
        public = await world.as_app(app, "GET", "/upstash/v2/public")
        states = [(await world.get("/v1/connection")).json["state"]]
        statuses["/v2/redis/databases"] = 200
        clock.advance(REFUSED_SECONDS + CHECK_SECONDS)
        await world.as_app(app, "GET", "/upstash/v2/public")
        states.append((await world.get("/v1/connection")).json["state"])

        assert 3 == upstream.targets.count(LIST)
    assert (424, "reconnect_required") == (refused.status, refused.code)
    assert 200 == public.status
    assert ["reconnect_required", "connected"] == states


async def test_t69_check_that_fails_proves_nothing(passed: Passed) -> None:
    """If Upstash fails while the key is checked, it has not rejected the key."""
    async with passed({"/v2/odd": 401, "/v2/redis/databases": 500}) as (world, _):
        refused = await world.get("/upstash/v2/odd")
        state = (await world.get("/v1/connection")).json["state"]

    assert ("upstream_forbidden", "connected") == (refused.code, state)


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_t69_failures_of_one_app_close_the_pass_through_for_that_app_only(passed: Passed) -> None:
    """After five failures in a row, its requests fail for a moment. Those of another app and the owner are served."""
    async with passed({"/v2/odd": 500}) as (world, _):
        app, other = [await world.pair("upstash:read") for _ in range(2)]
        failures = [(await world.as_app(app, "GET", "/upstash/v2/odd")).status for _ in range(6)]
        served = [await world.as_app(other, "GET", "/upstash/v2/x"), await world.get("/upstash/v2/x")]

    assert [500] * 5 + [502] == failures
    assert [200, 200] == [reply.status for reply in served]


async def test_t69_failures_that_an_app_provokes_on_our_routes_count_for_it_alone(passed: Passed) -> None:
    """An app asks for a database whose ID makes Upstash fail. The owner and other apps keep all their routes."""
    async with passed({"/v2/redis/database/odd": 500}) as (world, upstream):
        app, other = [await world.pair("databases:read") for _ in range(2)]
        failures = [await world.as_app(app, "GET", "/v1/databases/odd") for _ in range(7)]
        served = [await world.as_app(it, "GET", "/v1/databases") for it in (app, other)]
        owners = await world.get("/v1/databases/odd")

        assert 6 == upstream.targets.count("GET /v2/redis/database/odd")
    assert {502} == {reply.status for reply in failures}
    assert [200, 200] == [reply.status for reply in served]
    assert "failed several times" not in owners.json["detail"]


async def test_t69_rate_limit_of_one_app_delays_no_other(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Upstash's Retry-After is passed on, and not applied to anyone else."""

    async def handler(request: web.Request) -> web.Response:
        status = 429 if request.path == "/v2/odd" else 200
        return web.json_response([], status=status, headers={"Retry-After": "3600"})

    async with passed_to(handler, tmp_path, sandbox, daemon_port) as (world, _):
        app = await world.pair("upstash:read")
        limited = [await world.as_app(app, "GET", "/upstash/v2/odd") for _ in range(6)]
        served = [await world.as_app(app, "GET", "/upstash/v2/x"), await world.get("/v1/databases")]

    assert {(429, "3600")} == {(reply.status, reply.headers["Retry-After"]) for reply in limited}
    assert [200, 200] == [reply.status for reply in served]


async def test_t69_slow_responses_of_one_app_hold_no_connection_of_others(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """However many responses an app is waiting for, requests of others are sent at once."""
    done = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        if "slow" in request.path:
            await done.wait()
        return web.json_response([])

    async with passed_to(handler, tmp_path, sandbox, daemon_port) as (world, upstream), asyncio.timeout(10):
        app, other = [await world.pair("upstash:read", "databases:read") for _ in range(2)]
        paths = ["/upstash/v2/slow", "/v1/databases/slow"]
        waiting = [asyncio.create_task(world.as_app(app, "GET", path)) for path in paths * 8]
        await until_async(lambda: sum("slow" in target for target in upstream.targets) == len(waiting))
        served = [
            await world.as_app(other, "GET", "/upstash/v2/x"),
            await world.as_app(other, "GET", "/v1/databases"),
            await world.get("/upstash/v2/x"),
        ]
        still = sum(not task.done() for task in waiting)
        done.set()
        await asyncio.gather(*waiting)

    assert ([200] * 3, 16) == ([reply.status for reply in served], still)


# --- the list ---------------------------------------------------------------------------------------------------------


async def test_t69_refused_changes_do_not_discard_the_list(passed: Passed) -> None:
    """An app that sends invalid changes does not make the daemon read the list again and again."""
    async with passed({"/v2/odd": 404}) as (world, upstream):
        app = await world.pair("upstash:write")
        for _ in range(5):
            await world.get("/v1/databases")
            await world.as_app(app, "POST", "/upstash/v2/odd")

        assert 1 == upstream.targets.count(LIST)
        assert 5 == upstream.targets.count("POST /v2/odd")
