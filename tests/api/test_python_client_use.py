"""The Python client for apps: the account, its databases, and what happens."""

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
    MemoryTokens,
    NotConnected,
    NotTheCreator,
    OutcomeUnknown,
    SignInFailed,
    TokenRevoked,
    WaitTimedOut,
)

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


@pytest.fixture
def user(world: World) -> User:
    return User(world)


@pytest.fixture
async def helper(world: World, user: User) -> Helper:
    """A client with all scopes, of a daemon to which no account is connected."""
    return await pair(world, user.approves())


@pytest.fixture
async def connected(world: World, helper: Helper) -> Helper:
    """The same with an account."""
    await world.connect()
    return helper


# --- the account ------------------------------------------------------------------------------------------------------


async def test_an_account_is_connected(world: World, helper: Helper) -> None:
    """
    The user signs in where the app says, and the app has the connection when that is over. A second time is at once.
    """
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


async def test_a_sign_in_that_is_given_up_is_an_error_with_its_reason(world: World, helper: Helper) -> None:
    """
    When the user presses Cancel, the app is told what happened.
    """
    loop = asyncio.get_running_loop()

    async def cancelled(url: str) -> None:
        await world.land(await world.sandbox.cancel(url))

    with pytest.raises(SignInFailed) as caught:
        await asyncio.to_thread(
            helper.connect,
            open_browser=False,
            on_url=lambda url: asyncio.run_coroutine_threadsafe(cancelled(url), loop).result(30),
        )

    assert ("failed", "access_denied") == (caught.value.attempt.state, caught.value.reason)
    assert str(caught.value) == caught.value.attempt.detail


async def test_the_browser_is_opened_and_waiting_has_an_end(world: World, helper: Helper) -> None:
    """
    With an opened browser no address is shown, but to who joins later; an app need not wait, or not for long.
    """
    urls: list[str] = []

    started = await asyncio.to_thread(helper.connect, wait=False, on_url=urls.append)
    shown_first = list(urls)
    with pytest.raises(WaitTimedOut):
        await asyncio.to_thread(helper.connect, timeout=0.1, on_url=urls.append)

    assert "connecting" == started.state
    assert [] == shown_first
    assert 1 == len(world.browser.opened)
    assert world.browser.opened == urls


# --- databases --------------------------------------------------------------------------------------------------------


async def test_an_app_makes_and_uses_its_databases(connected: Helper) -> None:
    """
    All that an app does with a database, one after the other.
    """
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


async def test_a_create_whose_answer_is_lost_makes_one_database(world: World, user: User) -> None:
    """
    When the connection breaks after the daemon has made the database, the call returns that one.
    """
    await world.connect()
    async with lossy(world.settings.port, loses=b"POST /v1/databases ") as relay:
        helper = await pair(world, user.approves(), base_url=relay.url)

        made = await asyncio.to_thread(helper.databases.create, "orders", primary_region="us-east-1")

    listed = (await world.get("/v1/databases?refresh=true")).json["databases"]
    assert [made.id] == [it["id"] for it in listed]
    assert (1, 2) == (relay.lost, len(relay.seen))


async def test_a_create_is_asked_for_again_until_it_is_known() -> None:
    """
    A daemon that is still at it, or does not know yet, is asked again with the same key when it says.
    """
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


async def test_an_outcome_that_only_a_person_can_tell_is_raised() -> None:
    """
    Where asking again would not help, the call ends with what the daemon says.
    """
    token = {"kind": "app", "name": "x", "scopes": ["databases:read"], "all_databases": False}
    unknown = {"status": 409, "code": "outcome_unknown", "title": "x", "detail": "Look at the list."}
    store = MemoryTokens()
    store.save(TOKEN)
    async with a_helper(answer(token), answer(unknown, 409)) as server:
        helper = await asyncio.to_thread(pair_at, server.url, store=store)

        with pytest.raises(OutcomeUnknown, match="Look at the list"):
            await asyncio.to_thread(helper.databases.create, "n", primary_region="us-east-1")


async def test_a_create_that_was_never_sent_is_not_repeated(
    tmp_path: Path, far_side: Sandbox, daemon_port: int
) -> None:
    """
    If the helper is not there to begin with, the app is told at once.
    """
    async with World.running(tmp_path, far_side, daemon_port) as world:
        helper = await pair(world, User(world).approves())

    with pytest.raises(DaemonUnreachable, match="not running"):
        await asyncio.to_thread(helper.databases.create, "n", primary_region="us-east-1")


async def test_an_app_may_bring_its_own_key(connected: Helper) -> None:
    """
    With the same key the app gets the same database, also from another call.
    """
    key = secrets.token_hex(8)

    def work() -> tuple[str, str]:
        create = connected.databases.create
        first = create("orders", primary_region="us-east-1", idempotency_key=key)
        return first.id, create("orders", primary_region="us-east-1", idempotency_key=key).id

    first, second = await asyncio.to_thread(work)

    assert first == second


async def test_credentials_of_other_databases_are_refused(world: World, connected: Helper) -> None:
    """
    An app that was not granted all databases reads those that it made.
    """
    made = await world.create("the-owners")

    with pytest.raises(NotTheCreator, match="databases that it created"):
        await asyncio.to_thread(connected.databases.env, made["id"])


async def test_without_an_account_calls_say_so(helper: Helper) -> None:
    """
    Before an account is connected there are no databases, and that is an error of its own.
    """
    with pytest.raises(NotConnected):
        await asyncio.to_thread(helper.databases.list)


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_followed_until_the_app_is_shut_out(world: World, user: User, connected: Helper) -> None:
    """
    The app hears what happens, and last that it is no longer let in.
    """
    heard: list[str] = []
    loop = asyncio.get_running_loop()

    def follow() -> None:
        # An event that is not known any more is answered by `reset`: from then on nothing is missed.
        for event in connected.events(last_event_id="before"):
            heard.append(event.event)
            if event.event == "reset":
                asyncio.run_coroutine_threadsafe(world.create("orders"), loop).result(30)
            if event.event == "database":
                [app] = user.owner.apps()
                user.owner.revoke_app(app.id)

    with pytest.raises(TokenRevoked):
        await asyncio.to_thread(follow)

    assert ["reset", "database", "revoked"] == heard


async def test_events_end_with_the_helper(world: World, helper: Helper) -> None:
    """
    When the helper stops, following ends without an error.
    """
    loop = asyncio.get_running_loop()

    def follow() -> list[str]:
        heard = []
        for event in helper.events(last_event_id="before"):
            heard.append(event.event)
            loop.call_soon_threadsafe(world.stop.set)
        return heard

    assert ["reset"] == await asyncio.to_thread(follow)


async def test_a_stream_that_breaks_after_a_rotation_goes_on_with_the_new_token() -> None:
    """
    A reader whose token another process has replaced takes the new one from the store, and goes on where it was.
    """
    token = {"kind": "app", "name": "x", "scopes": ["databases:read"], "all_databases": False}
    refused = {"status": 401, "code": "invalid_token", "title": "x", "detail": "x"}
    first = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nid: 1-1\nevent: new\ndata: {}\n\n"
    second = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: bye\ndata: {}\n\n"
    store = MemoryTokens()
    store.save(TOKEN)
    async with a_helper(answer(token), Bytes(first), answer(refused, 401), Bytes(second)) as server:
        helper = await asyncio.to_thread(pair_at, server.url, store=store)

        def follow() -> list[str]:
            heard = []
            for event in helper.events():
                heard.append(event.id)
                store.save("uha_new")
            return heard

        heard = await asyncio.to_thread(follow)

    last = server.requests[-1].headers
    assert ["1-1"] == heard
    assert ("Bearer uha_new", "1-1") == (last["authorization"], last["last-event-id"])
