"""The Python client for apps, against a daemon that runs: being let in, and who is at the other end."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Reset, Step, answer, faulty
from tests.support.other_programs import HttpServer
from tests.support.python_app import ALL, NEW_TOKEN, STARTED, TOKEN, User, a_helper, a_status, pair, pair_at
from tests.support.world import World, free_port
from upstash_helper.broker.apps.pairing_queue import LIFETIME
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
    TooManyPairings,
    UnexpectedAnswer,
    WaitTimedOut,
)
from upstash_helper.client.app_session import print_code
from upstash_helper.client.helper import print_url

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


@pytest.fixture
def user(world: World) -> User:
    return User(world)


# --- being let in -----------------------------------------------------------------------------------------------------


async def test_an_app_is_let_in_after_the_user_said_yes(world: World, user: User) -> None:
    """
    The app shows the code that the user sees, gets its token, and keeps it.
    """
    store = MemoryTokens()

    helper = await pair(world, user.approves(), store=store)

    token = await asyncio.to_thread(helper.token)
    [app] = await asyncio.to_thread(user.owner.apps)
    assert ALL == helper.scopes
    assert ("app", app.id, "Orders tool") == (token.kind, token.app_id, token.name)
    assert (store.load() or "").startswith("uha_")
    assert user.until[0].tzinfo == UTC


async def test_the_app_waits_as_long_as_the_user_takes() -> None:
    """
    A user who decides later than at once is waited for; the app looks again as often as the daemon says.
    """
    looks = [a_status("pending"), a_status("pending"), a_status("approved")]
    async with a_helper(answer(STARTED, 202), *looks, answer(NEW_TOKEN)) as server:
        helper = await asyncio.to_thread(pair_at, server.url)

    assert ("databases:read",) == helper.scopes
    assert ["GET /v1/pairings/p"] * 3 == [sent for sent in server.sends if sent.startswith("GET /v1/")]


async def test_a_stored_token_needs_no_second_prompt(world: World, user: User, tmp_path: Path) -> None:
    """
    The next run of the app uses what the first one was given, and nobody is asked.
    """
    await pair(world, user.approves(), store=FileTokens(tmp_path / "token"))

    again = await pair(world, user.denies(), store=FileTokens(tmp_path / "token"))

    assert 1 == len(user.codes)
    assert ALL == again.scopes


async def test_fewer_scopes_are_told(world: World, user: User) -> None:
    """
    Where the user grants less than was wished for, the client says so, and the call without its scope names it.
    """
    helper = await pair(world, user.approves("databases:read"))

    assert ("databases:read",) == helper.scopes
    with pytest.raises(InsufficientScope, match="databases:write"):
        await asyncio.to_thread(helper.databases.create, "db", primary_region="us-east-1")


async def test_what_the_user_refused_is_not_asked_for_again_if_it_is_not_required(world: World, user: User) -> None:
    """
    An app that can do without some of its wishes says which it needs, and goes on with the token that it has.
    """
    store = MemoryTokens()
    await pair(world, user.approves("databases:read"), store=store)

    content = await pair(world, user.denies(), store=store, required=("databases:read",))

    assert (1, ("databases:read",)) == (len(user.codes), content.scopes)


async def test_a_token_that_lacks_a_scope_is_replaced(world: World, user: User) -> None:
    """
    An app that wishes for more than it has asks anew, and leaves no second app behind.
    """
    store = MemoryTokens()
    await pair(world, user.approves(), scopes=("databases:read",), store=store)

    more = await pair(world, user.approves(), scopes=("databases:read", "databases:write"), store=store)

    apps = await asyncio.to_thread(user.owner.apps)
    assert ("databases:read", "databases:write") == more.scopes
    assert [(await asyncio.to_thread(more.token)).app_id] == [app.id for app in apps]


async def test_a_no_is_an_error_of_its_own(world: World, user: User) -> None:
    """
    The app learns that the user said no; asking again at once it learns when it may.
    """
    store = MemoryTokens()

    with pytest.raises(PairingDenied, match="said no"):
        await pair(world, user.denies(), store=store)
    with pytest.raises(TooManyPairings, match=r"said no to this app\. Try again in \d+ seconds") as caught:
        await pair(world, user.approves(), store=store)

    assert store.load() is None
    assert isinstance(caught.value, PairingRefused)
    assert caught.value.retry_after is not None


async def test_a_blocked_app_learns_that_it_may_not_ask(world: World, user: User) -> None:
    """
    A block is a no, and from then on the user is not asked.
    """
    with pytest.raises(PairingDenied):
        await pair(world, user.blocks())
    with pytest.raises(AppBlocked, match="does not want to be asked"):
        await pair(world, user.approves())

    assert 1 == len(user.codes)


async def test_a_request_that_nobody_decides_expires(tmp_path: Path, far_side: Sandbox, daemon_port: int) -> None:
    """
    When the time is over, the app is told.
    """
    clock = FakeClock()
    async with World.running(tmp_path, far_side, daemon_port, clock=clock) as world:
        user = User(world)

        with pytest.raises(PairingExpired, match="too long"):
            await pair(world, user.does(lambda: clock.advance(LIFETIME + 1)))


async def test_an_app_gives_up_when_its_own_time_is_over(world: World, user: User) -> None:
    """
    With a time of its own, the app does not wait longer than that for the user, who is then no longer asked.
    """
    with pytest.raises(WaitTimedOut, match="not decided in time"):
        await pair(world, user.does(lambda: None), timeout=0.5)

    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_an_earlier_request_of_the_program_is_explained(world: World, user: User) -> None:
    """
    Who starts the app a second time reads that the first one still waits, and for how long.
    """
    await world.ask("connection:read")

    with pytest.raises(PairingPending, match=r"Another request of this program.*try again in \d+ seconds") as caught:
        await pair(world, user.approves(), timeout=1)

    assert [] == user.codes
    assert caught.value.code == "pairing_pending"


async def test_an_app_with_time_waits_its_turn() -> None:
    """
    Where the user cannot be asked now, an app that set a time asks again when the daemon says.
    """
    busy = {"status": 429, "code": "too_many_pairings", "title": "x", "detail": "Later.", "retry_after": 0}
    steps = [answer(busy, 429), answer(STARTED, 202), a_status("approved"), answer(NEW_TOKEN)]
    async with a_helper(*steps) as server:
        helper = await asyncio.to_thread(pair_at, server.url, timeout=5)

    assert ("databases:read",) == helper.scopes
    assert 2 == server.sends.count("POST /v1/pairings")


# --- who is at the address --------------------------------------------------------------------------------------------


async def test_an_absent_helper_is_a_sentence_with_the_command() -> None:
    """
    Where nothing listens, the error tells how to start the helper.
    """
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(DaemonUnreachable, match=r"not running\. Start it with: upstash-helper start") as caught:
        await asyncio.to_thread(pair_at, url)

    assert not caught.value.sent


@pytest.mark.parametrize(
    "step",
    [
        Answer(200, b"<html>"),
        Answer(404, b"Cannot GET /health"),
        Answer(204),
        Answer(200, b" " * 5000),
        Answer(200, b"{}"),
        answer({"status": "ok", "service": "another"}),
        Bytes(b"SSH-2.0-OpenSSH_9.6\r\n"),
    ],
)
async def test_another_program_gets_no_token(step: Step) -> None:
    """
    Port 3000 is many a program's. One that does not say that it is the helper is named, and is sent no token.
    """
    store = MemoryTokens()
    store.save(TOKEN)

    async with faulty(step) as server:
        with pytest.raises(UnexpectedAnswer, match=f"at {server.url} is not upstash-helper"):
            await asyncio.to_thread(pair_at, server.url, store=store)

    assert ["GET /health"] == server.sends
    assert TOKEN not in repr(server.requests)
    assert TOKEN == store.load()


async def test_a_program_that_takes_the_helpers_place_gets_no_token(
    tmp_path: Path, far_side: Sandbox, daemon_port: int
) -> None:
    """
    Who is at the address is looked at each time, on the connection that the token then goes over.
    """
    store = MemoryTokens()
    async with World.running(tmp_path, far_side, daemon_port) as world:
        helper = await pair(world, User(world).approves(), store=store)

    async with HttpServer.listening(daemon_port) as server:
        with pytest.raises(UnexpectedAnswer, match="sent no token"):
            await asyncio.to_thread(helper.token)
        heard = await server.received()

    assert 1 == len(heard)
    assert heard[0].startswith(b"GET /health HTTP/1.1\r\n")
    assert (store.load() or "no token").encode() not in heard[0]


@pytest.mark.parametrize(
    "step",
    [
        Bytes(b""),
        Reset(),
        answer({"status": "ok", "service": "upstash-helper"}, Connection="close"),
    ],
)
async def test_a_connection_that_breaks_before_the_token_was_sent_is_told(step: Step) -> None:
    """
    The token goes over the connection on which the helper said who it is, or not at all.
    """
    store = MemoryTokens()
    store.save(TOKEN)

    async with faulty(step) as server:
        with pytest.raises(DaemonUnreachable, match="broke off") as caught:
            await asyncio.to_thread(pair_at, server.url, store=store)

    assert ["GET /health"] == server.sends
    assert not caught.value.sent


async def test_the_helper_of_another_user_says_so() -> None:
    """
    A refusal on the first question is told in the helper's own words.
    """
    refusal = {"status": 403, "code": "wrong_user", "title": "Forbidden", "detail": "This helper serves another user."}
    async with faulty(answer(refusal, 403)) as server:
        with pytest.raises(ApiProblem, match="serves another user"):
            await asyncio.to_thread(pair_at, server.url)


def test_what_is_shown_by_default_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """
    The code and the address are for the person before the terminal, and not in the way of the app's output.
    """
    print_code("WDJB-MJHT", datetime(2026, 1, 1, tzinfo=UTC))
    print_url("https://auth.example/authorize")

    out, err = capsys.readouterr()
    assert "" == out
    assert "the code WDJB-MJHT" in err
    assert "upstash-helper approvals approve" in err
    assert "https://auth.example/authorize" in err
