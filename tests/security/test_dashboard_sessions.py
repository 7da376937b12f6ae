"""The owner in a page of the daemon's own: tickets, sessions, and what neither may be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.world import World, as_page
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS, TICKET_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import Reply


def ours(world: World, name: str = "localhost") -> dict[str, str]:
    """Return what a browser adds to a POST of our own page."""
    return {"Origin": f"http://{name}:{world.settings.port}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


async def ticket(world: World) -> str:
    """Return a fresh ticket."""
    opened = await world.call("POST", "/v1/dashboard/tickets")
    assert 201 == opened.status
    url: str = opened.json["url"]
    address, _, given = url.partition("#ticket=")
    assert f"http://localhost:{world.settings.port}/" == address
    return given


async def hand_in(world: World, given: str, headers: dict[str, str] | None = None) -> Reply:
    """Hand in a ticket, by default as our own page."""
    sent = ours(world) if headers is None else headers
    return await world.call("POST", "/v1/dashboard/sessions", {"ticket": given}, headers=sent, token=None)


async def test_a_page_of_ours_gets_the_owners_rights_for_a_ticket(world: World) -> None:
    """The dashboard reads and changes what the owner may, with a token of its own."""
    begun = await hand_in(world, await ticket(world))

    token = begun.json["token"]
    read = await world.get("/v1/apps", token=token, headers={"Sec-Fetch-Site": "same-origin"})
    changed = await world.call("DELETE", "/v1/connection", token=token, headers=ours(world))

    assert (201, 200, 200) == (begun.status, read.status, changed.status)


async def test_a_ticket_is_good_once(world: World) -> None:
    """An address that somebody finds in the history of the browser opens nothing."""
    given = await ticket(world)

    first, second = await hand_in(world, given), await hand_in(world, given)

    assert 201 == first.status
    assert (403, "ticket_not_valid") == (second.status, second.code)


async def test_a_ticket_is_good_for_a_minute(tmp_path: Path, far_side: Sandbox, daemon_port: int) -> None:
    """And a session for as long as it is used."""
    clock = FakeClock()
    async with World.running(tmp_path, far_side, daemon_port, clock=clock) as world:
        late, soon = await ticket(world), ""
        clock.advance(TICKET_SECONDS)
        soon = await ticket(world)

        refused, begun = await hand_in(world, late), await hand_in(world, soon)
        token, headers = begun.json["token"], {"Sec-Fetch-Site": "same-origin"}
        clock.advance(IDLE_SECONDS - 1)
        used = await world.get("/v1/apps", token=token, headers=headers)
        clock.advance(IDLE_SECONDS)
        idle = await world.get("/v1/apps", token=token, headers=headers)

    assert (403, 201, 200, 401) == (refused.status, begun.status, used.status, idle.status)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:5173", "null", None])
async def test_no_other_page_and_no_program_hands_in_a_ticket(world: World, origin: str | None) -> None:
    """And the ticket is not spent by the attempt."""
    given = await ticket(world)

    refused = await hand_in(world, given, {} if origin is None else as_page(origin))
    begun = await hand_in(world, given)

    assert 403 == refused.status
    assert 201 == begun.status


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Sec-Fetch-Site": "none"}, as_page("https://evil.example"), as_page("http://localhost:5173"),
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
    ],
)  # fmt: skip
async def test_a_sessions_token_is_good_in_our_own_page_alone(world: World, headers: dict[str, str]) -> None:
    """A program or another page that got hold of it gets nothing."""
    token = (await hand_in(world, await ticket(world))).json["token"]

    refused = await world.get("/v1/apps", token=token, headers=headers)

    assert 403 == refused.status


async def test_a_sessions_token_is_bound_to_one_of_our_names(world: World) -> None:
    """``127.0.0.1`` is another origin than ``localhost``."""
    token = (await hand_in(world, await ticket(world))).json["token"]

    refused = await world.call("DELETE", "/v1/connection", token=token, headers=ours(world, "127.0.0.1"))

    assert (403, "origin_mismatch") == (refused.status, refused.code)


async def test_a_session_ends_when_its_page_says_so(world: World) -> None:
    """Whoever closes the dashboard leaves nothing open."""
    token = (await hand_in(world, await ticket(world))).json["token"]

    ended = await world.call("DELETE", "/v1/dashboard/sessions", token=token, headers=ours(world))
    after = await world.get("/v1/apps", token=token, headers={"Sec-Fetch-Site": "same-origin"})

    assert (204, 401) == (ended.status, after.status)


async def test_apps_get_no_ticket(world: World) -> None:
    """No scope lets an app into the dashboard."""
    app = await world.pair("upstash:write", "databases:write", "connection:write")

    refused = await world.as_app(app, "POST", "/v1/dashboard/tickets")

    assert (403, "owner_only") == (refused.status, refused.code)
