"""The bridge: on behalf of which page a request is handled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.effects import no_effect
from tests.support.until import until_async
from tests.support.world import as_page

if TYPE_CHECKING:
    from tests.support.world import World

PAGE = "https://app.example.com"
OTHER = "https://other.example.com"
ANOTHER_SITE = "https://app.example.org"
HEADER = "Upstash-Helper-On-Behalf-Of"


def over_the_bridge(world: World, origin: str, *, get: bool = False) -> dict[str, str]:
    """Return the headers that a browser and the bridge add to a request."""
    return {**world.as_own_page(get=get), "Sec-Fetch-Mode": "same-origin", HEADER: origin}


async def test_page_can_pair_over_the_bridge(world: World) -> None:
    """The user sees the named page, and its token works for that page with and without the bridge."""
    body = {"name": "Tool", "scopes": ["connection:read"]}
    pairing = await world.call("POST", "/v1/pairings", body, headers=over_the_bridge(world, PAGE), token=None)
    at, secret = f"/v1/pairings/{pairing.json['id']}", pairing.json["poll_secret"]
    [shown] = (await world.get("/v1/pairings")).json["pairings"]
    await world.call("POST", f"{at}/approve", {})
    looked = await world.get(at, token=secret, headers=over_the_bridge(world, PAGE, get=True))
    given = await world.call("POST", f"{at}/token", token=secret, headers=over_the_bridge(world, PAGE))
    token = given.json["token"]

    bridged = await world.get("/v1/token", token=token, headers=over_the_bridge(world, PAGE, get=True))
    itself = await world.get("/v1/token", token=token, headers=as_page(PAGE))
    other = await world.get("/v1/token", token=token, headers=over_the_bridge(world, OTHER, get=True))

    assert ("web", PAGE) == (shown["identity"]["kind"], shown["identity"]["name"])
    assert "approved" == looked.json["state"]
    assert (200, 200) == (bridged.status, itself.status)
    assert (403, "origin_mismatch") == (other.status, other.code)


async def test_other_page_cannot_poll_a_pairing(world: World) -> None:
    """A poll secret only works for its page, over the bridge as well."""
    pairing = await world.ask("connection:read", origin=PAGE)
    at, secret = f"/v1/pairings/{pairing.json['id']}", pairing.json["poll_secret"]

    own = await world.get(at, token=secret, headers=over_the_bridge(world, PAGE, get=True))
    other = await world.get(at, token=secret, headers=over_the_bridge(world, OTHER, get=True))
    ours = await world.get(at, token=secret, headers=world.as_own_page(get=True))

    assert (200, 404, 403) == (own.status, other.status, ours.status)


@pytest.mark.parametrize("origin", [PAGE, OTHER, "http://localhost:5173", "chrome-extension://" + "a" * 32, None])
async def test_header_is_only_accepted_from_own_pages(world: World, origin: str | None) -> None:
    """From any other sender the header is denied, before the user is prompted."""
    headers = {HEADER: "https://bank.example", **({} if origin is None else as_page(origin))}
    body = {"name": "Bank", "scopes": ["databases:read"]}

    async with no_effect(world):
        reply = await world.call("POST", "/v1/pairings", body, headers=headers, token=None)

        assert (403, "on_behalf_not_allowed") == (reply.status, reply.code)
        assert not [name for name in reply.headers if name.lower().startswith("access-control-")]


async def test_header_is_not_allowed_in_preflights(world: World) -> None:
    """Browsers do not let pages send it, because no preflight allows it."""
    await world.pair("databases:read", origin=PAGE)
    requested = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": HEADER.lower()}

    reply = await world.call("OPTIONS", "/v1/pairings", headers={**as_page(PAGE), **requested}, token=None)

    assert HEADER.lower() not in reply.headers["Access-Control-Allow-Headers"].lower()


async def test_dashboard_session_does_not_work_on_behalf_of_a_page(world: World) -> None:
    """The page's own session, which is the owner's, is not valid for forwarded requests."""
    ticket = (await world.call("POST", "/v1/dashboard/tickets")).json["url"].partition("ticket=")[2]
    page = world.as_own_page()
    session = await world.call("POST", "/v1/dashboard/sessions", {"ticket": ticket}, headers=page, token=None)
    token = session.json["token"]

    by_itself = await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True))
    on_behalf = await world.get("/v1/apps", token=token, headers=over_the_bridge(world, PAGE, get=True))

    assert (200, 403) == (by_itself.status, on_behalf.status)


async def test_bridge_is_opened_at_a_fixed_address_that_continues_to_its_own_origin(world: World) -> None:
    """Pages cannot know that origin, which is new at every start. The shared address continues there as well."""
    window = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    hosts = [f"{name}:{world.port}" for name in ("upstash-helper.localhost", "UPSTASH-helper.localhost", "localhost")]

    replies = [await world.get("/bridge", token=None, headers={**window, "Host": host}) for host in hosts]

    assert [(303, f"{world.pages}/bridge")] * 3 == [(reply.status, reply.headers["Location"]) for reply in replies]
    assert [b""] * 3 == [reply.body for reply in replies]


async def test_prompts_say_that_a_request_came_over_the_bridge(world: World) -> None:
    """The pairing says so, and the notification; a request of the page itself does not."""
    body = {"name": "Tool", "scopes": ["connection:read"]}

    await world.call("POST", "/v1/pairings", body, headers=over_the_bridge(world, PAGE), token=None)
    await world.ask("connection:read", origin=ANOTHER_SITE)
    pairings = (await world.get("/v1/pairings")).json["pairings"]
    await until_async(lambda: len(world.desktop.shown) == 2)

    shown = {one["identity"]["name"]: one.get("via_bridge", False) for one in pairings}
    assert {PAGE: True, ANOTHER_SITE: False} == shown
    assert {True, False} == {"bridge window" in body for _, body in world.desktop.shown}


async def test_bridge_page_can_be_opened_but_not_framed(world: World) -> None:
    """Other sites may open it in a window, but not frame it, fetch it, or load it in any other way."""
    site = {"Sec-Fetch-Site": "cross-site"}
    window = {**site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    frame = {**site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    script = {**site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}

    opened = await world.page("/bridge", **window)
    framed = await world.page("/bridge", **frame)
    loaded = await world.page("/bridge", **script)
    fetched = await world.page("/bridge", **as_page(PAGE))

    assert [200, 403, 403, 403] == [reply.status for reply in (opened, framed, loaded, fetched)]
    assert "frame-ancestors 'none'" in opened.headers["Content-Security-Policy"]
    assert "script-src 'self'" in opened.headers["Content-Security-Policy"]
    assert "Cross-Origin-Opener-Policy" not in opened.headers
