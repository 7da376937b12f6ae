"""The sign-in page of a local agent, in a real browser: it waits for the user's decision without a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import pytest
from playwright.async_api import expect

from tests.support.browser import Site, overflowing_elements, violations
from tests.support.oauth_client import OAuthClient, decide, registered
from tests.support.world import World
from upstash_helper.broker.apps.display_text import MAX_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.browser import Console
    from tests.support.sandbox import Sandbox


async def client_at(world: World, site: Site, *, name: str = "Claude Code") -> OAuthClient:
    """Return a client that listens at ``site``."""
    client = await registered(world, "http://127.0.0.1/callback", name=name)
    client.redirect_uri = f"{site.origin}/callback"
    site.pages["/callback"] = "<!doctype html><html lang='en'><title>Agent</title><h1>Signed in</h1></html>"
    return client


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_page_waits_and_continues_at_the_program(world: World, page: Page) -> None:
    """It is accessible, fits on a phone, and continues as soon as the user has decided."""
    async with Site.serving() as site:
        client = await client_at(world, site)
        await page.set_viewport_size({"width": 320, "height": 640})
        await page.goto(client.address())
        await expect(page.get_by_role("heading", level=1)).to_have_text("“Claude Code” requests access")
        [waiting] = (await world.get("/v1/pairings")).json["pairings"]

        await expect(page.get_by_text(waiting["user_code"])).to_be_visible()
        assert [] == [*await violations(page), *await overflowing_elements(page)]
        await decide(world, "approve")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed in")
        assert re.fullmatch(rf"{re.escape(client.redirect_uri)}\?code=uhc_[^&]+&state=[^&]+&iss=[^&]+", page.url)


async def test_page_works_without_javascript(world: World, browser: Browser) -> None:
    """Also after a denial, which the program gets to know."""
    async with Site.serving() as site:
        client = await client_at(world, site)
        context = await browser.new_context(java_script_enabled=False)
        page = await context.new_page()
        await page.goto(client.address())
        await expect(page.get_by_role("heading", level=1)).to_contain_text("Claude Code")

        await decide(world, "deny")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed in")
        assert "error=access_denied" in page.url
        await context.close()


async def test_button_opens_the_dashboard_and_the_page_continues(
    page: Page, tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The daemon opens the dashboard in the user's browser. After that, the page still waits."""
    async with World.running(tmp_path, sandbox, daemon_port, open_browser=True) as world, Site.serving() as site:
        client = await client_at(world, site)
        await page.goto(client.address())

        await page.get_by_role("button", name="Open the dashboard to decide").click()
        await expect(page.get_by_role("status")).to_have_text("The dashboard is opening in your browser.")
        assert [] == await violations(page)
        await decide(world, "approve")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed in")
        assert 1 == len(world.browser.opened)


WINDOWS: Final = ((1280, 760), (1024, 600), (360, 640), (320, 568))
"""The width and the height of small windows, from a laptop with a browser's bars to a small phone."""
LONGEST: Final = "x" * MAX_NAME


async def test_button_is_in_sight_without_scrolling(
    page: Page, tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Also on a phone, and with the longest name. It is the first thing that the Tab key reaches."""
    async with World.running(tmp_path, sandbox, daemon_port, open_browser=True) as world, Site.serving() as site:
        await page.goto((await client_at(world, site, name=LONGEST)).address())
        button = page.get_by_role("button", name="Open the dashboard to decide")
        for width, height in WINDOWS:
            await page.set_viewport_size({"width": width, "height": height})

            await expect(button).to_be_in_viewport(ratio=1)
            assert [] == await overflowing_elements(page)
        await page.keyboard.press("Tab")

        await expect(button).to_be_focused()
        assert 0 == await page.evaluate("scrollY")


async def test_where_to_decide_is_in_sight_without_a_button(world: World, page: Page) -> None:
    """If the daemon may not open a browser, the page shows first where the user can decide."""
    async with Site.serving() as site:
        await page.goto((await client_at(world, site, name=LONGEST)).address())
        for width, height in WINDOWS[:2]:
            await page.set_viewport_size({"width": width, "height": height})

            await expect(page.get_by_text("approvals list")).to_be_in_viewport(ratio=1)
        await expect(page.get_by_role("button")).to_have_count(0)
        assert [] == await violations(page)


async def test_page_shows_while_the_helper_does_not_respond(world: World, page: Page, console: Console) -> None:
    """Also if another program responds at its address. When the helper is back, the page waits as before."""
    console.expect("Failed to load resource")
    lost = page.get_by_text("The helper is not responding. Is it running?")
    async with Site.serving() as site:
        client = await client_at(world, site)
        for lose in (
            lambda route: route.abort("connectionrefused"),
            lambda route: route.fulfill(body="<!doctype html>"),
        ):
            await page.route("**/decision", lose)
            await page.goto(client.address())
            await expect(lost).to_be_visible()
            assert [] == await violations(page)

            await page.unroute("**/decision")
            await expect(lost).to_have_count(0)
        await decide(world, "approve")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed in")


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
async def test_page_moves_only_if_the_user_wants_motion(
    world: World, page: Page, motion: Literal["reduce", "no-preference"]
) -> None:
    """With reduced motion, the sign does not turn, and looks different."""
    await page.emulate_media(reduced_motion=motion)
    async with Site.serving() as site:
        await page.goto((await client_at(world, site)).address())
        running = await page.evaluate("document.getAnimations().map((it) => it.animationName)")

    assert (["turn"] if motion == "no-preference" else []) == running


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_other_pages_are_accessible_and_fit(world: World, page: Page, console: Console) -> None:
    """Those of a request that has ended, of one that cannot start, and of a program with a scheme of its own."""
    console.expect("404")
    console.expect("400")
    console.expect("a user gesture is required")  # so the page has a button
    await page.set_viewport_size({"width": 320, "height": 640})
    own_scheme = "com.example.agent:/callback"
    client = await registered(world, own_scheme)
    client.redirect_uri = own_scheme
    titles = {
        f"{client.issuer}/oauth/requests/none": "This sign-in has ended",
        f"{client.issuer}/oauth/authorize?client_id=none": "Unknown program",
    }
    for url, title in titles.items():
        await page.goto(url)

        await expect(page.get_by_role("heading", level=1)).to_have_text(title)
        assert [] == [*await violations(page), *await overflowing_elements(page)]

    await page.goto(client.address())
    await decide(world, "approve")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Access allowed")
    assert [] == [*await violations(page), *await overflowing_elements(page)]
