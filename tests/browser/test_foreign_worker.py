"""A service worker that another app has left at our address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.person import opened_by_system, sign_up
from tests.support.browser import Site, violations
from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow

REGISTER = """<!doctype html><title>Other app</title><link rel=icon href=data:,><h1>Other app</h1>
<script>window.ready = navigator.serviceWorker.register("/sw.js").then(() => navigator.serviceWorker.ready);</script>
"""
# Answers every page from what it has kept, as workers of single-page apps do.
SWALLOWING = """
const kept = "<!doctype html><link rel=icon href=data:,><h1>Other app, kept</h1>";
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate")
    event.respondWith(new Response(kept, {headers: {"Content-Type": "text/html"}}));
});
"""
# Lets every page through, as workers for notifications do.
PASSING = 'addEventListener("fetch", () => {});'


async def leave_worker(page: Page, port: int, script: str) -> None:
    """Run another app at the daemon's address, look at it once, and stop it."""
    async with Site.serving({"/": REGISTER, "/sw.js": script}, host="localhost", port=port) as other:
        await page.goto(other.origin)
        await page.evaluate("window.ready.then(() => 0)")


async def registrations(page: Page) -> int:
    return int(await page.evaluate("navigator.serviceWorker.getRegistrations().then((left) => left.length)"))


async def test_a_sign_in_that_a_foreign_worker_swallowed_arrives_after_all(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The worker shows its own page in place of the daemon's. The browser then learns from the daemon that the worker is
    no more, the same address comes to the daemon, and the account is connected, without the user doing anything.
    """
    await leave_worker(page, daemon_port, SWALLOWING)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        started = await world.start()
        tab = await context.new_page()
        await tab.goto(started["authorization_url"])
        await sign_up(tab, world.email)

        await expect(tab.get_by_role("heading", level=1)).to_have_text("Other app, kept")
        await expect(tab.get_by_role("heading", level=1)).to_have_text("Your account has been connected")

        assert 0 == await registrations(tab)
        assert "code=" not in tab.url


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_a_foreign_worker_that_lets_pages_through_is_found_removed_and_explained(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The page finds it, takes it out, and tells the user whose it was and what that means; it stays until that is read.
    """
    await leave_worker(page, daemon_port, PASSING)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        started = await world.start()
        tab = await opened_by_system(context, await world.sign_in(started))

        notice = tab.locator(".notice")
        await expect(notice.get_by_role("heading")).to_have_text("Another app was in the way")
        await expect(notice).to_contain_text("(/sw.js)")
        await expect(tab.get_by_role("heading", level=1)).to_have_text("Your account has been connected")
        assert 0 == await registrations(tab)
        await expect(tab.locator(".closing")).to_have_text("You can close this window.")
        assert [] == await violations(tab)


async def test_a_dashboard_that_a_foreign_worker_swallowed_shows_itself_after_all(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The window comes to the daemon, without what the worker may have read in its address: the ticket is not used.
    """
    await leave_worker(page, daemon_port, SWALLOWING)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        ticket = (await world.call("POST", "/v1/dashboard/tickets")).json
        tab = await context.new_page()
        await tab.goto(ticket["url"])

        await expect(tab.get_by_role("heading", level=1)).to_have_text("Other app, kept")
        await expect(tab.get_by_role("heading", level=1)).to_have_text("upstash-helper is running")

        assert 0 == await registrations(tab)
        assert "ticket" not in tab.url
