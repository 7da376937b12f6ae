"""The redirect of the open sign-in, at ``http://127.0.0.1:PORT/callback``: what T31 to T38 ask of a redirect."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.support.world import World, continued, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def token_requests(world: World) -> int:
    """Return how many codes were exchanged since the requests were forgotten."""
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


async def state_of(world: World, started: dict[str, str]) -> str:
    """Return the state of an attempt."""
    return str((await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json["state"])


def callback(world: World, query: str) -> str:
    """Return the redirect URI with a query."""
    return f"http://127.0.0.1:{world.port}/callback?{query}"


@pytest.mark.parametrize("query", ["code=abc", "code=abc&state=", "code=abc&state=unknown", "error=access_denied"])
async def test_t31_t32_redirect_with_an_unknown_state_is_ignored(open_world: World, query: str) -> None:
    """Any page can send a browser here. The pending sign-in continues and succeeds."""
    started = await open_world.start()
    await open_world.sandbox.forget_requests()

    landed = await open_world.land(callback(open_world, query))

    assert 400 == landed.status
    assert 0 == await token_requests(open_world)
    await open_world.land(await open_world.sign_in(started))
    assert "succeeded" == (await open_world.settled(started["attempt_id"]))["state"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 400),
        ("GET", "/callback/", {}, 403),
        ("POST", "/callback", {}, 403),
        ("HEAD", "/callback", {}, 403),
        ("GET", "/callback", {"Sec-Purpose": "prefetch"}, 403),
        ("GET", "/callback", {"Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "/callback", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
    ],
)
async def test_t31_t15_invalid_redirect_requests_do_not_use_up_the_state(
    open_world: World, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Another path (that of the partner sign-in, too), another method, a prefetch, a frame, or an image."""
    started = await open_world.start()
    address = await open_world.sign_in(started)
    await open_world.sandbox.forget_requests()

    reply = await open_world.call(
        method, f"{path}?{urlsplit(address).query}", headers={**NAVIGATION, **headers}, token=None
    )

    assert status == reply.status
    assert "pending" == await state_of(open_world, started)
    assert 0 == await token_requests(open_world)
    await open_world.land(address)
    assert "succeeded" == (await open_world.settled(started["attempt_id"]))["state"]


async def test_t33_repeated_redirects_are_exchanged_once(open_world: World) -> None:
    """Five at once, and another one later, lead to the same page with one exchange."""
    started = await open_world.start()
    address = await open_world.sign_in(started)
    await open_world.sandbox.forget_requests()

    landed = await asyncio.gather(*(open_world.land(address) for _ in range(5)))
    attempt = await open_world.settled(started["attempt_id"])
    again = await open_world.land(address)
    page = await open_world.page(continued(again))

    assert "succeeded" == attempt["state"]
    assert 1 == await token_requests(open_world)
    assert {continued(again)} == {continued(one) for one in landed}
    assert "Your account has been connected" in page.text


@pytest.mark.parametrize("length", [1, 6_000, 60_000])
async def test_t35_denial_ends_the_attempt_however_long_its_description_is(open_world: World, length: int) -> None:
    """And the page never shows text from the address."""
    started = await open_world.start()
    (state,) = parse_qs(urlsplit(started["authorization_url"]).query)["state"]
    issuer = quote(open_world.sandbox.issuer_url, safe="")
    query = f"error=access_denied&error_description={'zebra' * length}&state={state}&iss={issuer}"

    landed = await open_world.land(callback(open_world, query))

    attempt = await open_world.settled(started["attempt_id"])
    page = await open_world.page(continued(landed))
    assert ("failed", "access_denied") == (attempt["state"], attempt["reason"])
    assert "zebra" not in landed.text + page.text
    assert "You canceled the sign-in" in page.text


async def test_t38_result_page_leaks_nothing(open_world: World) -> None:
    """Neither the code nor the state is on a page, in its address, or in an event."""
    started = await open_world.start()
    address = await open_world.sign_in(started)
    query = parse_qs(urlsplit(address).query)
    landed = await open_world.land(address)
    await open_world.settled(started["attempt_id"])
    page = await open_world.page(continued(landed))

    texts = [landed.text, page.text, continued(landed), (await open_world.get("/v1/connection")).text]
    assert not [name for name in ("code", "state") if any(query[name][0] in text for text in texts)]
    assert "no-store" in landed.headers["Cache-Control"]


async def test_truncated_address_is_explained(open_world: World) -> None:
    """In a browser, and when it is pasted: an unquoted ``&`` in a shell cuts it off."""
    started = await open_world.start()
    address = (await open_world.sign_in(started)).partition("&state=")[0].partition("&iss=")[0]
    path = f"/v1/connection/attempts/{started['attempt_id']}/redirect"

    pasted = await open_world.call("POST", path, {"address": address})
    page = await open_world.page(continued(await open_world.land(address)))

    assert 422 == pasted.status
    assert "cut off" in pasted.json["detail"]
    assert "cut off" in page.text
    assert "pending" == await state_of(open_world, started)


async def test_other_port_of_a_forwarded_connection_is_explained(open_world: World) -> None:
    """The user has changed the port in the address bar. The sign-in succeeds, and the page says what happened."""
    started = await open_world.start()
    address = await open_world.sign_in(started)

    landed = await open_world.land(address, Host="127.0.0.1:8080")

    assert 200 == landed.status
    assert "8080" in landed.text
    assert "succeeded" == (await open_world.settled(started["attempt_id"]))["state"]


async def test_callback_port_is_not_needed(tmp_path: Path, sandbox: Sandbox) -> None:
    """With ``port_policy = "on-demand"``, the redirect goes to the API's port; another program may have port 3000."""
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings: dict[str, Any] = {"client_id": None, "port_policy": "on-demand", "api_port": free_port()}
    async with taken, World.running(tmp_path, sandbox, port, **settings) as world:
        started = await world.start()
        listeners = (await world.get("/v1/daemon")).json["listeners"]
        await world.land(await world.sign_in(started))
        attempt = await world.settled(started["attempt_id"])

    assert "succeeded" == attempt["state"]
    assert {"on_demand"} == {one["state"] for one in listeners if one["use"] == "sign_in"}


async def test_conflict_at_localhost_does_not_matter(open_world: World) -> None:
    """The redirect names 127.0.0.1, which no other program can have."""
    open_world.loopback.taken = "Another program has [::1]:3000."

    connection = await open_world.connect()

    assert "connected" == connection["state"]
