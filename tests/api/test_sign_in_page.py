"""The page on which the window of a sign-in ends: who asked, how it is, and what stood in between."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.world import as_page

if TYPE_CHECKING:
    from tests.support.world import World

STUDIO = "https://studio.example.com"
SHOP = "https://shop.example.com"
OURS = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
UPDATE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "serviceworker"}


async def page_of(world: World, attempt_id: str) -> str:
    return (await world.get(f"/?attempt={attempt_id}", token=None)).text


def facts_of(page: str) -> list[str]:
    return re.findall(r"<dd>(.*?)</dd>", page)


async def test_the_page_says_who_asked_the_verified_identity_first(world: World) -> None:
    """
    The user sees the origin that the browser vouches for, and then what that app calls itself.
    """
    app = await world.pair("connection:write", origin=STUDIO, name="Query <Studio>")
    started = (await world.as_app(app, "POST", "/v1/connection", {})).json
    await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])

    page = await page_of(world, started["attempt_id"])

    assert [world.email, f"{STUDIO}<small>calls itself “Query &lt;Studio&gt;”</small>"] == facts_of(page)


async def test_whoever_joins_is_counted_and_may_be_told(world: World) -> None:
    """
    If several apps wait for one sign-in, the page names who began it, and tells each whose window it may be.
    """
    first = await world.pair("connection:write", origin=STUDIO, name="Studio")
    second = await world.pair("connection:write", origin=SHOP, name="Shop")
    program = await world.pair("connection:write", name="deploy")
    started = (await world.as_app(first, "POST", "/v1/connection", {})).json
    for app in (second, program, first, second):
        await world.as_app(app, "POST", "/v1/connection", {})

    page = await page_of(world, started["attempt_id"])

    assert [f"{STUDIO}<small>calls itself “Studio”, and 2 others</small>"] == facts_of(page)
    assert f'data-openers="{STUDIO} {SHOP}"' in page


async def test_the_owner_is_told_that_it_was_themselves(world: World) -> None:
    """
    A sign-in that the user started has no app to name, and no other page that might be told.
    """
    started = await world.start()

    page = await page_of(world, started["attempt_id"])

    assert ["You, with the helper&#x27;s own tools"] == facts_of(page)
    assert 'data-openers=""' in page


async def test_a_failed_sign_in_says_that_the_old_account_is_still_connected(world: World) -> None:
    """
    Whoever tries to reconnect and fails need not fear that something is lost.
    """
    await world.connect()
    started = await world.start(force=True)
    await world.land(await world.sandbox.cancel(started["authorization_url"]))

    page = await page_of(world, started["attempt_id"])

    assert "The account that was connected before still is." in page


async def test_an_app_that_may_only_connect_does_not_learn_who_is_connected(world: World) -> None:
    """
    It can start a sign-in and give it up, and the page of that does not tell whose account there is.
    """
    await world.connect()
    app = await world.pair("connection:write")
    started = (await world.as_app(app, "POST", "/v1/connection", {"force": True})).json
    await world.as_app(app, "DELETE", f"/v1/connection/attempts/{started['attempt_id']}")

    page = await page_of(world, started["attempt_id"])

    assert "The sign-in was canceled" in page
    assert world.email not in page


async def test_the_state_is_one_word(world: World) -> None:
    """
    The page learns when to change, and no more.
    """
    started = await world.start()
    path = f"/attempts/{started['attempt_id']}/state"

    before = await world.get(path, token=None, headers=OURS)
    await world.land(await world.sign_in(started))
    await world.settled(started["attempt_id"])
    after = await world.get(path, token=None, headers=OURS)

    assert ("pending", "succeeded") == (before.text, after.text)
    assert "same-origin" == after.headers["Cross-Origin-Resource-Policy"]
    assert "Access-Control-Allow-Origin" not in after.headers


async def test_the_state_is_for_our_own_page(world: World) -> None:
    """
    Other pages get it from the API, with a token; even one that is let in gets nothing here.
    """
    app = await world.pair("connection:read", "connection:write", origin=STUDIO)
    started = (await world.as_app(app, "POST", "/v1/connection", {})).json
    path = f"/attempts/{started['attempt_id']}/state"

    foreign = await world.get(path, token=None, headers=as_page(STUDIO))
    image = await world.get(path, token=None, headers={"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"})

    assert (403, 403) == (foreign.status, image.status)
    assert "pending" not in foreign.text + image.text


async def test_an_attempt_that_is_not_known_has_no_state(world: World) -> None:
    """
    After a restart of the helper the page learns that its attempt is gone, and says so.
    """
    state = await world.get("/attempts/unknown/state", token=None, headers=OURS)
    page = await world.get("/?attempt=unknown", token=None)

    assert (404, "attempt_not_found") == (state.status, state.code)
    assert 404 == page.status
    assert "This sign-in has ended" in page.text


async def test_a_foreign_service_worker_is_told_to_go(world: World) -> None:
    """
    When a browser looks for a new version of a worker that another app left here, the new version is its last.
    """
    reply = await world.get("/sw.js", token=None, headers=UPDATE)

    assert 200 == reply.status
    assert reply.headers["Content-Type"].startswith("text/javascript")
    assert "registration.unregister()" in reply.text


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/sw.js", {}, 404),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Site": "cross-site"}, 403),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Site": "same-site"}, 403),
        ("/sw.js", {**UPDATE, "Sec-Fetch-Dest": "script"}, 404),
        ("/sw.js", {**UPDATE, "Host": "evil.example"}, 421),
        ("/v1/databases", UPDATE, 401),
    ],
)
async def test_nothing_else_gets_that_script(world: World, path: str, headers: dict[str, str], status: int) -> None:
    """
    What is there keeps its meaning, and what is not stays not found.
    """
    reply = await world.get(path, token=None, headers=headers)

    assert status == reply.status
    assert "unregister" not in reply.text
