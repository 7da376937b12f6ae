"""T63: a flood of access requests keeps no honest app from the user for longer than one request lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.peers import UnknownPeers
from tests.support.world import Reply, World, as_page
from upstash_helper.broker.apps.pairing_limits import LIFETIME
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox

HONEST = "https://app.example.com"

FLOODS: dict[str, Callable[[int], str]] = {
    "one site": lambda number: f"https://a{number}.attacker.example",
    "loopback": lambda number: f"http://localhost:{10_000 + number}",
    "many sites": lambda number: f"https://attacker-{number}.example",
    "hosted sites": lambda number: f"https://attacker-{number}.github.io",
}


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="peers")
def _peers() -> UnknownPeers:
    return UnknownPeers()


@pytest.fixture(name="world")
async def _world(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock, peers: UnknownPeers
) -> AsyncIterator[World]:
    ledger = SqliteLedger(None)
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, ledger=ledger, peers=peers) as world:
        yield world


async def ask_and_withdraw(world: World, origin: str) -> Reply:
    reply = await world.ask(origin=origin)
    if reply.status == 202:
        at = f"/v1/pairings/{reply.json['id']}"
        await world.call("DELETE", at, headers=as_page(origin), token=reply.json["poll_secret"])
    return reply


async def shown_after(world: World, clock: FakeClock, origin: str, flood: Any, *, limit: float) -> float:
    """
    Request access as an app does that waits as long as it is told, while the flood is always faster. Return the seconds
    until the request is shown.
    """
    began = clock.monotonic()
    while (reply := await world.ask(origin=origin)).status != 202:
        assert clock.monotonic() - began <= limit, reply.text
        clock.advance(float(reply.headers["Retry-After"]))
        await flood()
    return clock.monotonic() - began


@pytest.mark.parametrize(
    ("flood", "withdraws"), [("one site", True), ("loopback", True), ("hosted sites", True), ("many sites", False)]
)
async def test_t63_newcomer_gets_a_place_within_one_expiry(
    world: World, clock: FakeClock, flood: str, *, withdraws: bool
) -> None:
    """While 300 origins request access all the time, whether they withdraw their requests or not."""

    async def attack() -> None:
        for number in range(300):
            if withdraws:
                await ask_and_withdraw(world, FLOODS[flood](number))
            else:
                await world.ask(origin=FLOODS[flood](number))
            clock.advance(0.001)

    for _ in range(2):
        await attack()
        clock.advance(20)

    waited = await shown_after(world, clock, HONEST, attack, limit=LIFETIME)

    assert waited <= LIFETIME


async def test_t63_newcomer_is_not_overtaken_by_those_who_come_later(world: World, clock: FakeClock) -> None:
    """A place that has become free is kept for a moment for those that were told when to come back."""
    number = 0

    async def attack() -> None:
        nonlocal number
        for _ in range(20):
            number += 1
            await ask_and_withdraw(world, f"https://attacker-{number}.example")

    await attack()
    clock.advance(60)
    await attack()

    assert await shown_after(world, clock, HONEST, attack, limit=LIFETIME) <= LIFETIME


@pytest.mark.parametrize("flood", ["one site", "loopback"])
async def test_t63_site_has_one_place(world: World, clock: FakeClock, flood: str) -> None:
    """The other places stay free, so two other sites are shown immediately."""
    statuses = [(await world.ask(origin=FLOODS[flood](number))).status for number in range(30)]
    others = [(await world.ask(origin=origin)).status for origin in (HONEST, "https://other.example")]

    assert [202] + [429] * 29 == statuses
    assert [202, 202] == others


async def test_t63_refused_page_is_told_about_its_site_and_not_about_the_other_request(world: World) -> None:
    """The ID of the pending request is for the app that made it."""
    await world.ask(origin="https://a.example.com")

    refused = await world.ask(origin="https://b.example.com")

    assert (429, "too_many_pairings") == (refused.status, refused.code)
    assert "links" not in refused.json
    assert "Another request from this site" in refused.json["detail"]


async def test_t63_withdrawing_or_denying_makes_no_room(world: World, clock: FakeClock) -> None:
    """Four sites cause three prompts within two minutes, whatever becomes of them. An approval makes room."""
    sites = [f"https://site-{number}.example" for number in range(5)]
    await ask_and_withdraw(world, sites[0])
    denied = (await world.ask(origin=sites[1])).json
    await world.call("POST", f"/v1/pairings/{denied['id']}/deny")
    approved = (await world.ask(origin=sites[2])).json

    full = await world.ask(origin=sites[3])
    await world.call("POST", f"/v1/pairings/{approved['id']}/approve", {})
    free = await world.ask(origin=sites[3])

    assert (429, "120") == (full.status, full.headers["Retry-After"])
    assert 202 == free.status


async def test_t63_page_that_was_reloaded_keeps_its_place(world: World) -> None:
    """It withdraws its request and asks again at once. A page that does so again and again has to wait."""
    statuses = [(await ask_and_withdraw(world, HONEST)).status for _ in range(5)]

    assert [202] * 3 + [429] * 2 == statuses


async def test_t63_app_with_access_is_always_shown(world: World, clock: FakeClock) -> None:
    """It needs no place, and requests of other pages of its site do not count against it."""
    origin = "http://localhost:5173"
    await world.pair(origin=origin)
    for number in range(6):
        reply = await world.ask(origin=f"http://localhost:{4000 + number}")
        if reply.status == 202:
            await world.call("POST", f"/v1/pairings/{reply.json['id']}/deny")
        clock.advance(300)
    for number in range(5):
        await world.ask(origin=f"https://site-{number}.example")

    stranger = await world.ask(origin="http://localhost:4999")
    again = await world.ask(origin=origin)

    assert [429, 202] == [stranger.status, again.status]


async def test_t63_pages_and_programs_have_separate_places(world: World) -> None:
    """Pages cannot keep programs from the user, nor programs pages."""
    pages = [(await world.ask(origin=f"https://site-{number}.example")).status for number in range(4)]
    program = await world.ask()

    assert [202, 202, 202, 429] == pages
    assert 202 == program.status


async def test_t63_refused_page_is_not_looked_up(world: World, peers: UnknownPeers) -> None:
    """Looking up its program would take 10 ms and more. Those that are shown are looked up."""
    for number in range(20):
        await world.ask(origin=f"https://a{number}.attacker.example")

    assert 1 == peers.lookups


async def test_t63_programs_are_not_looked_up_without_limit(world: World, peers: UnknownPeers) -> None:
    """A program is not known before it was looked up, so all programs together have a limit."""
    replies = [await world.ask() for _ in range(50)]

    assert peers.lookups <= 20
    assert {202, 409, 429} == {reply.status for reply in replies}


async def test_t63_others_cannot_use_up_the_polls_of_a_pending_program(world: World) -> None:
    """A program that polls with its secret has an allowance of its own."""
    asked = (await world.ask()).json
    at = f"/v1/pairings/{asked['id']}"

    strangers = [(await world.get(at, token="uhp_made-up")).status for _ in range(80)]
    own = await world.get(at, token=asked["poll_secret"])

    assert 429 == strangers[-1]
    assert 200 == own.status


async def test_t63_origins_of_a_site_share_its_requests(world: World) -> None:
    """300 requests per minute and bursts of 60 are for the site, and other sites are not affected."""
    statuses = [
        (await world.get("/v1/pairings/0", token=None, headers=as_page(FLOODS["one site"](number)))).status
        for number in range(80)
    ]
    other = await world.get("/v1/pairings/0", token=None, headers=as_page(HONEST))

    assert [404] * 60 == statuses[:60]
    assert 429 == statuses[-1]
    assert 404 == other.status
