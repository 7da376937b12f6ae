"""The sign-in page of a local agent, in a real browser: it waits for the user's decision without a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from playwright.async_api import expect

from tests.support.browser import Site, overflowing_elements, violations
from tests.support.oauth_client import OAuthClient, decide, registered
from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.browser import Console
    from tests.support.sandbox import Sandbox


def address(client: OAuthClient) -> str:
    """Return the address that a program opens in the browser."""
    parameters = {
        "response_type": "code", "client_id": client.id, "redirect_uri": client.redirect_uri, "state": client.state,
        "code_challenge": client.challenge, "code_challenge_method": "S256", "resource": client.resource,
    }  # fmt: skip
    return f"{client.issuer}/oauth/authorize?{urlencode(parameters)}"


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
        await page.goto(address(client))
        await expect(page.get_by_role("heading", level=1)).to_have_text("Allow “Claude Code” in upstash-helper")
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
        await page.goto(address(client))
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
        await page.goto(address(client))

        await page.get_by_role("button", name="Open the dashboard to decide").click()
        await expect(page.get_by_role("status")).to_have_text("The dashboard is opening in your browser.")
        assert [] == await violations(page)
        await decide(world, "approve")

        await expect(page.get_by_role("heading", level=1)).to_have_text("Signed in")
        assert 1 == len(world.browser.opened)


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

    await page.goto(address(client))
    await decide(world, "approve")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Access allowed")
    assert [] == [*await violations(page), *await overflowing_elements(page)]
