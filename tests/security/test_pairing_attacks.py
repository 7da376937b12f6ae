"""Attacks on pairing: T05, T09, and T25 to T28."""

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
from upstash_helper.broker.apps.display_text import MAX_NAME, MAX_REASON
from upstash_helper.broker.apps.pairing_limits import LIFETIME
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
OTHER = "https://other.example.org"
EXTENSION = "chrome-extension://" + "a" * 32


@dataclass
class Timed:
    """A daemon with a fake clock."""

    world: World
    clock: FakeClock

    async def ask(self, number: int = 0) -> Reply:
        """Request access as the page of one of many origins."""
        return await self.world.ask(origin=f"https://app-{number}.example")


@pytest.fixture
async def timed(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[Timed]:
    """A daemon without requests, on a fake clock."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield Timed(world, clock)


async def decide(world: World, pairing: dict[str, Any], verb: str, body: Any = None) -> Reply:
    """Decide as the owner."""
    at = f"/v1/pairings/{pairing['id']}/{verb}"
    return await world.call("POST", at, {} if verb == "approve" and body is None else body)


async def poll(world: World, pairing: dict[str, Any], origin: str | None = PAGE, **options: Any) -> Reply:
    """Poll as the app, by default with its own secret."""
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
    """Withdraw the request as the app, by default with its own secret."""
    headers = {} if origin is None else as_page(origin)
    return await world.call(
        "DELETE", f"/v1/pairings/{pairing['id']}", **{"token": pairing["poll_secret"], "headers": headers, **options}
    )


def outcome_of(reply: Reply) -> tuple[int, str, str | None]:
    """Return a response's status, code, and Retry-After."""
    return reply.status, "" if reply.status < 400 else reply.code, reply.headers.get("Retry-After")


# --- T05 --------------------------------------------------------------------------------------------------------------


async def test_t05_unauthenticated_response_links_to_pairing(world: World) -> None:
    """The 401 has a challenge and a link; following it leads to a token."""
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
async def test_t09_unidentifiable_origin_reaches_no_user(world: World, origin: str) -> None:
    """There is no prompt, notification, or entry, and the page cannot read the refusal."""
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
async def test_t09_t16_cross_site_form_cannot_request_access(world: World, headers: dict[str, str]) -> None:
    """Neither with an origin, nor without one, nor without the content type that needs a preflight."""
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
        ("A" * 256, "A" * (MAX_NAME // 2 - 1) + "…" + "A" * (MAX_NAME // 2)),
        ("Z" + "\u0301" * 200, "\u0179\u0301"),
        ('Orders" and shows the code AAAA-AAAA', 'Orders" and shows the code AAAA-AAAA'),
    ],
)
async def test_t25_claimed_name_is_cleaned(world: World, name: str, shown: str) -> None:
    """One line of at most 64 characters, after the verified identity; it is stored the same way."""
    asked = (await world.ask(origin=PAGE, name=name, reason=name * 3)).json
    await world.daemon.background.drain(5)

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    [(title, body)] = world.desktop.shown
    await decide(world, asked, "approve")
    await fetch(world, asked)
    [app] = (await world.get("/v1/apps")).json["apps"]

    assert ["id", "identity", "claimed_name"] == list(pairing)[:3]
    assert (PAGE, shown) == (pairing["identity"]["shown"], pairing["claimed_name"])
    assert len(pairing["reason"]) <= MAX_REASON
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
async def test_t25_request_without_a_visible_name_is_rejected(
    world: World, name: Any, scopes: Any, pointer: str
) -> None:
    """422 with a pointer, and no prompt."""
    async with no_effect(world):
        reply = await world.call(
            "POST", "/v1/pairings", {"name": name, "scopes": scopes}, headers=as_page(PAGE), token=None
        )

    assert (422, "invalid_request") == (reply.status, reply.code)
    assert pointer == reply.json["errors"][0]["pointer"]


async def test_t25_reason_is_truncated(world: World) -> None:
    """1024 characters are accepted, and 200 shown."""
    async with no_effect(world):
        long = await world.ask(origin=PAGE, reason="r" * 1025)
    taken = await world.ask(origin=PAGE, reason="r" * 1024)

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    assert [422, 202] == [long.status, taken.status]
    assert MAX_REASON == len(pairing["reason"])


# --- T26 --------------------------------------------------------------------------------------------------------------


async def test_t26_sixth_request_within_a_minute_is_refused(timed: Timed) -> None:
    """The second to fifth replace the first. The sixth gets 429 with the exact wait."""
    replies = [await timed.ask()]
    for _ in range(4):
        timed.clock.advance(5)
        replies.append(await timed.ask())
    timed.clock.advance(5)
    before = await state(timed.world)
    sixth = await timed.ask()
    timed.clock.advance(34.5)
    early = await timed.ask()
    timed.clock.advance(0.5)
    after = await state(timed.world)
    again = await timed.ask()
    [waiting] = (await timed.world.get("/v1/pairings")).json["pairings"]

    assert [202] * 5 == [reply.status for reply in replies]
    assert (429, "too_many_pairings", "35") == outcome_of(sixth)
    assert (429, "too_many_pairings", "1") == outcome_of(early)
    assert 35 == sixth.json["retry_after"]
    assert (202, again.json["id"]) == (again.status, waiting["id"])
    assert before == after


async def test_t26_retry_after_is_rounded_up(timed: Timed) -> None:
    """A client that waits for the given whole seconds is not refused for a fraction of a second."""
    for _ in range(5):
        await timed.ask()
    timed.clock.advance(0.25)

    assert (429, "too_many_pairings", "60") == outcome_of(await timed.ask())


async def test_t26_at_most_three_requests_are_pending(timed: Timed) -> None:
    """The others learn when the first of the three expires; then one of them succeeds, and nobody who comes later."""
    first = []
    for number in range(3):
        first.append((await timed.ask(number)).status)
        timed.clock.advance(10)
    others = [outcome_of(await timed.ask(number)) for number in range(3, 20)]
    waiting = (await timed.world.get("/v1/pairings")).json["pairings"]
    timed.clock.advance(89)
    early = await timed.ask(20)
    timed.clock.advance(1)
    later = [outcome_of(await timed.ask(number)) for number in (21, 3, 4)]
    await timed.world.daemon.background.drain(5)

    assert [202] * 3 == first
    assert {(429, "too_many_pairings", "90")} == set(others)
    assert 3 == len(waiting)
    assert (429, "too_many_pairings", "1") == outcome_of(early)
    assert [(429, "too_many_pairings", "3"), (202, "", None), (429, "too_many_pairings", "10")] == later
    assert 4 == len(timed.world.desktop.shown)


async def test_t26_concurrent_requests_are_counted(timed: Timed) -> None:
    """Twenty from twenty origins and twenty from one result in three prompts. One of them may have been replaced."""
    many = await asyncio.gather(*(timed.ask(number) for number in range(20)))
    one = await asyncio.gather(*(timed.ask(0) for _ in range(20)))

    waiting = (await timed.world.get("/v1/pairings")).json["pairings"]
    assert [202] * 3 + [429] * 17 == sorted(reply.status for reply in many)
    assert {202, 429} >= {reply.status for reply in one}
    assert 4 >= sum(reply.status == 202 for reply in one)
    assert 3 == len(waiting)


async def test_t26_polling_is_rate_limited(timed: Timed) -> None:
    """An app that polls without pause gets 429, which its page can read."""
    asked = (await timed.world.ask(origin=PAGE)).json

    replies = [await poll(timed.world, asked) for _ in range(80)]

    refused = [reply for reply in replies if reply.status == 429]
    assert 200 == replies[0].status
    assert refused
    assert ("rate_limited", "1", PAGE) == (
        refused[0].code, refused[0].headers["Retry-After"], refused[0].headers["Access-Control-Allow-Origin"]
    )  # fmt: skip


# --- T27 --------------------------------------------------------------------------------------------------------------


async def test_t27_undecided_request_expires(timed: Timed) -> None:
    """After 120 seconds it cannot be approved or denied, gives no token, and is no longer listed."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.advance(LIFETIME - 1)
    before = (await poll(world, asked)).json["state"]
    timed.clock.advance(1)

    states = [(await poll(world, asked)).json["state"]]
    decided = [outcome_of(await decide(world, asked, verb)) for verb in ("approve", "deny", "approve")]
    fetched = outcome_of(await fetch(world, asked))
    states.append((await poll(world, asked)).json["state"])

    assert "pending" == before
    assert ["expired"] * 2 == states
    assert [(410, "pairing_expired", None)] * 3 == decided
    assert (410, "pairing_expired", None) == fetched
    assert [] == (await world.get("/v1/pairings")).json["pairings"]
    assert [] == (await world.get("/v1/apps")).json["apps"]
    assert 202 == (await world.ask(origin=PAGE)).status


async def test_t27_denial_is_final_and_starts_a_cooldown(timed: Timed) -> None:
    """The app is informed. A new request gets 429 with the exact wait, which doubles after a second denial."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    denied = await decide(world, asked, "deny")
    state_then = (await poll(world, asked)).json["state"]
    fetched = outcome_of(await fetch(world, asked))
    changed = outcome_of(await decide(world, asked, "approve"))
    again = outcome_of(await decide(world, asked, "deny"))
    at_once = outcome_of(await world.ask(origin=PAGE))
    timed.clock.advance(59)
    early = outcome_of(await world.ask(origin=PAGE))
    timed.clock.advance(1)
    second = await world.ask(origin=PAGE)
    await decide(world, second.json, "deny")
    doubled = outcome_of(await world.ask(origin=PAGE))

    assert (200, "denied", "denied") == (denied.status, denied.json["state"], state_then)
    assert (403, "pairing_denied", None) == fetched
    assert (409, "pairing_already_decided", None) == changed
    assert (200, "", None) == again
    assert (429, "too_many_pairings", "60") == at_once
    assert (429, "too_many_pairings", "1") == early
    assert 202 == second.status
    assert (429, "too_many_pairings", "120") == doubled


async def test_t27_concurrent_approvals_create_one_app(timed: Timed) -> None:
    """Any number of approvals and fetches at the same time result in one token and one app."""
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


async def test_t27_concurrent_approval_and_denial_result_in_denial(timed: Timed) -> None:
    """A denial wins, whether it came first or withdrew the approval."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json

    replies = await asyncio.gather(*(decide(world, asked, verb) for verb in ("approve", "deny") * 5))

    assert {200, 409} == {reply.status for reply in replies}
    assert "denied" == (await poll(world, asked)).json["state"]
    assert (403, "pairing_denied", None) == outcome_of(await fetch(world, asked))


async def test_t27_approval_expires_if_the_token_is_not_fetched(timed: Timed) -> None:
    """An approval does not stay open."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.advance(100)
    await decide(world, asked, "approve")
    timed.clock.advance(LIFETIME)

    assert "expired" == (await poll(world, asked)).json["state"]
    assert (410, "pairing_expired", None) == outcome_of(await fetch(world, asked))
    assert (410, "pairing_expired", None) == outcome_of(await decide(world, asked, "approve"))
    assert [] == (await world.get("/v1/apps")).json["apps"]


@pytest.mark.parametrize("verb", ["approve", "deny", "block"])
async def test_t27_withdrawn_request_cannot_be_decided(timed: Timed, verb: str) -> None:
    """Withdrawing twice is no error, and does not undo a decision."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    replies = [outcome_of(await withdraw(world, asked)) for _ in range(2)]
    decided = await decide(world, asked, verb)
    fetched = await fetch(world, asked)
    waiting = (await world.get("/v1/pairings")).json["pairings"]

    assert [(204, "", None)] * 2 == replies
    assert (200 if verb == "block" else 410) == decided.status
    assert fetched.status in (403, 410)
    assert [] == waiting
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_t27_withdrawing_does_not_reset_the_cooldown(timed: Timed) -> None:
    """Not across restarts of the app either. Frequent withdrawals cause a cooldown, too."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    await decide(world, asked, "deny")
    await withdraw(world, asked)
    paused = outcome_of(await world.ask(origin=PAGE))
    again = []
    for _ in range(6):
        other = await world.ask(origin=OTHER)
        again.append(other.status)
        if other.status == 202:
            await withdraw(world, other.json, OTHER)

    assert "denied" == (await poll(world, asked)).json["state"]
    assert (429, "too_many_pairings", "60") == paused
    assert [202] * 3 + [429] * 3 == again


@pytest.mark.parametrize("approved", [False, True])
async def test_t27_blocked_app_cannot_request_access(timed: Timed, *, approved: bool) -> None:
    """An unfetched approval is withdrawn, too. No request reaches the user until the block is removed."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    if approved:
        await decide(world, asked, "approve")

    block = (await decide(world, asked, "block")).json
    fetched = outcome_of(await fetch(world, asked))
    timed.clock.advance(86_400)
    async with no_effect(world):
        refused = outcome_of(await world.ask(origin=PAGE))
    others = [(await world.ask(origin=origin)).status for origin in (f"{PAGE}:8443", None)]
    removed = await world.call("DELETE", f"/v1/blocks/{block['id']}")
    timed.clock.advance(LIFETIME)
    allowed = await world.ask(origin=PAGE)

    assert PAGE == block["identity"]["name"]
    assert (403, "pairing_denied", None) == fetched
    assert (403, "app_blocked", None) == refused
    assert [202, 202] == others
    assert [204, 202] == [removed.status, allowed.status]


@pytest.mark.parametrize("scopes", [[], ["databases:delete"], ["databases:read", "databases:delete"]])
async def test_t27_approval_cannot_exceed_the_requested_scopes(world: World, scopes: list[str]) -> None:
    """Such an approval is rejected and decides nothing."""
    asked = (await world.ask("databases:read", origin=PAGE)).json

    reply = await decide(world, asked, "approve", {"scopes": scopes})

    assert (422, "/scopes") == (reply.status, reply.json["errors"][0]["pointer"])
    assert "pending" == (await poll(world, asked)).json["state"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_t27_t52_wall_clock_jumps_do_not_affect_requests(timed: Timed, jump: float) -> None:
    """A request lasts two minutes, and other requests do not displace it."""
    world = timed.world
    asked = (await world.ask(origin=PAGE)).json
    timed.clock.set_wall_clock(jump)
    await world.ask(origin=OTHER)
    timed.clock.advance(LIFETIME - 1)

    before = (await poll(world, asked)).json["state"]
    timed.clock.advance(1)
    after = (await poll(world, asked)).json["state"]

    assert ["pending", "expired"] == [before, after]


async def test_t27_requests_and_decisions_are_kept_across_restarts(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Pending requests keep their remaining time, denials their cooldown, and approvals their app."""
    clock = FakeClock()

    def daemon() -> AbstractAsyncContextManager[World]:
        ledger = SqliteLedger(tmp_path / "ledger.db")
        return World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger)

    async with daemon() as world:
        waiting = (await world.ask(origin=PAGE)).json
        denied = (await world.ask(origin=OTHER)).json
        await decide(world, denied, "deny")
        approved = (await world.ask()).json
        await decide(world, approved, "approve")
    clock.advance(50)
    async with daemon() as world:
        states = [
            (await poll(world, waiting)).json["state"],
            (await poll(world, denied, OTHER)).json["state"],
            (await poll(world, approved, None)).json["state"],
        ]
        again = outcome_of(await world.ask(origin=OTHER))
        fetched = [outcome_of(await fetch(world, approved, None)) for _ in range(2)]
        clock.advance(70)
        over = (await poll(world, waiting)).json["state"]

    assert ["pending", "denied", "approved"] == states
    assert (429, "too_many_pairings", "60") == again
    assert [(200, "", None), (410, "token_already_delivered", None)] == fetched
    assert "expired" == over


# --- T28 --------------------------------------------------------------------------------------------------------------


def foreign_callers(world: World, other: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return call options of callers that must not see a pairing of PAGE."""
    page = as_page(PAGE)
    return {
        "without a secret": {"token": None, "headers": page},
        "with another pairing's secret": {"token": other["poll_secret"], "headers": page},
        "with a made-up secret": {"token": "uhp_" + "A" * 43, "headers": page},
        "with the pairing's id": {"token": other["id"], "headers": page},
        "with an empty secret": {"token": None, "headers": {**page, "Authorization": "Bearer "}},
        "the owner": {"token": world.owner},
    }


@pytest.mark.parametrize("verb", ["poll", "fetch", "withdraw"])
async def test_t28_pairing_is_visible_only_with_its_secret(world: World, verb: str) -> None:
    """Others get 404 as for an unknown pairing, and the approval is not used up."""
    asked = (await world.ask("databases:read", origin=PAGE)).json
    other = (await world.ask(origin=OTHER)).json
    await decide(world, asked, "approve")
    call = {"poll": poll, "fetch": fetch, "withdraw": withdraw}[verb]
    absent = {**asked, "id": "0123456789abcdef"}

    async with no_effect(world):
        found = {who: outcome_of(await call(world, asked, **how)) for who, how in foreign_callers(world, other).items()}
        found["another page with the secret"] = outcome_of(await call(world, asked, OTHER))
        found["a program with the secret"] = outcome_of(await call(world, asked, None))
        found["an extension with the secret"] = outcome_of(await call(world, asked, EXTENSION))
        never = outcome_of(await call(world, absent))

    assert {(404, "pairing_not_found", None)} == {*found.values(), never}
    assert 200 == (await fetch(world, asked)).status


async def test_t28_poll_secret_is_accepted_only_in_the_header(world: World) -> None:
    """Not in the query and not as a password."""
    asked = (await world.ask(origin=PAGE)).json
    at, secret = f"/v1/pairings/{asked['id']}", asked["poll_secret"]
    basic = base64.b64encode(f"x:{secret}".encode()).decode()

    replies = [
        await world.get(f"{at}?poll_secret={secret}&token={secret}", token=None, headers=as_page(PAGE)),
        await world.get(at, token=None, headers={**as_page(PAGE), "Authorization": f"Basic {basic}"}),
        await world.get(at, token=None, headers={**as_page(PAGE), "Authorization": secret}),
    ]

    assert [404] * 3 == [reply.status for reply in replies]


async def test_t28_poll_secret_is_not_a_token(world: World) -> None:
    """Before and after the approval, it gives access only to its pairing."""
    asked = (await world.ask(*["databases:read", "connection:read"])).json
    headers = {"Authorization": f"Bearer {asked['poll_secret']}"}

    before = await world.get("/v1/connection", token=None, headers=headers)
    await decide(world, asked, "approve")
    await fetch(world, asked, None)
    after = await world.get("/v1/connection", token=None, headers=headers)

    assert [(401, "invalid_token")] * 2 == [(before.status, before.code), (after.status, after.code)]


async def test_t28_token_is_delivered_once(world: World) -> None:
    """The second fetch gets 410, and there is still one app."""
    asked = (await world.ask("connection:read", origin=PAGE)).json
    await decide(world, asked, "approve")

    first, second = await fetch(world, asked), await fetch(world, asked)

    assert [200, 410] == [first.status, second.status]
    assert "token_already_delivered" == second.code
    assert "token" not in second.json
    assert [first.json["app_id"]] == [app["id"] for app in (await world.get("/v1/apps")).json["apps"]]


async def test_t28_disconnecting_during_the_fetch_creates_one_app(world: World) -> None:
    """However often the app disconnects and retries, there is one app and at most one token."""
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


async def test_t28_apps_cannot_decide_requests(world: World) -> None:
    """Neither their own nor others', nor blocks, with any scopes."""
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


def test_app_and_owner_routes_of_pairings_are_separate() -> None:
    """Each route is either for the app with its secret or for the owner."""
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
