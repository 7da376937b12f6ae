"""The Python client for apps: the account, databases, and events."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.faulty import Bytes, answer
from tests.support.lossy import lossy
from tests.support.python_app import TOKEN, User, a_helper, pair, pair_at
from tests.support.world import PASSWORD, World
from upstash_helper.client import (
    DaemonUnreachable,
    Helper,
    InsufficientScope,
    MemoryTokens,
    NotConnected,
    NotTheCreator,
    OutcomeUnknown,
    ReadOnlyAccess,
    SignInFailed,
    TokenRevoked,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox
    from upstash_helper.protocol.literals import Scope


@pytest.fixture
def user(world: World) -> User:
    return User(world)


@pytest.fixture
async def helper(world: World, user: User) -> Helper:
    """A client with all scopes. No account is connected."""
    return await pair(world, user.approves())


@pytest.fixture
async def connected(world: World, helper: Helper) -> Helper:
    """The same with a connected account."""
    await world.connect()
    return helper


# --- the account ------------------------------------------------------------------------------------------------------


async def test_read_only_access_is_an_error_of_its_own(open_world: World) -> None:
    """Reading works, and the message says how to get full access."""
    helper = await pair(open_world, User(open_world).approves())
    connection = await open_world.connect(full_access=False)

    with pytest.raises(ReadOnlyAccess, match="choose full access"):
        await asyncio.to_thread(helper.databases.create, "orders", primary_region="us-east-1")

    assert "read_only" == connection["access"] == (await asyncio.to_thread(helper.connection)).access
    assert [] == list(await asyncio.to_thread(helper.databases.list))


async def test_connect_returns_after_the_sign_in(world: World, helper: Helper) -> None:
    """The user signs in at the address that the app gets. A second call returns immediately."""
    loop = asyncio.get_running_loop()
    urls: list[str] = []

    def sign_in(url: str) -> None:
        urls.append(url)
        asyncio.run_coroutine_threadsafe(signed_in(url), loop).result(30)

    async def signed_in(url: str) -> None:
        await world.land(await world.sandbox.authorize(url, world.email, PASSWORD))

    connection = await asyncio.to_thread(helper.connect, open_browser=False, on_url=sign_in)
    again = await asyncio.to_thread(helper.connect, on_url=sign_in)

    assert ("connected", "connected") == (connection.state, again.state)
    assert connection.account is not None
    assert world.email == connection.account.email
    assert 1 == len(urls)


async def test_canceled_sign_in_is_an_error_with_its_reason(world: World, helper: Helper) -> None:
    """The user cancels on the page of Upstash."""
    loop = asyncio.get_running_loop()

    async def cancel(url: str) -> None:
        await world.land(await world.sandbox.cancel(url))

    with pytest.raises(SignInFailed) as caught:
        await asyncio.to_thread(
            helper.connect,
            open_browser=False,
            on_url=lambda url: asyncio.run_coroutine_threadsafe(cancel(url), loop).result(30),
        )

    assert ("failed", "access_denied") == (caught.value.attempt.state, caught.value.reason)
    assert str(caught.value) == caught.value.attempt.detail


async def test_browser_is_opened_and_waiting_can_time_out(world: World, helper: Helper) -> None:
    """The address is shown only if no browser was opened for this call."""
    urls: list[str] = []

    started = await asyncio.to_thread(helper.connect, wait=False, on_url=urls.append)
    shown_first = list(urls)
    with pytest.raises(WaitTimedOut):
        await asyncio.to_thread(helper.connect, timeout=0.1, on_url=urls.append)

    assert "connecting" == started.state
    assert [] == shown_first
    assert 1 == len(world.browser.opened)
    assert world.browser.opened == urls


async def test_t59_scope_to_connect_is_requested_only_if_it_is_needed(world: World, user: User) -> None:
    """An app that gets access while an account is connected cannot start a sign-in; once none is, it asks again."""
    scopes: tuple[Scope, ...] = ("connection:read", "databases:read")
    store = MemoryTokens()
    await world.connect()
    first = await pair(world, user.approves(), scopes=scopes, store=store, connect_if_needed=True)
    connected = await asyncio.to_thread(first.connect)
    same = await pair(world, user.denies(), scopes=scopes, store=store, connect_if_needed=True)
    await world.call("DELETE", "/v1/connection")
    with pytest.raises(InsufficientScope):
        await asyncio.to_thread(first.connect)

    second = await pair(world, user.approves(), scopes=scopes, store=store, connect_if_needed=True)
    urls: list[str] = []
    await asyncio.to_thread(second.connect, open_browser=False, wait=False, on_url=urls.append)

    assert (scopes, scopes, "connected") == (first.scopes, same.scopes, connected.state)
    assert ("connection:read", "connection:write", "databases:read") == second.scopes
    assert (2, 1) == (len(user.codes), len(urls))


async def test_t59_sign_in_of_the_user_is_joined_without_its_address(world: World, helper: Helper) -> None:
    """The app waits for it, and is not told where the user signs in."""
    started = await world.start()
    urls: list[str] = []

    waiting = asyncio.create_task(asyncio.to_thread(helper.connect, open_browser=False, on_url=urls.append))
    await world.land(await world.sign_in(started))
    connection = await waiting

    assert ("connected", []) == (connection.state, urls)


# --- databases --------------------------------------------------------------------------------------------------------


async def test_app_creates_changes_and_deletes_a_database(connected: Helper) -> None:
    """All methods of ``helper.databases`` in sequence."""
    databases = connected.databases

    def work() -> tuple[Any, ...]:
        region = next(region for region in connected.regions() if region.primary and region.platform == "aws")
        made = databases.create("orders", primary_region=region.id, eviction=True)
        secrets_of = databases.credentials(made.id)
        changed = databases.change(made.id, name="orders-2", eviction=False)
        databases.reset_password(made.id)
        env, listed = databases.env(made.id), databases.list()
        read = databases.get(made.id)
        databases.delete(made.id)
        return made, secrets_of, changed, env, listed, read, databases.list(refresh=True)

    made, secrets_of, changed, env, listed, read, left = await asyncio.to_thread(work)

    assert ("orders", True) == (made.name, made.eviction)
    assert ("orders-2", False) == (changed.name, changed.eviction)
    assert (made.id,) == tuple(it.id for it in listed)
    assert changed == read
    assert secrets_of.rest_url == env["UPSTASH_REDIS_REST_URL"]
    assert secrets_of.rest_token != env["UPSTASH_REDIS_REST_TOKEN"]
    assert () == left


async def test_create_with_a_lost_answer_creates_one_database(world: World, user: User) -> None:
    """The connection breaks after the daemon has created the database, which the call then returns."""
    await world.connect()
    store = MemoryTokens()
    await pair(world, user.approves(), store=store)
    tokens = (store.load() or "",)
    async with lossy(world.settings.port, loses=b"POST /v1/databases ", tokens=tokens) as relay:
        helper = await asyncio.to_thread(pair_at, relay.url, store=store)

        made = await asyncio.to_thread(helper.databases.create, "orders", primary_region="us-east-1")

    listed = (await world.get("/v1/databases?refresh=true")).json["databases"]
    assert [made.id] == [it["id"] for it in listed]
    assert (1, 2) == (relay.lost, len(relay.seen))


async def test_create_is_repeated_until_the_outcome_is_known() -> None:
    """The request has the same idempotency key, and waits as long as the daemon asks for."""
    busy = [
        answer({"status": 409, "code": code, "title": "x", "detail": "x", "retry_after": 0}, 409)
        for code in ("request_in_progress", "outcome_unknown")
    ]
    made = {
        "id": "1", "name": "n", "state": "active", "host": "h", "port": 1, "tls": True, "rest_url": "https://h",
        "plan": "free", "primary_region": "us-east-1", "read_regions": [], "eviction": True, "auto_upgrade": False,
        "daily_backup": False, "budget": None, "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    token = {"kind": "app", "name": "x", "scopes": ["databases:write"], "all_databases": False}
    steps = [answer(token), *busy, answer(made, 201)]
    store = MemoryTokens()
    store.save(TOKEN)
    async with a_helper(*steps) as server:

        def work() -> str:
            helper = Helper.pair(name="x", scopes=("databases:write",), base_url=server.url, token_store=store)
            return helper.databases.create("n", primary_region="us-east-1").id

        found = await asyncio.to_thread(work)

    keys = [it.headers["idempotency-key"] for it in server.requests if it.method == "POST"]
    assert "1" == found
    assert 3 == len(keys)
    assert 1 == len(set(keys))


async def test_outcome_that_only_a_person_can_tell_is_raised() -> None:
    """Repeating the request would not help."""
    token = {"kind": "app", "name": "x", "scopes": ["databases:read"], "all_databases": False}
    unknown = {"status": 409, "code": "outcome_unknown", "title": "x", "detail": "Look at the list."}
    store = MemoryTokens()
    store.save(TOKEN)
    async with a_helper(answer(token), answer(unknown, 409)) as server:
        helper = await asyncio.to_thread(pair_at, server.url, store=store)

        with pytest.raises(OutcomeUnknown, match="Look at the list"):
            await asyncio.to_thread(helper.databases.create, "n", primary_region="us-east-1")


async def test_create_that_was_never_sent_is_not_repeated(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """If the helper is not running, the error is immediate."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        helper = await pair(world, User(world).approves())

    with pytest.raises(DaemonUnreachable, match="not running"):
        await asyncio.to_thread(helper.databases.create, "n", primary_region="us-east-1")


async def test_idempotency_key_of_the_app_is_used(connected: Helper) -> None:
    """Two calls with the same key return the same database."""
    key = secrets.token_hex(8)

    def work() -> tuple[str, str]:
        create = connected.databases.create
        first = create("orders", primary_region="us-east-1", idempotency_key=key)
        return first.id, create("orders", primary_region="us-east-1", idempotency_key=key).id

    first, second = await asyncio.to_thread(work)

    assert first == second


async def test_credentials_of_other_databases_are_refused(world: World, connected: Helper) -> None:
    """Without access to all databases, an app gets only those of databases that it created."""
    made = await world.create("the-owners")

    with pytest.raises(NotTheCreator, match="databases that it created"):
        await asyncio.to_thread(connected.databases.env, made["id"])


async def test_call_without_an_account_is_a_distinct_error(helper: Helper) -> None:
    """No account is connected yet."""
    with pytest.raises(NotConnected):
        await asyncio.to_thread(helper.databases.list)


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_end_when_access_is_revoked(world: World, user: User, connected: Helper) -> None:
    """The last event is the revocation."""
    received: list[str] = []
    loop = asyncio.get_running_loop()

    def follow() -> None:
        # An unknown last event id is answered with `reset`. No later event is missed.
        for event in connected.events(last_event_id="before"):
            received.append(event.event)
            if event.event == "reset":
                asyncio.run_coroutine_threadsafe(world.create("orders"), loop).result(30)
            if event.event == "database":
                [app] = user.owner.apps()
                user.owner.revoke_app(app.id)

    with pytest.raises(TokenRevoked):
        await asyncio.to_thread(follow)

    assert ["reset", "database", "revoked"] == received


async def test_events_end_when_the_helper_stops(world: World, helper: Helper) -> None:
    """This is not an error."""
    loop = asyncio.get_running_loop()

    def follow() -> list[str]:
        received = []
        for event in helper.events(last_event_id="before"):
            received.append(event.event)
            loop.call_soon_threadsafe(world.stop.set)
        return received

    assert ["reset"] == await asyncio.to_thread(follow)


async def test_broken_stream_is_resumed_with_a_rotated_token() -> None:
    """Another process has stored the new token. The stream continues after the last event."""
    token = {"kind": "app", "name": "x", "scopes": ["databases:read"], "all_databases": False}
    first = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nid: 1-1\nevent: new\ndata: {}\n\n"
    second = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: bye\ndata: {}\n\n"
    store = MemoryTokens()
    store.save(TOKEN)
    async with a_helper(answer(token), Bytes(first), Bytes(second), knows=(TOKEN,)) as server:
        helper = await asyncio.to_thread(pair_at, server.url, store=store)

        def follow() -> list[str]:
            received = []
            for event in helper.events():
                received.append(event.id)
                store.save("uha_new")
                server.tokens = ("uha_new",)
            return received

        received = await asyncio.to_thread(follow)

    last = server.requests[-1].headers
    assert ["1-1"] == received
    assert ("Bearer uha_new", "1-1") == (last["authorization"], last["last-event-id"])
