"""Idempotency keys over HTTP and across restarts (threat T47). Crashes are covered by T46."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.effects import no_effect
from tests.support.world import App, Reply, World
from upstash_helper.broker.databases.create import LIFETIME
from upstash_helper.storage.credentials.file_store import MemoryStore
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
BODY = {"name": "db", "primary_region": "us-east-1"}
KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324"


@dataclass
class Machine:
    """Runs of a daemon on one machine, which share its disk, keyring, and clock."""

    folder: Path
    sandbox: Sandbox
    port: int
    clock: FakeClock
    store: MemoryStore

    def run(self) -> AbstractAsyncContextManager[World]:
        """Start the daemon, and stop it on leaving."""
        ledger = SqliteLedger(self.folder / "ledger.db")
        return World.running(
            self.folder, self.sandbox, self.port, clock=self.clock, store=self.store, ledger=ledger
        )  # fmt: skip


@pytest.fixture
def life(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Machine:
    """A machine on which no daemon runs yet."""
    return Machine(tmp_path, sandbox, daemon_port, FakeClock(), MemoryStore())


@pytest.fixture
async def connected(life: Machine) -> AsyncIterator[World]:
    """A daemon with an account without databases."""
    async with life.run() as world:
        await world.connect()
        await world.sandbox.forget_requests()
        yield world
    await life.sandbox.clear_faults()


async def create(world: World, key: str | None = KEY, body: Any = None, app: App | None = None) -> Reply:
    """Request a database, as the owner or as an app."""
    headers = {} if key is None else {"Idempotency-Key": key}
    sent = BODY if body is None else body
    if app is None:
        return await world.call("POST", "/v1/databases", sent, headers=headers)
    return await world.as_app(app, "POST", "/v1/databases", sent, **headers)


async def made(world: World) -> int:
    """Return how often Upstash was asked to create a database."""
    return sum(
        (it["method"], it["path"]) == ("POST", "/v2/redis/database") for it in await world.sandbox.requests()
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, "idempotency_key_required"),
        ("", "invalid_idempotency_key"),
        (" ", "invalid_idempotency_key"),
        ('""', "invalid_idempotency_key"),
        ("a" * 256, "invalid_idempotency_key"),
        ('"' + "a" * 256 + '"', "invalid_idempotency_key"),
        ("a b", "invalid_idempotency_key"),
        ("é", "invalid_idempotency_key"),
        ("a, b", "invalid_idempotency_key"),
    ],
)
async def test_t47_missing_or_invalid_key_creates_nothing(connected: World, key: str | None, code: str) -> None:
    """400 for the owner and for apps, without a request to Upstash."""
    app = await connected.pair("databases:write")

    replies = [await create(connected, key), await create(connected, key, app=app)]

    assert [(400, code)] * 2 == [(reply.status, reply.code) for reply in replies]
    assert 0 == await made(connected)


@pytest.mark.parametrize("key", ["a" * 255, '"' + "a" * 255 + '"', "!#$%&'*+-.^_`|~", "a,b;c=d"])
async def test_t47_any_visible_ascii_key_is_accepted(connected: World, key: str) -> None:
    """Up to 255 characters."""
    assert 201 == (await create(connected, key)).status


async def test_t47_same_key_returns_the_same_database(connected: World) -> None:
    """With other whitespace in the JSON and in quotes, too. The response says that it is a replay."""
    first = await create(connected)
    again = [
        await create(connected),
        await create(connected, f'"{KEY}"'),
        await create(connected, KEY, b'{ "primary_region" : "us-east-1", "name" : "db" }'),
        await create(connected, KEY, {**BODY, "read_regions": []}),
    ]

    assert [201] * 5 == [reply.status for reply in (first, *again)]
    assert {first.body} == {reply.body for reply in again}
    assert {first.headers["Location"]} == {reply.headers["Location"] for reply in again}
    assert "Idempotency-Replayed" not in first.headers
    assert {"true"} == {reply.headers["Idempotency-Replayed"] for reply in again}
    assert 1 == await made(connected)


@pytest.mark.parametrize(
    "body",
    [
        {**BODY, "name": "other"}, {**BODY, "primary_region": "eu-west-1"}, {**BODY, "eviction": False},
        {**BODY, "read_regions": ["us-west-1"]},
    ],
)  # fmt: skip
async def test_t47_same_key_with_another_request_is_rejected(connected: World, body: dict[str, Any]) -> None:
    """422, nothing is created, and the key still belongs to its first request."""
    first = await create(connected)

    reply = await create(connected, KEY, body)
    again = await create(connected)

    assert (422, "idempotency_key_reused") == (reply.status, reply.code)
    assert first.body == again.body
    assert 1 == await made(connected)


async def test_t47_concurrent_identical_requests_create_one_database(connected: World) -> None:
    """The others are told to retry; another request with the key is rejected meanwhile."""
    await connected.sandbox.fault(method="POST", path="/v2/redis/database", latency=0.5)

    replies = await asyncio.gather(
        *(create(connected) for _ in range(5)), create(connected, KEY, {**BODY, "name": "other"})
    )
    later = await create(connected)

    assert [201, 409, 409, 409, 409] == sorted(reply.status for reply in replies[:5])
    waiting = [reply for reply in replies if reply.status == 409]
    assert {("request_in_progress", "1")} == {(reply.code, reply.headers["Retry-After"]) for reply in waiting}
    assert (422, "idempotency_key_reused") == (replies[5].status, replies[5].code)
    assert [reply.body for reply in replies if reply.status == 201] == [later.body]
    assert 1 == await made(connected)


async def test_t47_keys_are_scoped_to_their_caller(connected: World) -> None:
    """Two apps, the owner, and an app that paired again can use the same key without seeing each other's database."""
    apps = [
        await connected.pair("databases:write"),
        await connected.pair("databases:write", origin=PAGE),
        await connected.pair("databases:write", origin=PAGE),
    ]

    replies = [await create(connected), *[await create(connected, KEY, {**BODY, "name": "x"}, app) for app in apps]]

    assert [201] * 4 == [reply.status for reply in replies]
    assert 4 == len({reply.json["id"] for reply in replies})
    assert 4 == await made(connected)


async def test_t47_keys_are_kept_after_a_token_rotation(connected: World) -> None:
    """An app that rotates its token between a request and its repetition creates no second database."""
    app = await connected.pair("databases:write")
    first = await create(connected, app=app)
    rotated = (await connected.as_app(app, "POST", "/v1/token/rotate")).json["token"]

    again = await create(connected, app=replace(app, token=rotated))

    assert (201, first.body) == (again.status, again.body)
    assert 1 == await made(connected)


async def test_t47_keys_expire_after_a_day(connected: World, life: Machine) -> None:
    """By the monotonic clock. After that, it is a new request."""
    first = await create(connected)
    life.clock.set_wall_clock(3 * 86_400)
    life.clock.advance(LIFETIME - 1)
    before = await create(connected)
    life.clock.set_wall_clock(-6 * 86_400)
    life.clock.advance(1)
    after = await create(connected)

    assert first.json["id"] == before.json["id"]
    assert 201 == after.status
    assert first.json["id"] != after.json["id"]
    assert "Idempotency-Replayed" not in after.headers
    assert 2 == await made(connected)


async def test_t47_keys_are_kept_across_restarts(life: Machine) -> None:
    """The same request returns the same database, another one is rejected, and keys stay scoped to their apps."""
    async with life.run() as world:
        await world.connect()
        await world.sandbox.forget_requests()
        app = await world.pair("databases:write", origin=PAGE)
        first, own = await create(world), await create(world, app=app)
    life.clock.advance(LIFETIME / 2)
    async with life.run() as world:
        again, own_again = await create(world), await create(world, app=app)
        other = await create(world, KEY, {**BODY, "name": "other"})
        at_once = await asyncio.gather(*(create(world) for _ in range(5)))
        once = await made(world)
        life.clock.advance(LIFETIME / 2)
        after = await create(world)
        twice = await made(world)

    assert [first.body, own.body] == [again.body, own_again.body]
    assert ["true", "true"] == [reply.headers["Idempotency-Replayed"] for reply in (again, own_again)]
    assert (422, "idempotency_key_reused") == (other.status, other.code)
    assert {first.body} == {reply.body for reply in at_once if reply.status == 201}
    assert {201, 409} >= {reply.status for reply in at_once}
    assert first.json["id"] != after.json["id"]
    assert [2, 3] == [once, twice]


async def test_t47_rejected_request_does_not_use_up_its_key(connected: World) -> None:
    """A corrected or repeated request with the same key is processed."""
    invalid = await create(connected, KEY, {**BODY, "primary_region": "nowhere-1"})
    await connected.sandbox.fault(method="POST", path="/v2/redis/database", status=429, headers={"Retry-After": "7"})
    limited = await create(connected)
    good = await create(connected)

    assert [422, 429, 201] == [invalid.status, limited.status, good.status]
    assert "7" == limited.headers["Retry-After"]
    assert "Idempotency-Replayed" not in good.headers


async def test_t47_invalid_body_does_not_use_up_its_key(connected: World) -> None:
    """The audit log has the reason."""
    replies = [
        await create(connected, KEY, b"{"),
        await create(connected, KEY, {"name": ""}),
        await create(connected, KEY, {**BODY, "read_regions": ["us-east-1"]}),
    ]
    good = await create(connected)

    assert [400, 422, 422, 201] == [reply.status for reply in (*replies, good)]
    entries = (await connected.get("/v1/audit")).json["entries"]
    results = [it["result"] for it in entries if it["action"] == "database.create"]
    assert ["ok", "invalid_request", "invalid_request", "invalid_json"] == results


async def test_t47_key_of_another_account_is_rejected(connected: World) -> None:
    """A key used with the previous account returns nothing of it: 422. A new key creates a database."""
    await create(connected)
    await connected.call("DELETE", "/v1/connection")
    connected.email = f"second-{connected.email}"
    await connected.connect()

    async with no_effect(connected, audited=True):
        same = await create(connected)
    new = await create(connected, "new-key")

    assert (422, "idempotency_key_reused") == (same.status, same.code)
    assert 201 == new.status
