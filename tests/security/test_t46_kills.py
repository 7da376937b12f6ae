"""
T46: ``kill -9`` at each step of creating a database. The same key is used again after a restart.

There are never two databases for one key. The response is the database, or that the outcome is unknown and where to
look. The steps are held from outside: by a lock on the ledger's file, and by an upstream server that responds slowly.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import pytest

from tests.support.clock import FakeClock
from tests.support.process import DaemonProcess, daemon_process
from tests.support.world import PASSWORD, World, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

KILLS = 32

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no kill -9")


@dataclass
class Helper:
    """A user's daemon that is killed and started again. What it remembers is on disk."""

    home: Path
    sandbox: Sandbox
    email: str
    key: str = ""
    port: int = field(default_factory=free_port)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[DaemonProcess]:
        """Run it, and stop it unless the test has killed it."""
        settings = {
            "CREDENTIAL_STORE": "file",
            "API_URL": self.sandbox.api_url,
            "AUTH_URL": self.sandbox.auth_url,
            "REST_URL": self.sandbox.rest_url,
            "NOTIFICATIONS": "false",
        }
        with daemon_process(self.home, self.port, **settings) as daemon:
            yield daemon

    async def connect(self) -> None:
        """Connect the account, and open the ledger."""
        await self.sandbox.account(self.email, PASSWORD)
        self.key = await self.sandbox.api_key(self.email, f"key-{secrets.token_hex(4)}")
        async with self.running() as daemon:
            given = {"email": self.email, "api_key": self.key}
            status, _ = await call(daemon, "PUT", "/v1/connection/api-key", given)
            assert status == 200

    async def complete_upstream(self, key: str) -> None:
        """Let Upstash carry out the request. The sandbox itself gives up once its client has disconnected."""
        body = {"database_name": f"db-{key}", "platform": "aws", "primary_region": "us-east-1"}
        async with (
            aiohttp.ClientSession(
                headers={"Authorization": aiohttp.encode_basic_auth(self.email, self.key)}
            ) as session,
            session.post(f"{self.sandbox.api_url}/v2/redis/database", json=body) as answer,
        ):
            assert 200 == answer.status

    @contextlib.contextmanager
    def locked_ledger(self) -> Iterator[None]:
        """Prevent the daemon from writing to its ledger."""
        with contextlib.closing(sqlite3.connect(self.home / "state" / "ledger.db", isolation_level=None)) as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            yield

    async def wait_for_create_request(self) -> None:
        """Wait until upstream has received the request that creates the database."""
        async with asyncio.timeout(10):
            await until(self._has_arrived)

    async def _has_arrived(self) -> bool:
        return any(
            (seen["method"], seen["path"]) == ("POST", "/v2/redis/database") for seen in await self.sandbox.requests()
        )


async def call(
    daemon: DaemonProcess, method: str, path: str, body: Any = None, *, key: str | None = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {daemon.announced.owner_token}"}
    if key is not None:
        headers["Idempotency-Key"] = key
    async with (
        aiohttp.ClientSession(daemon.announced.base_url) as session,
        session.request(method, path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


def new_database(key: str) -> dict[str, str]:
    return {"name": f"db-{key}", "primary_region": "us-east-1"}


async def begin(daemon: DaemonProcess, key: str) -> asyncio.Task[tuple[int, Any]]:
    return asyncio.create_task(call(daemon, "POST", "/v1/databases", new_database(key), key=key))


async def kill(daemon: DaemonProcess, asking: asyncio.Task[tuple[int, Any]]) -> tuple[int, Any] | None:
    """Kill the daemon, and return what it had responded before."""
    daemon.process.kill()
    daemon.wait()
    with contextlib.suppress(aiohttp.ClientError, OSError):
        return await asking
    return None


async def databases_of(daemon: DaemonProcess, key: str) -> list[dict[str, Any]]:
    """Return the databases of a key that Upstash has."""
    status, listed = await call(daemon, "GET", "/v1/databases?refresh=true&page_size=200")
    assert status == 200, listed
    return [database for database in listed["databases"] if database["name"] == f"db-{key}"]


@pytest.fixture(name="helper")
async def _helper(tmp_path: Path, sandbox: Sandbox) -> AsyncIterator[Helper]:
    helper = Helper(tmp_path, sandbox, f"user-{secrets.token_hex(6)}@example.com")
    await helper.connect()
    await sandbox.forget_requests()
    yield helper
    await sandbox.clear_faults()


async def test_t46_killed_before_the_journal_entry(helper: Helper) -> None:
    """Nothing was sent, so the retry creates the database."""
    async with helper.running() as daemon:
        with helper.locked_ledger():
            asking = await begin(daemon, "a")
            async with asyncio.timeout(10):
                await until(lambda: waits_for_ledger(daemon, asking))
            await kill(daemon, asking)

    async with helper.running() as daemon:
        status, database = await call(daemon, "POST", "/v1/databases", new_database("a"), key="a")

        assert 201 == status
        assert [database["id"]] == [it["id"] for it in await databases_of(daemon, "a")]


async def waits_for_ledger(daemon: DaemonProcess, asking: asyncio.Task[tuple[int, Any]]) -> bool:
    # The ledger's thread exists as long as it has work to do.
    return asking.done() or psutil.Process(daemon.process.pid).num_threads() > 1


async def until(look: Callable[[], Awaitable[object]]) -> None:
    """Poll: a process that is about to be killed does not report its progress."""
    while True:
        if await look():
            return
        await asyncio.sleep(0.005)


async def test_t46_killed_before_upstash_acted(helper: Helper) -> None:
    """
    The request has been sent: the retry reports an unknown outcome and where to look. Once the database exists, it
    is returned.
    """
    await helper.sandbox.fault(method="POST", path="/v2/redis/database", latency=30)
    async with helper.running() as daemon:
        asking = await begin(daemon, "b")
        await helper.wait_for_create_request()
        await kill(daemon, asking)
    await helper.sandbox.clear_faults()

    async with helper.running() as daemon:
        early, problem = await call(daemon, "POST", "/v1/databases", new_database("b"), key="b")
        await helper.complete_upstream("b")
        late, database = await call(daemon, "POST", "/v1/databases", new_database("b"), key="b")

        assert (409, "outcome_unknown") == (early, problem["code"])
        assert "/v1/databases?refresh=true" == problem["links"]["databases"]
        assert 0 < problem["retry_after"] <= 120
        assert 201 == late
        assert [database["id"]] == [it["id"] for it in await databases_of(daemon, "b")]


async def test_t46_killed_before_the_response_arrived(helper: Helper) -> None:
    """The database exists but the response was lost: the retry finds it by its name and creation time."""
    await helper.sandbox.fault(method="POST", path="/v2/redis/database", when="after", latency=30)
    async with helper.running() as daemon:
        asking = await begin(daemon, "c")
        async with asyncio.timeout(10):
            await until(lambda: databases_of(daemon, "c"))
        await kill(daemon, asking)
    await helper.sandbox.clear_faults()

    async with helper.running() as daemon:
        status, database = await call(daemon, "POST", "/v1/databases", new_database("c"), key="c")

        assert 201 == status
        assert [database["id"]] == [it["id"] for it in await databases_of(daemon, "c")]


async def test_t46_killed_before_the_result_was_recorded(helper: Helper) -> None:
    """Upstash has responded, but the ledger does not have the result: the retry finds the database."""
    await helper.sandbox.fault(method="POST", path="/v2/redis/database", when="after", latency=0.5)
    async with helper.running() as daemon:
        asking = await begin(daemon, "d")
        await helper.wait_for_create_request()
        with helper.locked_ledger():
            async with asyncio.timeout(10):
                await until(lambda: waits_for_ledger(daemon, asking))
            answered = await kill(daemon, asking)

    async with helper.running() as daemon:
        status, database = await call(daemon, "POST", "/v1/databases", new_database("d"), key="d")

        assert answered is None
        assert 201 == status
        assert [database["id"]] == [it["id"] for it in await databases_of(daemon, "d")]


async def test_t46_killed_after_the_response(helper: Helper) -> None:
    """The same key gets the same database from the ledger, without another request to Upstash."""
    async with helper.running() as daemon:
        asking = await begin(daemon, "e")
        first, database = await asking
        await kill(daemon, asking)
    await helper.sandbox.forget_requests()

    async with helper.running() as daemon:
        second, again = await call(daemon, "POST", "/v1/databases", new_database("e"), key="e")

        assert (201, 201, database) == (first, second, again)
        assert [] == await helper.sandbox.requests()


@pytest.mark.slow
async def test_t46_killed_at_any_time(helper: Helper) -> None:
    """Whenever the daemon is killed, there is at most one database per key, and a retry never gets a different one."""
    seconds = await _duration(helper)
    outcomes = []
    for number in range(KILLS):
        key = f"k{number}"
        async with helper.running() as daemon:
            asking = await begin(daemon, key)
            # From before the request arrives until shortly after its response, which the last one always gets.
            await asyncio.sleep(1.3 * seconds * number / KILLS)
            if number == KILLS - 1:
                await asyncio.wait({asking})
            answered = await kill(daemon, asking)
        async with helper.running() as daemon:
            status, again = await call(daemon, "POST", "/v1/databases", new_database(key), key=key)
            there = await databases_of(daemon, key)
        outcomes.append((answered is not None, status, len(there)))

        assert (status, len(there)) in {(201, 1), (409, 0), (409, 1)}, outcomes
        if status == 409:
            assert again["code"] == "outcome_unknown"
        else:
            assert [again["id"]] == [it["id"] for it in there]
        if answered is not None:
            assert (201, again["id"]) == (status, answered[1]["id"])
    assert KILLS == len(outcomes)
    assert {True, False} == {answered for answered, _, _ in outcomes}


async def _duration(helper: Helper) -> float:
    """Return how long creating a database takes right after a start."""
    async with helper.running() as daemon:
        begun = asyncio.get_running_loop().time()
        status, _ = await call(daemon, "POST", "/v1/databases", new_database("measure"), key="measure")
        assert status == 201
        return asyncio.get_running_loop().time() - begun


async def test_t46_request_that_never_arrived_is_sent_again(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """
    If the database of a recorded request does not exist after two minutes, the request never arrived: the same key
    then creates it, and not earlier.
    """
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        await world.connect()
        await sandbox.fault(method="POST", path="/v2/redis/database", status=502)  # before: no database exists
        headers = {"Idempotency-Key": "f"}

        lost = await world.call("POST", "/v1/databases", new_database("f"), headers=headers)
        early = await world.call("POST", "/v1/databases", new_database("f"), headers=headers)
        clock.advance(121)
        late = await world.call("POST", "/v1/databases", new_database("f"), headers=headers)

        assert (409, 409, 201) == (lost.status, early.status, late.status)
        assert "120" == early.headers["Retry-After"]
        listed = (await world.get("/v1/databases?refresh=true")).json["databases"]
        assert [late.json["id"]] == [database["id"] for database in listed]


async def test_t46_database_of_one_key_is_not_returned_for_another(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """A database that is the known result of one key is not returned for another key whose response was lost."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await world.connect()
        body = {"name": "twin", "primary_region": "us-east-1"}
        first = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "one"})
        await sandbox.fault(method="POST", path="/v2/redis/database", when="after", reset=True)

        second = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "two"})

        assert (201, 201) == (first.status, second.status)
        listed = {it["id"] for it in (await world.get("/v1/databases?refresh=true")).json["databases"]}
        assert {first.json["id"], second.json["id"]} == listed
        assert first.json["id"] != second.json["id"]
