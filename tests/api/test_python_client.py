"""The Python client for apps, with a running daemon: getting access, and verifying the server."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.another_process import another_process
from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Reset, Step, answer, faulty
from tests.support.other_programs import HttpServer
from tests.support.platforms import not_under_wine
from tests.support.python_app import ALL, NEW_TOKEN, STARTED, TOKEN, User, a_helper, a_status, pair, pair_at
from tests.support.world import World, free_port
from upstash_helper.broker.apps.pairing_limits import LIFETIME
from upstash_helper.client import (
    ApiProblem,
    AppBlocked,
    DaemonUnreachable,
    FileTokens,
    InsufficientScope,
    MemoryTokens,
    PairingDenied,
    PairingExpired,
    PairingPending,
    PairingRefused,
    PairingReplaced,
    TooManyPairings,
    UnexpectedAnswer,
    WaitTimedOut,
)
from upstash_helper.client.app_session import AppClient, print_code
from upstash_helper.client.helper import print_url

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


@pytest.fixture
def user(world: World) -> User:
    return User(world)


# --- getting access ---------------------------------------------------------------------------------------------------


async def test_approved_app_gets_and_stores_its_token(world: World, user: User) -> None:
    """The app shows the code that the user sees in the prompt."""
    store = MemoryTokens()

    helper = await pair(world, user.approves(), store=store)

    token = await asyncio.to_thread(helper.token)
    [app] = await asyncio.to_thread(user.owner.apps)
    assert ALL == helper.scopes
    assert ("app", app.id, "Orders tool") == (token.kind, token.app_id, token.name)
    assert (store.load() or "").startswith("uha_")
    assert user.until[0].tzinfo == UTC


async def test_app_polls_until_the_user_decides() -> None:
    """It polls at the interval that the daemon returned."""
    answers = [a_status("pending"), a_status("pending"), a_status("approved")]
    async with a_helper(answer(STARTED, 202), *answers, answer(NEW_TOKEN)) as server:
        helper = await asyncio.to_thread(pair_at, server.url)

    assert ("databases:read",) == helper.scopes
    assert ["GET /v1/pairings/p"] * 3 == [sent for sent in server.sends if sent.startswith("GET /v1/")]


async def test_stored_token_is_used_without_a_prompt(world: World, user: User, tmp_path: Path) -> None:
    """The user is asked only on the first run."""
    await pair(world, user.approves(), store=FileTokens(tmp_path / "token"))

    again = await pair(world, user.denies(), store=FileTokens(tmp_path / "token"))

    assert 1 == len(user.codes)
    assert ALL == again.scopes


async def test_granted_scopes_are_reported(world: World, user: User) -> None:
    """If the user grants fewer than requested, a call that needs another one names it."""
    helper = await pair(world, user.approves("databases:read"))

    assert ("databases:read",) == helper.scopes
    with pytest.raises(InsufficientScope, match="databases:write"):
        await asyncio.to_thread(helper.databases.create, "db", primary_region="us-east-1")


async def test_refused_scopes_are_not_requested_again_unless_required(world: World, user: User) -> None:
    """The app keeps using its token if that has all required scopes."""
    store = MemoryTokens()
    await pair(world, user.approves("databases:read"), store=store)

    helper = await pair(world, user.denies(), store=store, required=("databases:read",))

    assert (1, ("databases:read",)) == (len(user.codes), helper.scopes)


async def test_token_without_a_required_scope_is_replaced(world: World, user: User) -> None:
    """The app requests access again, and its previous token is revoked."""
    store = MemoryTokens()
    await pair(world, user.approves(), scopes=("databases:read",), store=store)

    more = await pair(world, user.approves(), scopes=("databases:read", "databases:write"), store=store)

    apps = await asyncio.to_thread(user.owner.apps)
    assert ("databases:read", "databases:write") == more.scopes
    assert [(await asyncio.to_thread(more.token)).app_id] == [app.id for app in apps]


async def test_denial_is_a_distinct_error(world: World, user: User) -> None:
    """A new request right afterwards is rejected, with the time after which it is possible."""
    store = MemoryTokens()

    with pytest.raises(PairingDenied, match="denied the request"):
        await pair(world, user.denies(), store=store)
    with pytest.raises(TooManyPairings, match=r"denied this app's request\. Try again in \d+ seconds") as caught:
        await pair(world, user.approves(), store=store)

    assert store.load() is None
    assert isinstance(caught.value, PairingRefused)
    assert caught.value.retry_after is not None


async def test_blocked_app_cannot_request_access(world: World, user: User) -> None:
    """The user is not asked again."""
    with pytest.raises(PairingDenied):
        await pair(world, user.blocks())
    with pytest.raises(AppBlocked, match="has blocked requests"):
        await pair(world, user.approves())

    assert 1 == len(user.codes)


async def test_undecided_request_expires(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The app gets a distinct error."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        user = User(world)

        with pytest.raises(PairingExpired, match="not decided in time"):
            await pair(world, user.does(lambda: clock.advance(LIFETIME + 1)))


async def test_timeout_withdraws_the_request(world: World, user: User) -> None:
    """The prompt disappears."""
    with pytest.raises(WaitTimedOut, match="You did not decide on the request"):
        await pair(world, user.does(lambda: None), timeout=0.5)

    assert [] == (await world.get("/v1/pairings")).json["pairings"]


@not_under_wine("reports no owners of sockets")
async def test_request_replaces_an_earlier_one_of_the_same_program(world: World, user: User) -> None:
    """Such as that of a run that was interrupted. The earlier one ends with an error that says so."""
    first = await world.ask("connection:read", name="Orders tool")
    client = AppClient(f"http://127.0.0.1:{world.settings.port}", first.json["poll_secret"])

    helper = await pair(world, user.approves(), timeout=60)

    status = await asyncio.to_thread(client.pairing, first.json["id"])
    assert ("expired", True) == (status.state, status.replaced)
    with pytest.raises(PairingReplaced, match="has sent a new request"):
        await asyncio.to_thread(client.fetch_token, first.json["id"])
    assert helper.scopes


async def test_pending_request_that_may_not_be_replaced_is_explained(world: World, user: User) -> None:
    """The error says when that one expires."""
    async with another_process(world.settings.port, name="Orders tool") as asked:
        assert 202 == asked["status"]
        with pytest.raises(PairingPending, match=r"Another request with this name.*try again in \d+ seconds") as caught:
            await pair(world, user.approves(), timeout=1)

    assert [] == user.codes
    assert caught.value.code == "pairing_pending"


async def test_rejected_request_is_retried_within_the_timeout() -> None:
    """The app waits as long as the daemon asks for."""
    busy = {"status": 429, "code": "too_many_pairings", "title": "x", "detail": "Later.", "retry_after": 0}
    steps = [answer(busy, 429), answer(STARTED, 202), a_status("approved"), answer(NEW_TOKEN)]
    async with a_helper(*steps) as server:
        helper = await asyncio.to_thread(pair_at, server.url, timeout=5)

    assert ("databases:read",) == helper.scopes
    assert 2 == server.sends.count("POST /v1/pairings")


# --- verifying the server ---------------------------------------------------------------------------------------------


async def test_error_without_a_helper_contains_the_start_command() -> None:
    """Nothing was sent."""
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(DaemonUnreachable, match=r"not running\. Start it with: upstash-helper start") as caught:
        await asyncio.to_thread(pair_at, url)

    assert not caught.value.sent


@pytest.mark.parametrize(
    "step",
    [
        Answer(200, b"<html>"),
        Answer(404, b"Cannot GET /v1/proof"),
        answer({"status": 404, "code": "not_found", "title": "x", "detail": "An earlier version."}, 404),
        Answer(204),
        Answer(200, b" " * 5000),
        Answer(200, b"{}"),
        answer({"status": "ok", "service": "upstash-helper"}),
        answer({"proof": "0" * 64}),
        Bytes(b"SSH-2.0-OpenSSH_9.6\r\n"),
    ],
)
async def test_another_program_gets_no_token(step: Step) -> None:
    """T72: many programs use port 3000. The token is sent only to a server that proves to know it."""
    store = MemoryTokens()
    store.save(TOKEN)

    async with faulty(step) as server:
        with pytest.raises(UnexpectedAnswer, match=f"at {server.url} did not prove"):
            await asyncio.to_thread(pair_at, server.url, store=store)

    assert ["/v1/proof"] == [it.target.partition("?")[0] for it in server.requests]
    assert TOKEN not in repr(server.requests)
    assert TOKEN == store.load()


async def test_server_is_verified_on_each_connection(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A program that takes the place of the helper gets no token."""
    store = MemoryTokens()
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        helper = await pair(world, User(world).approves(), store=store)

    async with HttpServer.listening(daemon_port) as server:
        with pytest.raises(UnexpectedAnswer, match="sent no token"):
            await asyncio.to_thread(helper.token)
        received = await server.received()

    assert 1 == len(received)
    assert received[0].startswith(b"GET /v1/proof?")
    assert (store.load() or "no token").encode() not in received[0]


@pytest.mark.parametrize(
    "step",
    [
        Bytes(b""),
        Reset(),
    ],
)
async def test_broken_connection_before_the_token_is_sent(step: Step) -> None:
    """The token is sent only on the connection on which the server was verified."""
    store = MemoryTokens()
    store.save(TOKEN)

    async with faulty(step) as server:
        with pytest.raises(DaemonUnreachable, match="closed the connection") as caught:
            await asyncio.to_thread(pair_at, server.url, store=store)

    assert 1 == len(server.requests)
    assert TOKEN not in repr(server.requests)
    assert not caught.value.sent


async def test_connection_that_ends_after_the_verification_gets_nothing() -> None:
    """A new connection may lead to another program."""
    healthy = answer({"status": "ok", "service": "upstash-helper"}, Connection="close")
    async with faulty(healthy) as server:
        with pytest.raises(DaemonUnreachable, match="closed the connection"):
            await asyncio.to_thread(pair_at, server.url)

    assert ["GET /health"] == server.sends


async def test_error_answer_to_the_verification_is_raised() -> None:
    """The helper may serve another user."""
    refusal = {"status": 403, "code": "wrong_user", "title": "Forbidden", "detail": "This helper serves another user."}
    async with faulty(answer(refusal, 403)) as server:
        with pytest.raises(ApiProblem, match="serves another user"):
            await asyncio.to_thread(pair_at, server.url)


def test_code_and_address_are_printed_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """They do not mix with the app's output."""
    print_code("WDJB-MJHT", datetime(2026, 1, 1, tzinfo=UTC))
    print_url("https://auth.example/authorize")

    out, err = capsys.readouterr()
    assert "" == out
    assert "Code: WDJB-MJHT" in err
    assert "upstash-helper approvals approve" in err
    assert "https://auth.example/authorize" in err


def test_printed_command_is_for_the_profile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a variable, the program uses the daemon of another profile, such as the sandbox's."""
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "sandbox")

    print_code("WDJB-MJHT", datetime(2026, 1, 1, tzinfo=UTC))

    assert "upstash-helper --profile sandbox approvals approve" in capsys.readouterr().err
