"""Local Network Access: the browser asks the user before a public page may reach this computer."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web

from tests.browser.sign_in import sign_up
from tests.support.browser import launch
from tests.support.web_tool import (
    BUTTON,
    CLIENTS,
    approve,
    button_text,
    connect_js,
    connect_module,
    popup_of,
    wait_for_state,
    wait_until_closed,
    with_ports,
)
from tests.support.world import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page, Playwright

    from tests.support.world import World

HOST = "tool.test"


@contextlib.asynccontextmanager
async def public_tool(script: str) -> AsyncIterator[int]:
    """Serve the example web tool over TLS with ``script`` as its connect.js, and yield its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(HOST).configure_cert(context)
    app = web.Application()

    async def module(_request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

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
    world: World, playwright: Playwright, *, granted: bool, vendor: str | None = None, script: str | None = None
) -> AsyncIterator[tuple[BrowserContext, Page, str]]:
    """
    Open the tool in a browser that treats its address as public.

    Args:
        world: The helper.
        playwright: The Playwright driver.
        granted: Whether the user allowed the page to reach this computer.
        vendor: The vendor that the browser reports.
        script: Its connect.js; by default one that looks at the port of ``world``.
    """
    async with public_tool(script or connect_js(world)) as port:
        browser = await launch(
            playwright,
            f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
            f"--ip-address-space-overrides=127.0.0.1:{port}=public",
        )
        context = await browser.new_context(ignore_https_errors=True)
        context.set_default_timeout(30_000)
        origin = f"https://{HOST}:{port}"
        if granted:
            # Playwright's name for it; the browser's own names are newer.
            await context.grant_permissions(["local-network-access"], origin=origin)
        page = await context.new_page()
        if vendor is not None:
            await page.add_init_script(f"Object.defineProperty(navigator, 'vendor', {{ get: () => '{vendor}' }})")
        await page.goto(origin)
        yield context, page, origin
        await browser.close()


async def test_page_with_permission_connects(world: World, playwright: Playwright) -> None:
    """
    With the user's permission, an https page works like a local one.
    """
    async with public_page(world, playwright, granted=True) as (context, page, origin):
        await page.locator(BUTTON).click()
        pairing = await approve(world)
        popup = await popup_of(context, page)
        await sign_up(popup, world.email)
        await wait_for_state(page, "connected")
        await wait_until_closed(popup)

        await page.get_by_role("button", name="New database").click()
        await page.get_by_label("Name").fill("orders")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_text("Created").wait_for()

        assert origin == pairing["identity"]["name"]


async def test_page_without_permission_shows_how_to_allow_it(world: World, playwright: Playwright) -> None:
    """
    Without permission, the button shows how to allow access, and the helper receives no request.
    """
    async with public_page(world, playwright, granted=False) as (_, page, _origin):
        await page.locator(BUTTON).click()
        await wait_for_state(page, "error")
        code = await page.evaluate("document.querySelector('upstash-connect').error.code")
        running = await page.evaluate("import('/connect.js').then(({ isHelperRunning }) => isHelperRunning())")

        assert "permission_denied" == code
        assert "does not allow this page to reach" in await button_text(page)
        assert running is False
        assert [] == (await world.get("/v1/pairings")).json["pairings"]


# Simulates the permission prompt and its outcome, and records the requests with whether the prompt was over.
PERMISSION_PROMPT = """(outcome) => {
    window.requested = [];
    let isOver = false;
    setTimeout(() => { isOver = true; }, 1500);
    navigator.permissions.query = async () => ({ state: outcome === 'dismissed' || !isOver ? 'prompt' : outcome });
    const send = window.fetch;
    window.fetch = async (url, init) => {
        window.requested.push([new URL(url).port, isOver]);
        // As in a browser, requests are held while the prompt is open.
        while (!isOver) await new Promise((resolve) => setTimeout(resolve, 20));
        if (outcome !== 'granted') throw new TypeError('Failed to fetch');
        return send(url, init);
    };
}"""


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("granted", None), ("denied", "permission_denied"), ("dismissed", "helper_not_running")],
)
async def test_permission_is_requested_once_for_all_addresses(
    world: World,
    playwright: Playwright,
    outcome: str,
    code: str | None,
) -> None:
    """
    While the prompt is open, only one request is sent; the others follow after it was granted. A user who dismisses the
    prompt is not asked again for the next address.
    """
    unused = free_port()
    script = with_ports(connect_module(), unused, free_port(), world.port)
    async with public_page(world, playwright, granted=True, script=script) as (_, page, _origin):
        await page.evaluate(PERMISSION_PROMPT, outcome)
        running = await page.evaluate(
            "import('/connect.js').then(({ isHelperRunning }) => isHelperRunning({timeout: 9e3}))"
        )
        requested = await page.evaluate("window.requested")
        failed = await page.evaluate(
            """import('/connect.js').then(async ({ connectUpstash }) => {
                const error = await connectUpstash({ name: 'x', signal: AbortSignal.timeout(9000) }).catch((e) => e);
                return error.code;
            })"""
        ) if code else None  # fmt: skip

    assert running is (outcome == "granted")
    assert code == failed
    assert [str(unused)] == [port for port, was_over in requested if not was_over]
    assert (str(world.port) in [port for port, _ in requested]) is (outcome != "dismissed")


@pytest.mark.parametrize("granted", [True, False])
async def test_bridge_needs_no_permission(world: World, playwright: Playwright, granted: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    """
    Opening a window is not restricted by Local Network Access. The user approves the page as usual.
    """
    async with public_page(world, playwright, granted=granted) as (_, page, origin):
        await page.evaluate("document.querySelector('upstash-connect').setAttribute('bridge', '')")
        await page.locator(BUTTON).click()
        pairing = await approve(world)

        assert origin == pairing["identity"]["name"]


async def test_safari_uses_the_bridge(world: World, playwright: Playwright) -> None:
    """
    In Safari, which blocks http from https pages, a click opens the bridge; without a click there is an error.
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
