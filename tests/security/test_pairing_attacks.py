"""Asking to be let in, by those who should not be: T05, T09, T25 to T28."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.effects import no_effect, state
from tests.support.world import Reply, World, as_page
from upstash_helper.api.resources.pairings import PairingsResource
from upstash_helper.broker.apps.display_text import LONGEST_NAME, LONGEST_REASON
from upstash_helper.broker.apps.pairing_queue import LIFETIME
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
OTHER = "https://other.example.com"
EXTENSION = "chrome-extension://" + "a" * 32


@dataclass
class Timed:
    """A daemon whose time is the test's."""

    world: World
    clock: FakeClock

    async def ask(self, number: int = 0) -> Reply:
        """Ask as the page of one of many origins."""
        return await self.world.ask(origin=f"https://app-{number}.example.com")


@pytest.fixture
async def timed(tmp_path: Path, far_side: Sandbox, daemon_port: int) -> AsyncIterator[Timed]:
    """A daemon that nobody has asked for anything, at a moment that lasts."""
    clock = FakeClock()
    async with World.running(tmp_path, far_side, daemon_port, clock=clock) as world:
        yield Timed(world, clock)


async def decide(world: World, pairing: dict[str, Any], verb: str, body: Any = None) -> Reply:
    """Decide as the owner."""
    at = f"/v1/pairings/{pairing['id']}/{verb}"
    return await world.call("POST", at, {} if verb == "approve" and body is None else body)


async def look(world: World, pairing: dict[str, Any], origin: str | None = PAGE, **options: Any) -> Reply:
    """Look as the app, by default with its own secret."""
    headers = {} if origin is None else as_page(origin)
    return await world.get(
        f"/v1/pairings/{pairing['id']}", **{"token": pairing["poll_secret"], "headers": headers, **options}
    )


async def fetch(world: World, pairing: dict[str, Any], origin: str | None = PAGE, **options: Any) -> Reply:
    """Fetch the token as the app, by default with its own secret."""
    headers = {} if origin is None else as_page(origin)
    return await world.call(
        "POST",
        f"/v1/pairings/{pairing['id']}/token",
        **{"token": pairing["poll_secret"], "headers": headers, **options},
    )


async def withdraw(world: World, pairing: dict[str, Any], origin: str | None = PAGE, **options: Any) -> Reply:
    """Ask no longer, as the app, by default with its own secret."""
    headers = {} if origin is None else as_page(origin)
    return await world.call(
        "DELETE", f"/v1/pairings/{pairing['id']}", **{"token": pairing["poll_secret"], "headers": headers, **options}
    )


def said(reply: Reply) -> tuple[int, str, str | None]:
    """Return an answer's status and code, and when to come again."""
    return reply.status, "" if reply.status < 400 else reply.code, reply.headers.get("Retry-After")


# --- T05 --------------------------------------------------------------------------------------------------------------


async def test_t05_who_has_no_token_is_shown_the_way_to_one(world: World) -> None:
    """The 401 has the challenge, and a link at which an app can ask; following it leads to a token."""
    async with no_effect(world):
        reply = await world.get("/v1/databases", token=None)

    assert (401, "token_required") == (reply.status, reply.code)
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    assert '</v1/pairings>; rel="pair"' == reply.headers["Link"]
    body = {"name": "App", "scopes": ["databases:read"]}
    assert 202 == (await world.call("POST", reply.json["links"]["pair"], body, token=None)).status


# --- T09 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    ["null", "http://evil.example", "http://192.168.1.2:3000", "file://", "https://A.example", "http://localhost.evil.com",
     "http://localhost:{port}", "http://127.0.0.1:{port}", "chrome-extension://x", "https://a.example/", "*"],
)  # fmt: skip
async def test_t09_who_names_nobody_does_not_get_to_the_user(world: World, origin: str) -> None:
    """No prompt, no notification, no entry; and the page cannot even read the refusal."""
    headers = as_page(origin.format(port=world.settings.port))
    body = {"name": "App", "scopes": ["databases:read"]}

    async with no_effect(world):
        reply = await world.call("POST", "/v1/pairings", body, headers=headers, token=None)

    assert (403, "origin_not_allowed") == (reply.status, reply.code)
    assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Origin": PAGE, "Content-Type": "text/plain"},
        {"Origin": PAGE, "Content-Type": "application/x-www-form-urlencoded"},
    ],
)
async def test_t09_t16_a_form_of_another_site_asks_for_nothing(world: World, headers: dict[str, str]) -> None:
    """Neither a form's POST, nor one that hides its origin, nor one without the type that needs a preflight."""
    body = b'{"name":"App","scopes":["databases:read"]}'

    async with no_effect(world):
        reply = await world.call("POST", "/v1/pairings", body, headers=headers, token=None)

    assert reply.status in (403, 415)


# --- T25 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Orders\nClick Allow", "Orders Click Allow"),
        ("Orders\r\n\r\nhttps://upstash.com", "Orders https://upstash.com"),
        ("\u202eelpmaxe.live", "elpmaxe.live"),
        ("Up\u200bst\u2060ash", "Upstash"),
        ("<b>Upstash</b><script>alert(1)</script>", "<b>Upstash</b><script>alert(1)</script>"),
        ("Upstash", "Upstash"),
        ("A" * 256, "A" * (LONGEST_NAME - 1) + "…"),
        ("Z" + "\u0301" * 200, "\u0179\u0301"),
        ('Orders" and shows the code AAAA-AAAA', 'Orders" and shows the code AAAA-AAAA'),
    ],
)
async def test_t25_a_name_is_shown_cleaned_and_as_a_claim(world: World, name: str, shown: str) -> None:
    """On one line, at most 64 characters, behind the verified identity; and so it stays when the app is let in."""
    asked = (await world.ask(origin=PAGE, name=name, reason=name * 3)).json
    await world.daemon.background.drain(5)

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    [(title, body)] = world.desktop.shown
    await decide(world, asked, "approve")
    await fetch(world, asked)
    [app] = (await world.get("/v1/apps")).json["apps"]

    assert ["id", "identity", "claimed_name"] == list(pairing)[:3]
    assert (PAGE, shown) == (pairing["identity"]["shown"], pairing["claimed_name"])
    assert len(pairing["reason"]) <= LONGEST_REASON
    assert "\n" not in pairing["reason"]
    assert title.startswith(PAGE)
    assert body.index(asked["user_code"]) < body.index(shown)
    assert (shown, PAGE) == (app["name"], app["identity"]["name"])


@pytest.mark.parametrize(
    ("name", "scopes", "pointer"),
    [
        ("", ["databases:read"], "/name"),
        ("A" * 257, ["databases:read"], "/name"),
        ("A" * 10_240, ["databases:read"], "/name"),
        ("\u200b\u202e\u00ad", ["databases:read"], "/name"),
        ("   \n\t ", ["databases:read"], "/name"),
        ("\u3164\u2800", ["databases:read"], "/name"),
        (7, ["databases:read"], "/name"),
        (None, ["databases:read"], "/name"),
        ("App", [], "/scopes"),
        ("App", ["databases:read"] * 17, "/scopes"),
        ("App", ["databases:*"], "/scopes/0"),
        ("App", ["databases:read", "owner"], "/scopes/1"),
        ("App", "databases:read", "/scopes"),
        ("App", None, "/scopes"),
    ],
)
async def test_t25_a_wish_that_cannot_be_shown_is_refused(world: World, name: Any, scopes: Any, pointer: str) -> None:
    """422 with the place; the user is not bothered."""
    async with no_effect(world):
        reply = await world.call(
            "POST", "/v1/pairings", {"name": name, "scopes": scopes}, headers=as_page(PAGE), token=None
        )

    assert (422, "invalid_request") == (reply.status, reply.code)
    assert pointer == reply.json["errors"][0]["pointer"]


async def test_t25_a_reason_is_bounded_too(world: World) -> None:
    """1024 characters are taken, and 200 shown."""
    async with no_effect(world):
        long = await world.ask(origin=PAGE, reason="r" * 1025)
    taken = await world.ask(origin=PAGE, reason="r" * 1024)

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    assert [422, 202] == [long.status, taken.status]
    assert LONGEST_REASON == len(pairing["reason"])


# --- T26 --------------------------------------------------------------------------------------------------------------


async def test_t26_the_sixth_request_within_a_minute_is_refused(timed: Timed) -> None:
    """The second to fifth are told of the first; then it is 429, with the exact time at which there is room again."""
    said_so, links = [], []
    first = (await timed.ask()).json["id"]
    for _ in range(4):
        timed.clock.advance(5)
        reply = await timed.ask()
        said_so.append(said(reply))
        links.append(reply.json["links"])
    timed.clock.advance(5)
    before = await state(timed.world)
    sixth = await timed.ask()
    timed.clock.advance(34.5)
    early = await timed.ask()
    timed.clock.advance(0.5)
    again = await timed.ask()
    after = await state(timed.world)

    pending = [(409, "pairing_pending", str(seconds)) for seconds in (115, 110, 105, 100)]
    assert pending == said_so
    assert [{"pairing": f"/v1/pairings/{first}"}] * 4 == links
    assert (429, "too_many_pairings", "35") == said(sixth)
    assert (429, "too_many_pairings", "1") == said(early)
    assert 35 == sixth.json["retry_after"]
    assert (409, "pairing_pending", "60") == said(again)
    assert before == after


async def test_t26_nobody_is_told_to_come_too_early(timed: Timed) -> None:
    """A header has whole seconds, so the time is rounded up: who waits that long is not refused for a fraction."""
    await timed.ask()
    timed.clock.advance(0.25)

    assert (409, "pairing_pending", "120") == said(await timed.ask())


async def test_t26_of_twenty_origins_three_get_to_the_user(timed: Timed) -> None:
    """The others are told when the first of the three is over, to the second, and then one of them gets its turn."""
    first = []
    for number in range(3):
        first.append((await timed.ask(number)).status)
        timed.clock.advance(10)
    others = [said(await timed.ask(number)) for number in range(3, 20)]
    waiting = (await timed.world.get("/v1/pairings")).json["pairings"]
    timed.clock.advance(89)
    early = await timed.ask(20)
    timed.clock.advance(1)
    later = [said(await timed.ask(number)) for number in (21, 22)]
    await timed.world.daemon.background.drain(5)

    assert [202] * 3 == first
    assert {(429, "too_many_pairings", "90")} == set(others)
    assert 3 == len(waiting)
    assert (429, "too_many_pairings", "1") == said(early)
    assert [(202, "", None), (429, "too_many_pairings", "10")] == later
    assert 4 == len(timed.world.desktop.shown)


async def test_t26_requests_at_the_same_moment_are_counted_too(timed: Timed) -> None:
    """Twenty at once from twenty origins, and twenty from one: three prompts in all."""
    many = await asyncio.gather(*(timed.ask(number) for number in range(20)))
    one = await asyncio.gather(*(timed.ask(0) for _ in range(20)))

    waiting = (await timed.world.get("/v1/pairings")).json["pairings"]
    assert [202] * 3 + [429] * 17 == sorted(reply.status for reply in many)
    assert all(reply.status in (409, 429) for reply in one)
    assert 3 == len(waiting)


async def test_t26_looking_is_bounded_as_well(timed: Timed) -> None:
    """An app that polls without a pause is told to wait, and its page can read that."""
    asked = (await timed.world.ask(origin=PAGE)).json

    replies = [await look(timed.world, asked) for _ in range(80)]

    refused = [reply for reply in replies if reply.status == 429]
    assert 200 == replies[0].status
    assert refused
    assert ("rate_limited", "1", PAGE) == (
        refused[0].code, refused[0].headers["Retry-After"], refused[0].headers["Access-Control-Allow-Origin"]
    )  # fmt: skip


# --- T27 --------------------------------------------------------------------------------------------------------------


async def test_t27_what_nobody_answers_expires(timed: Timed) -> None:
    """After 120 seconds it is over for good: no yes and no no, no token, and it is no longer shown."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.advance(LIFETIME - 1)
    before = (await look(world, asked)).json["state"]
    timed.clock.advance(1)

    states = [(await look(world, asked)).json["state"]]
    decided = [said(await decide(world, asked, verb)) for verb in ("approve", "deny", "approve")]
    fetched = said(await fetch(world, asked))
    states.append((await look(world, asked)).json["state"])

    assert "pending" == before
    assert ["expired"] * 2 == states
    assert [(410, "pairing_expired", None)] * 3 == decided
    assert (410, "pairing_expired", None) == fetched
    assert [] == (await world.get("/v1/pairings")).json["pairings"]
    assert [] == (await world.get("/v1/apps")).json["apps"]
    assert 202 == (await world.ask(origin=PAGE)).status


async def test_t27_a_no_is_final_and_is_followed_by_a_pause(timed: Timed) -> None:
    """The app is told; asking again at once is 429 with the exact time; a second no doubles the pause."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    denied = await decide(world, asked, "deny")
    state_then = (await look(world, asked)).json["state"]
    fetched = said(await fetch(world, asked))
    changed = said(await decide(world, asked, "approve"))
    again = said(await decide(world, asked, "deny"))
    at_once = said(await world.ask(origin=PAGE))
    timed.clock.advance(59)
    early = said(await world.ask(origin=PAGE))
    timed.clock.advance(1)
    second = await world.ask(origin=PAGE)
    await decide(world, second.json, "deny")
    doubled = said(await world.ask(origin=PAGE))

    assert (200, "denied", "denied") == (denied.status, denied.json["state"], state_then)
    assert (403, "pairing_denied", None) == fetched
    assert (409, "pairing_already_decided", None) == changed
    assert (200, "", None) == again
    assert (429, "too_many_pairings", "60") == at_once
    assert (429, "too_many_pairings", "1") == early
    assert 202 == second.status
    assert (429, "too_many_pairings", "120") == doubled


async def test_t27_a_double_click_lets_in_once(timed: Timed) -> None:
    """However often yes is said and the token asked for at the same moment: one token, one app."""
    world = timed.world
    asked = (await world.ask("databases:read", "databases:write", origin=PAGE)).json

    approved = await asyncio.gather(
        *(decide(world, asked, "approve", {"scopes": ["databases:read"]}) for _ in range(5)),
        *(decide(world, asked, "approve") for _ in range(5)),
    )
    fetched = await asyncio.gather(*(fetch(world, asked) for _ in range(10)))
    late = await decide(world, asked, "approve", {"scopes": ["databases:read", "databases:write"]})

    assert {200} == {reply.status for reply in approved}
    assert [200] + [410] * 9 == sorted(reply.status for reply in fetched)
    assert {"token_already_delivered"} == {reply.code for reply in fetched if reply.status == 410}
    [token] = [reply.json for reply in fetched if reply.status == 200]
    [app] = (await world.get("/v1/apps")).json["apps"]
    assert token["scopes"] == [it["scope"] for it in app["scopes"]]
    assert 200 == late.status
    assert [app] == (await world.get("/v1/apps")).json["apps"]


async def test_t27_a_yes_and_a_no_at_the_same_moment_are_one_of_them(timed: Timed) -> None:
    """A no counts, whether it came first or took the yes back; nobody is let in by a race."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json

    replies = await asyncio.gather(*(decide(world, asked, verb) for verb in ("approve", "deny") * 5))

    assert {200, 409} == {reply.status for reply in replies}
    assert "denied" == (await look(world, asked)).json["state"]
    assert (403, "pairing_denied", None) == said(await fetch(world, asked))


async def test_t27_a_yes_that_is_not_fetched_expires(timed: Timed) -> None:
    """A door that was opened for somebody does not stay open."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.advance(100)
    await decide(world, asked, "approve")
    timed.clock.advance(LIFETIME)

    assert "expired" == (await look(world, asked)).json["state"]
    assert (410, "pairing_expired", None) == said(await fetch(world, asked))
    assert (410, "pairing_expired", None) == said(await decide(world, asked, "approve"))
    assert [] == (await world.get("/v1/apps")).json["apps"]


@pytest.mark.parametrize("verb", ["approve", "deny", "block"])
async def test_t27_what_was_withdrawn_stays_so(timed: Timed, verb: str) -> None:
    """A decision that comes too late lets nobody in; withdrawing twice is no fault, and does not undo a decision."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    replies = [said(await withdraw(world, asked)) for _ in range(2)]
    decided = await decide(world, asked, verb)
    fetched = await fetch(world, asked)
    waiting = (await world.get("/v1/pairings")).json["pairings"]

    assert [(204, "", None)] * 2 == replies
    assert (200 if verb == "block" else 410) == decided.status
    assert fetched.status in (403, 410)
    assert [] == waiting
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_t27_a_no_is_not_undone_by_withdrawing(timed: Timed) -> None:
    """The pause stays, over a restart of the app as well; and who comes and goes again and again has to pause, too."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    await decide(world, asked, "deny")
    await withdraw(world, asked)
    paused = said(await world.ask(origin=PAGE))
    again = []
    for _ in range(6):
        other = await world.ask(origin=OTHER)
        again.append(other.status)
        if other.status == 202:
            await withdraw(world, other.json, OTHER)

    assert "denied" == (await look(world, asked)).json["state"]
    assert (429, "too_many_pairings", "60") == paused
    assert [202] * 3 + [429] * 3 == again


@pytest.mark.parametrize("approved", [False, True])
async def test_t27_who_is_blocked_is_not_heard_again(timed: Timed, *, approved: bool) -> None:
    """Not even a yes that was said just before is kept; nothing of it reaches the user until it is unblocked."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    if approved:
        await decide(world, asked, "approve")

    block = (await decide(world, asked, "block")).json
    fetched = said(await fetch(world, asked))
    timed.clock.advance(86_400)
    async with no_effect(world):
        refused = said(await world.ask(origin=PAGE))
    others = [(await world.ask(origin=origin)).status for origin in (f"{PAGE}:8443", None)]
    removed = await world.call("DELETE", f"/v1/blocks/{block['id']}")
    allowed = await world.ask(origin=PAGE)

    assert PAGE == block["identity"]["name"]
    assert (403, "pairing_denied", None) == fetched
    assert (403, "app_blocked", None) == refused
    assert [202, 202] == others
    assert [204, 202] == [removed.status, allowed.status]


@pytest.mark.parametrize("scopes", [[], ["databases:delete"], ["databases:read", "databases:delete"]])
async def test_t27_nobody_gets_more_than_was_wished_for(world: World, scopes: list[str]) -> None:
    """A tool that grants what the prompt did not show is refused, and nothing is decided by that."""
    asked = (await world.ask("databases:read", origin=PAGE)).json

    reply = await decide(world, asked, "approve", {"scopes": scopes})

    assert (422, "/scopes") == (reply.status, reply.json["errors"][0]["pointer"])
    assert "pending" == (await look(world, asked)).json["state"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_t27_t52_a_request_lasts_two_minutes_whatever_the_wall_clock_does(timed: Timed, jump: float) -> None:
    """A jump neither ends it nor keeps it alive, and another app's request does not push it out."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.set_wall_clock(jump)
    await world.ask(origin=OTHER)
    timed.clock.advance(LIFETIME - 1)

    before = (await look(world, asked)).json["state"]
    timed.clock.advance(1)
    after = (await look(world, asked)).json["state"]

    assert ["pending", "expired"] == [before, after]


async def test_t27_a_restart_forgets_neither_requests_nor_answers(
    tmp_path: Path, far_side: Sandbox, daemon_port: int
) -> None:
    """What waits still waits, for as long as was left; a no stays a no, with its pause; and a yes is for its app."""
    clock = FakeClock()

    def daemon() -> AbstractAsyncContextManager[World]:
        ledger = SqliteLedger(tmp_path / "ledger.db")
        return World.running(tmp_path, far_side, daemon_port, clock=clock, ledger=ledger)

    async with daemon() as world:
        waiting = (await world.ask(origin=PAGE)).json
        denied = (await world.ask(origin=OTHER)).json
        await decide(world, denied, "deny")
        approved = (await world.ask()).json
        await decide(world, approved, "approve")
    clock.advance(50)
    async with daemon() as world:
        states = [
            (await look(world, waiting)).json["state"],
            (await look(world, denied, OTHER)).json["state"],
            (await look(world, approved, None)).json["state"],
        ]
        again = said(await world.ask(origin=OTHER))
        fetched = [said(await fetch(world, approved, None)) for _ in range(2)]
        clock.advance(70)
        over = (await look(world, waiting)).json["state"]

    assert ["pending", "denied", "approved"] == states
    assert (429, "too_many_pairings", "60") == again
    assert [(200, "", None), (410, "token_already_delivered", None)] == fetched
    assert "expired" == over


# --- T28 --------------------------------------------------------------------------------------------------------------


def strangers(world: World, other: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return by whom a pairing of PAGE's is not to be seen, as options of a call."""
    page = as_page(PAGE)
    return {
        "without a secret": {"token": None, "headers": page},
        "with another pairing's secret": {"token": other["poll_secret"], "headers": page},
        "with a made-up secret": {"token": "uhp_" + "A" * 43, "headers": page},
        "with the pairing's id": {"token": other["id"], "headers": page},
        "with an empty secret": {"token": None, "headers": {**page, "Authorization": "Bearer "}},
        "the owner": {"token": world.owner},
    }


@pytest.mark.parametrize("verb", ["look", "fetch", "withdraw"])
async def test_t28_a_pairing_is_its_apps_alone(world: World, verb: str) -> None:
    """Whoever has not the secret that came with it gets 404, as for one that never was; the yes is not spent."""
    asked = (await world.ask("databases:read", origin=PAGE)).json
    other = (await world.ask(origin=OTHER)).json
    await decide(world, asked, "approve")
    call = {"look": look, "fetch": fetch, "withdraw": withdraw}[verb]
    absent = {**asked, "id": "0123456789abcdef"}

    async with no_effect(world):
        found = {who: said(await call(world, asked, **how)) for who, how in strangers(world, other).items()}
        found["another page with the secret"] = said(await call(world, asked, OTHER))
        found["a program with the secret"] = said(await call(world, asked, None))
        found["an extension with the secret"] = said(await call(world, asked, EXTENSION))
        never = said(await call(world, absent))

    assert {(404, "pairing_not_found", None)} == {*found.values(), never}
    assert 200 == (await fetch(world, asked)).status


async def test_t28_a_secret_in_the_query_or_as_a_password_is_none(world: World) -> None:
    """It goes in the header that no page sends by itself."""
    asked = (await world.ask(origin=PAGE)).json
    at, secret = f"/v1/pairings/{asked['id']}", asked["poll_secret"]
    basic = base64.b64encode(f"x:{secret}".encode()).decode()

    replies = [
        await world.get(f"{at}?poll_secret={secret}&token={secret}", token=None, headers=as_page(PAGE)),
        await world.get(at, token=None, headers={**as_page(PAGE), "Authorization": f"Basic {basic}"}),
        await world.get(at, token=None, headers={**as_page(PAGE), "Authorization": secret}),
    ]

    assert [404] * 3 == [reply.status for reply in replies]


async def test_t28_a_poll_secret_is_no_token(world: World) -> None:
    """Before the yes and after it, it opens nothing but its own pairing."""
    asked = (await world.ask(*["databases:read", "connection:read"])).json
    headers = {"Authorization": f"Bearer {asked['poll_secret']}"}

    before = await world.get("/v1/connection", token=None, headers=headers)
    await decide(world, asked, "approve")
    await fetch(world, asked, None)
    after = await world.get("/v1/connection", token=None, headers=headers)

    assert [(401, "invalid_token")] * 2 == [(before.status, before.code), (after.status, after.code)]


async def test_t28_a_token_is_handed_out_once(world: World) -> None:
    """The second time is 410, and it is the same app that is in."""
    asked = (await world.ask("connection:read", origin=PAGE)).json
    await decide(world, asked, "approve")

    first, second = await fetch(world, asked), await fetch(world, asked)

    assert [200, 410] == [first.status, second.status]
    assert "token_already_delivered" == second.code
    assert "token" not in second.json
    assert [first.json["app_id"]] == [app["id"] for app in (await world.get("/v1/apps")).json["apps"]]


async def test_t28_an_app_that_hangs_up_while_it_fetches_is_let_in_once(world: World) -> None:
    """However often it breaks off and tries again, there is one app, and one token at most."""
    asked = (await world.ask("connection:read")).json
    await decide(world, asked, "approve")
    lines = [
        f"POST /v1/pairings/{asked['id']}/token HTTP/1.1",
        f"Host: localhost:{world.settings.port}",
        f"Authorization: Bearer {asked['poll_secret']}",
        "Content-Length: 0",
    ]

    for _ in range(10):
        _, writer = await asyncio.open_connection("127.0.0.1", world.settings.port)
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await writer.drain()
        writer.transport.abort()
    last = await fetch(world, asked, None)
    await world.daemon.background.drain(5)

    apps = (await world.get("/v1/apps")).json["apps"]
    assert last.status in (200, 410)
    assert 1 == len(apps)


async def test_t28_no_app_decides(world: World) -> None:
    """Neither its own request nor another's, nor what is blocked, with whatever scopes it has."""
    from upstash_helper.broker.identity import SCOPES

    app = await world.pair(*SCOPES, all_databases=True)
    asked = (await world.ask(origin=PAGE)).json
    at = f"/v1/pairings/{asked['id']}"

    async with no_effect(world):
        replies = [
            await world.as_app(app, "POST", f"{at}/approve", {}),
            await world.as_app(app, "POST", f"{at}/deny"),
            await world.as_app(app, "POST", f"{at}/block"),
            await world.as_app(app, "GET", "/v1/pairings"),
            await world.as_app(app, "GET", "/v1/blocks"),
            await world.as_app(app, "DELETE", "/v1/blocks/x"),
            await world.as_app(app, "GET", "/v1/apps"),
            await world.as_app(app, "DELETE", f"/v1/apps/{app.id}"),
            await world.as_app(app, "PATCH", f"/v1/apps/{app.id}", {"name": "Upstash"}),
            await world.as_app(app, "GET", "/v1/audit"),
        ]
        with_secret = await world.call("POST", f"{at}/approve", {}, token=asked["poll_secret"])

    assert {(403, "owner_only")} == {(reply.status, reply.code) for reply in replies}
    assert 401 == with_secret.status


def test_the_two_sides_of_a_pairing_do_not_share_a_door() -> None:
    """What the app calls is for whoever has its secret, what decides is for the owner, and there is nothing else."""
    resource = PairingsResource(pairings=None, approvals=None, peers=None)  # type: ignore[arg-type]  # nothing is called

    by_access = {
        access: {(route.method, route.path) for route in resource.routes() if route.policy.access == access}
        for access in ("pairing", "owner")
    }

    assert {
        ("POST", "/v1/pairings"), ("GET", "/v1/pairings/{pairing_id}"), ("DELETE", "/v1/pairings/{pairing_id}"),
        ("POST", "/v1/pairings/{pairing_id}/token"),
    } == by_access["pairing"]  # fmt: skip
    assert len(resource.routes()) == sum(len(routes) for routes in by_access.values())
