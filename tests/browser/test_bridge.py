"""The bridge: a window of the helper that relays requests of pages that cannot reach http://localhost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import sign_up
from tests.support.browser import Console, Site, overflowing_elements, violations
from tests.support.web_tool import (
    BUTTON,
    approve,
    click_and_close,
    connect_js,
    pending_request,
    popup_of,
    wait_until_closed,
)

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

TOOL = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
<script type="module" src="/connect.js"></script>
<upstash-connect name="Tool" scopes="databases:read databases:write" bridge></upstash-connect>"""

# Opens the bridge and connects to it as connect.js does, but keeps the port for arbitrary messages.
OPEN_BRIDGE = """async (url) => {
    const popup = window.open(`${url}/bridge`, '_blank', 'popup');
    window.bridge = await new Promise((resolve) => {
        const offer = setInterval(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => { clearInterval(offer); resolve(port1); };
            try { popup.postMessage({ upstashHelper: 'bridge' }, url, [port2]); } catch {}
        }, 100);
    });
}"""
SEND = """(message) => new Promise((resolve) => {
    window.bridge.onmessage = ({ data }) => { if (data.id === message.id) resolve(data.head?.status ?? 'dropped'); };
    window.bridge.postMessage(message);
    setTimeout(() => resolve('no response'), 1500);
})"""


async def test_all_requests_go_over_the_bridge(world: World, context: BrowserContext, page: Page) -> None:
    """
    Pairing, sign-in, databases, and events work over the bridge with the page's own origin as the identity.
    """
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        requested = []
        page.on("request", lambda request: requested.append(request.url))

        await page.locator(BUTTON).click()
        pairing = await approve(world)
        bridge = await popup_of(context, page)
        async with context.expect_page() as opened:
            await bridge.get_by_role("link", name="Sign in to Upstash").click()
        await sign_up(await opened.value, world.email)
        await page.locator("upstash-connect[state=connected]").wait_for()
        created = await page.evaluate(
            """async () => {
                const { client } = document.querySelector('upstash-connect');
                const change = new Promise((resolve) => client.events(({ type, data }) => {
                    if (type === 'database') resolve(data.change);
                }));
                const { name } = await client.databases.create({ name: 'orders', primary_region: 'us-east-1' });
                return [name, await change, (await client.databases.list()).length];
            }"""
        )

        assert ("web", site.origin) == (pairing["identity"]["kind"], pairing["identity"]["name"])
        assert ["orders", "created", 1] == created
        assert [] == [url for url in requested if str(world.settings.port) in url]
        assert site.origin in await bridge.locator("#origin").inner_text()


async def test_stop_button_ends_the_bridge(world: World, context: BrowserContext, page: Page) -> None:
    """
    The user can end the bridge in its window, and the page shows the error.
    """
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await pending_request(world)
        bridge = await popup_of(context, page)

        await click_and_close(bridge.get_by_role("button", name="Stop"))
        await page.locator("upstash-connect[state=error]").wait_for()

        assert "bridge_closed" == await page.evaluate("document.querySelector('upstash-connect').error.code")


async def test_bridge_window_closes_when_its_page_closes(
    world: World, context: BrowserContext, page: Page, pages_origin: str
) -> None:
    """
    The bridge of a page that was closed is of no use, so its window closes.
    """
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(OPEN_BRIDGE, pages_origin)
        bridge = await popup_of(context, page)

        serving = await bridge.locator("#origin").inner_text()
        await page.close()
        await wait_until_closed(bridge)

        assert site.origin in serving
        assert [] == context.pages


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_bridge_shows_whom_it_serves(
    world: World, context: BrowserContext, page: Page, pages_origin: str
) -> None:
    """
    The bridge shows the origin that it serves. Opened without a page, it shows that there is nothing to do.
    """
    await page.goto(f"{pages_origin}/bridge")
    alone = await page.locator("#title").inner_text()
    found_alone = await violations(page)
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(OPEN_BRIDGE, pages_origin)
        bridge = await popup_of(context, page)
        await bridge.set_viewport_size({"width": 320, "height": 480})

        assert "Nothing to do here" == alone
        assert "Relaying requests for" == await bridge.locator("#title").inner_text()
        assert [] == [*found_alone, *await violations(bridge), *await overflowing_elements(bridge)]


async def test_earlier_connect_js_is_explained(context: BrowserContext, page: Page, home_page: str) -> None:
    """An earlier copy opens the shared address, and offers a channel only to that: the bridge is no longer there."""
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate("(url) => { window.open(`${url}/bridge`, '_blank', 'popup'); }", home_page)
        bridge = await popup_of(context, page)

        await expect(bridge.locator("#title")).to_have_text("The page does not answer")

        assert f"{home_page}/connect.js" in await bridge.locator("#text").inner_text()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"path": "/health"}, "dropped"),
        ({"path": "/v1/../bridge"}, "dropped"),
        ({"path": "//evil.example/v1/token"}, "dropped"),
        ({"path": "http://evil.example/v1/token"}, "dropped"),
        ({"path": "/v1/token", "method": "TRACE"}, "dropped"),
        ({"path": "/v1/token", "headers": [["upstash-helper-on-behalf-of", "https://bank.example"]]}, "dropped"),
        ({"path": "/v1/token", "headers": [["origin", "https://bank.example"]]}, "dropped"),
        ({"path": "/v1/token", "headers": "authorization: x"}, "dropped"),
        ({"path": "/v1/token", "body": {}}, "dropped"),
        ({"path": "/v1/token"}, 401),
        ({"path": "/v1/daemon"}, 403),
    ],
)
async def test_bridge_relays_only_requests_to_the_api(
    page: Page, console: Console, pages_origin: str, message: dict[str, object], expected: object
) -> None:
    """
    Anything but a request to the API is dropped, and the page cannot set headers that identify the caller.
    """
    console.expect("status of 40[013]")
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(OPEN_BRIDGE, pages_origin)

        got = await page.evaluate(SEND, {"id": 1, "method": "GET", "headers": [], "body": None, **message})

        assert expected == got


async def test_token_of_another_page_is_rejected_over_the_bridge(
    world: World, page: Page, console: Console, pages_origin: str
) -> None:
    """
    The bridge sends the origin of its page, so a token of another origin counts as stolen there, too.
    """
    console.expect("status of 403")
    victim = await world.pair("databases:read", origin="https://app.example.com")
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(OPEN_BRIDGE, pages_origin)

        headers = [["authorization", f"Bearer {victim.token}"]]
        got = await page.evaluate(
            SEND, {"id": 1, "method": "GET", "path": "/v1/token", "headers": headers, "body": None}
        )
        [app] = (await world.get("/v1/apps")).json["apps"]

        assert (403, 1) == (got, app["mismatches"])


async def test_bridge_cannot_be_framed_and_pages_cannot_set_the_delegated_origin(
    world: World, page: Page, console: Console, pages_origin: str
) -> None:
    """
    The bridge does not load in a frame, and only the bridge may send the header with the delegated origin.
    """
    console.expect("frame-ancestors|403|CORS|Refused|Failed to fetch|ERR_FAILED")
    async with Site.serving(
        {"/": f"<!doctype html><title>x</title><iframe src='{pages_origin}/bridge'></iframe>"}
    ) as site:
        await page.goto(site.origin)
        [frame] = [one for one in page.frames if one is not page.main_frame]

        sent = await page.evaluate(
            """(url) => fetch(`${url}/v1/pairings`, {
                method: 'POST',
                headers: { 'content-type': 'application/json', 'upstash-helper-on-behalf-of': 'https://bank.example' },
                body: '{"name": "Bank", "scopes": ["databases:read"]}',
            }).then((response) => response.status, (error) => error.name)""",
            pages_origin,
        )

        assert "TypeError" == sent
        assert "Relaying" not in await frame.content()
        assert [] == (await world.get("/v1/pairings")).json["pairings"]
