"""The result page of a sign-in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.world import PASSWORD, as_page, continued

if TYPE_CHECKING:
    from tests.support.world import Reply, World

STUDIO = "https://studio.example.com"
SHOP = "https://shop.example.com"
OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
UPDATE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "serviceworker"}


async def page_of(world: World, landed: Reply) -> str:
    """Return the page that the browser is redirected to."""
    return (await world.page(continued(landed).removeprefix(world.pages))).text


def state_path(landed: Reply) -> str:
    """Return the path at which the page that the browser is redirected to reads its state."""
    return f"/attempts/{continued(landed).partition('/?attempt=')[2]}/state"


def facts_of(page: str) -> list[str]:
    return re.findall(r"<dd>(.*?)</dd>", page)


async def test_page_shows_the_verified_identity_before_the_claimed_name(world: World) -> None:
    """The origin that the browser vouches for comes first."""
    app = await world.pair("connection:read", "connection:write", origin=STUDIO, name="Query <Studio>")
    started = (await world.as_app(app, "POST", "/v1/connection", {})).json
    landed = await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])

    page = await page_of(world, landed)

    assert [world.email, f"{STUDIO}<small>calls itself “Query &lt;Studio&gt;”</small>"] == facts_of(page)


async def test_page_counts_the_apps_that_joined(world: World) -> None:
    """The page names the app that started the sign-in, and notifies the pages of all of them."""
    first = await world.pair("connection:write", origin=STUDIO, name="Studio")
    second = await world.pair("connection:write", origin=SHOP, name="Shop")
    program = await world.pair("connection:write", name="deploy")
    started = (await world.as_app(first, "POST", "/v1/connection", {})).json
    for app in (second, program, first, second):
        await world.as_app(app, "POST", "/v1/connection", {})

    page = await page_of(world, await world.land(await world.sandbox.cancel(started["authorization_url"])))

    assert [f"{STUDIO}<small>calls itself “Studio”, and 2 others</small>"] == facts_of(page)
    assert f'data-openers="{STUDIO} {SHOP}"' in page


async def test_page_names_the_owner(world: World) -> None:
    """A sign-in that the user started names no app and notifies no page."""
    started = await world.start()

    page = await page_of(world, await world.land(await world.sandbox.cancel(started["authorization_url"])))

    assert ["You, with the helper&#x27;s own tools"] == facts_of(page)
    assert 'data-openers=""' in page


async def test_failed_sign_in_page_says_that_the_old_account_is_still_connected(world: World) -> None:
    """Nothing is lost by a failed reconnect."""
    await world.connect()
    started = await world.start(force=True)

    page = await page_of(world, await world.land(await world.sandbox.cancel(started["authorization_url"])))

    assert "The account that was connected before is still connected." in page


async def test_page_does_not_reveal_the_connected_account(world: World) -> None:
    """An app with connection:write only can start a sign-in, end it, and read this page."""
    app = await world.pair("connection:write")
    started = (await world.as_app(app, "POST", "/v1/connection", {})).json
    await world.sandbox.account(world.email, PASSWORD)
    key = await world.sandbox.api_key(world.email, "console")
    await world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": key})

    page = await page_of(world, await world.land(await world.sandbox.cancel(started["authorization_url"])))

    assert "You canceled the sign-in" in page
    assert "The account that was connected before is still connected." in page
    assert world.email not in page


async def test_state_is_one_word(world: World) -> None:
    """The page learns when to change, and nothing else."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.fault(method="POST", path="/oauth/token", latency=0.3)
    path = state_path(await world.land(address))

    before = await world.page(path, **OURS)
    await world.settled(started["attempt_id"])
    after = await world.page(path, **OURS)

    assert ("exchanging", "succeeded") == (before.text, after.text)
    assert "same-origin" == after.headers["Cross-Origin-Resource-Policy"]
    assert "Access-Control-Allow-Origin" not in after.headers


async def test_state_is_only_for_the_daemons_own_page(world: World) -> None:
    """Other pages use the API with a token."""
    app = await world.pair("connection:read", "connection:write", origin=STUDIO)
    started = (await world.as_app(app, "POST", "/v1/connection", {})).json
    path = state_path(await world.land(await world.sandbox.cancel(started["authorization_url"])))

    foreign = await world.page(path, **as_page(STUDIO))
    image = await world.page(path, **{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"})
    shared = await world.get(path, token=None)

    assert (403, 403, 404) == (foreign.status, image.status, shared.status)
    assert "failed" not in foreign.text + image.text + shared.text


async def test_unknown_attempt_has_no_state(world: World) -> None:
    """After a restart of the helper, the page says that the sign-in has ended."""
    state = await world.page("/attempts/unknown/state", **OURS)
    page = await world.page("/?attempt=unknown")

    assert (404, "attempt_not_found") == (state.status, state.code)
    assert 404 == page.status
    assert "This sign-in has ended" in page.text


@pytest.mark.parametrize("path", ["/sw.js", "/", "/connect.js", "/web/pages/page.js", "/v1/databases"])
async def test_service_worker_of_another_app_is_unregistered(world: World, path: str) -> None:
    """The update that the browser fetches unregisters the worker, whatever path its script had."""
    reply = await world.get(path, token=None, headers=UPDATE)

    assert 200 == reply.status
    assert reply.headers["Content-Type"].startswith("text/javascript")
    assert "registration.unregister()" in reply.text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sw.js", {}, 404),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Site": "cross-site"}, 403),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Site": "same-site"}, 403),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Dest": "script"}, 403),
        ("/sw.js", {**UPDATE, "Host": "evil.example"}, 421),
    ],
)
async def test_unregistering_script_is_only_served_as_a_worker_update(
    world: World, path: str, headers: dict[str, str], status: int
) -> None:
    """Other requests for the path are answered as before."""
    reply = await world.get(path, token=None, headers=headers)

    assert status == reply.status
    assert "unregister" not in reply.text
