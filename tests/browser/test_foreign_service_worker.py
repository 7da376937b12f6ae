"""A service worker that another app has left at the helper's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import open_from_system, sign_up
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
# Answers every navigation from its cache, as workers of single-page apps do.
CACHING = """
const cached = "<!doctype html><link rel=icon href=data:,><h1>Other app, cached</h1>";
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.mode === "navigate")
    event.respondWith(new Response(cached, {headers: {"Content-Type": "text/html"}}));
});
"""
# Lets every request through, as workers for notifications do.
PASS_THROUGH = 'addEventListener("fetch", () => {});'


async def leave_worker(page: Page, port: int, script: str) -> None:
    """Run another app at the daemon's address, load its page once, and stop it."""
    async with Site.serving({"/": REGISTER, "/sw.js": script}, host="localhost", port=port) as other:
        await page.goto(other.origin)
        await page.evaluate("window.ready.then(() => 0)")


async def registrations(page: Page) -> int:
    return int(await page.evaluate("navigator.serviceWorker.getRegistrations().then((workers) => workers.length)"))


async def test_sign_in_succeeds_despite_a_caching_worker(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The worker first answers the redirect with its own page. The browser then updates the worker from the daemon, which
    removes it and loads the same address again, so that the account is connected without any action of the user.
    """
    await leave_worker(page, daemon_port, CACHING)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        started = await world.start()
        tab = await context.new_page()
        await tab.goto(started["authorization_url"])
        await sign_up(tab, world.email)

        await expect(tab.get_by_role("heading", level=1)).to_have_text("Other app, cached")
        await expect(tab.get_by_role("heading", level=1)).to_have_text("Your account has been connected")

        assert 0 == await registrations(tab)
        assert "code=" not in tab.url


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_pass_through_worker_is_removed_and_explained(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The result page removes the worker, names its script, and stays open so that the user can read it.
    """
    await leave_worker(page, daemon_port, PASS_THROUGH)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        started = await world.start()
        tab = await open_from_system(context, await world.sign_in(started))

        notice = tab.locator(".notice")
        await expect(notice.get_by_role("heading")).to_have_text("Another app was in the way")
        await expect(notice).to_contain_text("(/sw.js)")
        await expect(tab.get_by_role("heading", level=1)).to_have_text("Your account has been connected")
        assert 0 == await registrations(tab)
        await expect(tab.locator(".closing")).to_have_text("You can close this window.")
        assert [] == await violations(tab)


async def test_dashboard_loads_despite_a_caching_worker(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """
    The worker is at another origin than the dashboard. It answers only the shared address, until the helper removes it.
    """
    await leave_worker(page, daemon_port, CACHING)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        ticket = (await world.call("POST", "/v1/dashboard/tickets")).json
        tab = await context.new_page()
        heading = tab.get_by_role("heading", level=1)
        await tab.goto(ticket["url"])
        await expect(heading).to_have_text("Overview")
        at = tab.url
        await tab.goto(f"http://localhost:{daemon_port}/")
        await expect(heading).to_have_text("Other app, cached")
        await expect(heading).to_have_text("Overview")

        assert 0 == await registrations(page)
        assert f"{world.pages}/" == at
