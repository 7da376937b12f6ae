"""Dashboard sessions: tickets, session tokens, and their limits."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.stream import follow
from tests.support.world import World, as_page
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS, TICKET_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.stream import Stream
    from tests.support.world import Reply


def ours(world: World) -> dict[str, str]:
    """Return the headers that a browser adds to a POST of the daemon's own page."""
    return world.as_own_page()


def at_host(host: str) -> dict[str, str]:
    """Return the headers that a browser adds to a POST of a page at another address of the daemon."""
    return {
        "Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Dest": "empty",
    }  # fmt: skip


async def ticket(world: World) -> str:
    """Return a new ticket."""
    opened = await world.call("POST", "/v1/dashboard/tickets")
    assert 201 == opened.status
    url: str = opened.json["url"]
    address, _, given = url.partition("#ticket=")
    assert f"{world.pages}/" == address
    return given


async def hand_in(world: World, given: str, headers: dict[str, str] | None = None) -> Reply:
    """Exchange a ticket for a session, by default from the daemon's own page."""
    sent = ours(world) if headers is None else headers
    return await world.call("POST", "/v1/dashboard/sessions", {"ticket": given}, headers=sent, token=None)


async def test_dashboard_page_gets_the_owners_permissions_for_a_ticket(world: World) -> None:
    """With a session token of its own."""
    begun = await hand_in(world, await ticket(world))

    token = begun.json["token"]
    read = await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True))
    changed = await world.call("DELETE", "/v1/connection", token=token, headers=ours(world))

    assert (201, 200, 200) == (begun.status, read.status, changed.status)


async def test_ticket_works_once(world: World) -> None:
    """A link from the browser's history opens nothing."""
    given = await ticket(world)

    first, second = await hand_in(world, given), await hand_in(world, given)

    assert 201 == first.status
    assert (403, "ticket_not_valid") == (second.status, second.code)


async def test_ticket_expires_after_a_minute(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A session lasts as long as it is used."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        late, soon = await ticket(world), ""
        clock.advance(TICKET_SECONDS)
        soon = await ticket(world)

        refused, begun = await hand_in(world, late), await hand_in(world, soon)
        token, headers = begun.json["token"], world.as_own_page(get=True)
        clock.advance(IDLE_SECONDS - 1)
        used = await world.get("/v1/apps", token=token, headers=headers)
        clock.advance(IDLE_SECONDS)
        idle = await world.get("/v1/apps", token=token, headers=headers)

    assert (403, 201, 200, 401) == (refused.status, begun.status, used.status, idle.status)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:5173", "null", None])
async def test_other_pages_and_programs_cannot_use_a_ticket(world: World, origin: str | None) -> None:
    """A failed attempt does not use up the ticket."""
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
async def test_session_token_works_only_in_the_daemons_own_page(world: World, headers: dict[str, str]) -> None:
    """Programs and other pages that obtain it are rejected."""
    token = (await hand_in(world, await ticket(world))).json["token"]

    refused = await world.get("/v1/apps", token=token, headers=headers)

    assert 403 == refused.status


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "upstash-helper.localhost"])
async def test_t57_ticket_and_session_are_worthless_at_other_origins(world: World, name: str) -> None:
    """A page that another program left open there can neither exchange a ticket nor use a session's token."""
    elsewhere, given = at_host(f"{name}:{world.port}"), await ticket(world)
    half = [{**elsewhere, "Origin": world.pages}, {**elsewhere, "Host": ours(world)["Host"]}]

    exchanged = [await hand_in(world, given, sent) for sent in (elsewhere, *half)]
    token = (await hand_in(world, given)).json["token"]
    changed = [await world.call("DELETE", "/v1/connection", token=token, headers=sent) for sent in (elsewhere, *half)]
    del elsewhere["Origin"]
    read = await world.get("/v1/apps", token=token, headers=elsewhere)
    still = await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True))

    assert {403, 404} >= {reply.status for reply in (*exchanged, *changed, read)}
    assert 200 == still.status


async def test_t56_former_name_of_the_pages_is_worth_nothing(world: World) -> None:
    """Another program may have received requests to it. Tickets, the bridge, and redirects have the new one."""
    former, at_former = world.pages, {**ours(world), "Upstash-Helper-On-Behalf-Of": "https://bank.example"}
    given = await ticket(world)
    token = (await hand_in(world, await ticket(world))).json["token"]
    world.daemon.rename_pages()

    refused = [
        await hand_in(world, given, {**at_former, "Origin": former}),
        await world.call("POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]}, headers=at_former),
        await world.get("/v1/apps", token=token, headers={"Host": at_former["Host"], "Sec-Fetch-Site": "same-origin"}),
        await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True)),
    ]
    bridge = await world.get("/bridge", headers={"Host": f"upstash-helper.localhost:{world.port}"}, token=None)
    landed = await world.land("http://localhost/?code=x&state=unknown")
    begun = await hand_in(world, given)

    assert [421, 421, 421, 403] == [reply.status for reply in refused]
    assert former != world.pages
    assert f"{world.pages}/bridge" == bridge.headers["Location"]
    assert world.pages in landed.text
    assert former not in landed.text + landed.headers["Content-Security-Policy"]
    assert 201 == begun.status


async def test_page_can_end_its_session(world: World) -> None:
    """The token stops working."""
    token = (await hand_in(world, await ticket(world))).json["token"]

    ended = await world.call("DELETE", "/v1/dashboard/sessions", token=token, headers=ours(world))
    after = await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True))

    assert (204, 401) == (ended.status, after.status)


async def test_apps_cannot_get_a_ticket(world: World) -> None:
    """No scope allows it."""
    app = await world.pair("upstash:write", "databases:write", "connection:write")

    refused = await world.as_app(app, "POST", "/v1/dashboard/tickets")

    assert (403, "owner_only") == (refused.status, refused.code)


async def test_session_that_is_over_has_no_event_stream(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Whether the page has ended it, sixteen newer ones have displaced it, or it was not used; others go on."""
    clock = FakeClock()
    async with (
        World.running(tmp_path, sandbox, daemon_port, clock=clock) as world,
        contextlib.AsyncExitStack() as stack,
    ):

        async def followed() -> tuple[str, Stream]:
            token = (await hand_in(world, await ticket(world))).json["token"]
            headers = {**world.as_own_page(get=True), "Authorization": f"Bearer {token}"}
            return token, await stack.enter_async_context(follow(world, **headers))

        (token, ended), (_, displaced), (_, idle) = await followed(), await followed(), await followed()
        owner = await stack.enter_async_context(follow(world))
        await world.call("DELETE", "/v1/dashboard/sessions", token=token, headers=ours(world))
        last = [await ended.next()]
        for _ in range(15):
            await hand_in(world, await ticket(world))
        last.append(await displaced.next())
        clock.advance(IDLE_SECONDS)
        last.append(await idle.next())
        await world.start()

        assert ["bye"] * 3 == [event["event"] for event in last]
        assert "pending" == (await owner.until("attempt"))["data"]["state"]
