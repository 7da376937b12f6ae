"""A page of the public internet: the browser asks the user before it may reach this computer (Local Network Access)."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web

from tests.browser.person import sign_up
from tests.support.browser import launch
from tests.support.web_tool import BUTTON, CLIENTS, approve, connect_js, gone, in_state, popup_of, shown_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page, Playwright

    from tests.support.world import World

HOST = "tool.test"


@contextlib.asynccontextmanager
async def public_tool(world: World) -> AsyncIterator[int]:
    """Serve the example web tool over TLS, and return its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    app = web.Application()

    async def module(_request: web.Request) -> web.Response:
        return web.Response(text=connect_js(world), content_type="text/javascript")

    async def index(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(CLIENTS / "web" / "index.html")

    app.router.add_get("/", index)
    app.router.add_get("/connect.js", module)
    app.router.add_static("/", CLIENTS / "web")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def public_page(
    world: World, playwright: Playwright, *, granted: bool, vendor: str | None = None
) -> AsyncIterator[tuple[BrowserContext, Page, str]]:
    """
    Open the tool in a browser that takes its address for one of the internet.

    Args:
        world: The helper.
        playwright: What drives the browser.
        granted: Whether the user lets the page reach this computer.
        vendor: Who the browser says has made it.
    """
    async with public_tool(world) as port:
        browser = await launch(
            playwright,
            f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
            f"--ip-address-space-overrides=127.0.0.1:{port}=public",
        )
        context = await browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(30_000)
        origin = f"https://{HOST}:{port}"
        if granted:
            # What Playwright calls it; the browser's own names are newer.
            await context.grant_permissions(["local-network-access"], origin=origin)
        page = await context.new_page()
        if vendor is not None:
            await page.add_init_script(f"Object.defineProperty(navigator, 'vendor', {{ get: () => '{vendor}' }})")
        await page.goto(origin)
        yield context, page, origin
        await browser.close()


async def test_a_page_that_may_reach_this_computer(world: World, playwright: Playwright) -> None:
    """
    With the user's permission an https page does all that a local one does.
    """
    async with public_page(world, playwright, granted=True) as (context, page, origin):
        await page.locator(BUTTON).click()
        pairing = await approve(world)
        popup = await popup_of(context, page)
        await sign_up(popup, world.email)
        await in_state(page, "connected")
        await gone(popup)

        await page.get_by_role("button", name="New database").click()
        await page.get_by_label("Name").fill("orders")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_text("Created").wait_for()

        assert origin == pairing["identity"]["name"]


async def test_a_page_that_may_not(world: World, playwright: Playwright) -> None:
    """
    Without it, the button says so, and how it is allowed; the helper has heard nothing.
    """
    async with public_page(world, playwright, granted=False) as (_, page, _origin):
        await page.locator(BUTTON).click()
        await in_state(page, "error")
        code = await page.evaluate("document.querySelector('upstash-connect').error.code")
        quietly = await page.evaluate("import('/connect.js').then(({ isHelperRunning }) => isHelperRunning())")

        assert "permission_denied" == code
        assert "does not let this page reach" in await shown_by(page)
        assert quietly is False
        assert [] == (await world.get("/v1/pairings")).json["pairings"]


@pytest.mark.parametrize("granted", [True, False])
async def test_the_bridge_needs_no_permission(world: World, playwright: Playwright, granted: bool) -> None:  # noqa: FBT001 - pytest passes it by its name
    """
    A window that the user sees is no request of a page. The user approves the page there as everywhere.
    """
    async with public_page(world, playwright, granted=granted) as (_, page, origin):
        await page.evaluate("document.querySelector('upstash-connect').setAttribute('bridge', '')")
        await page.locator(BUTTON).click()
        pairing = await approve(world)

        assert origin == pairing["identity"]["name"]


async def test_a_browser_that_lets_no_https_page_through(world: World, playwright: Playwright) -> None:
    """
    Where the browser is one of those (Safari), the click opens the bridge by itself; without a click the error says so.
    """
    async with public_page(world, playwright, granted=False, vendor="Apple Computer, Inc.") as (_, page, origin):
        without = await page.evaluate(
            """import('/connect.js').then(async ({ connectUpstash }) => {
                window.open = () => null;
                const error = await connectUpstash({ name: 'x' }).catch((error) => error);
                return [error.code, error.help];
            })"""
        )
        await page.reload()
        await page.locator(BUTTON).click()
        pairing = await approve(world)

        assert "mixed_content_blocked" == without[0]
        assert "from a button" in without[1]
        assert origin == pairing["identity"]["name"]
