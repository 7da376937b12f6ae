"""The bridge: a page that its browser keeps from http://localhost goes by a window of the helper's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.sign_in import sign_up
from tests.support.browser import Console, Site, overflowing_elements, violations
from tests.support.web_tool import BUTTON, approve, connect_js, pending_request, popup_of, wait_until_closed

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

TOOL = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
<script type="module" src="/connect.js"></script>
<upstash-connect name="Tool" scopes="databases:read databases:write" bridge></upstash-connect>"""

# What a hostile page sends to the bridge that it has opened, beside what connect.js sends.
KNOCK = """async (url) => {
    const popup = window.open(`${url}/bridge`, '_blank', 'popup');
    window.bridge = await new Promise((resolve) => {
        const knock = setInterval(() => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => { clearInterval(knock); resolve(port1); };
            try { popup.postMessage({ upstashHelper: 'bridge' }, url, [port2]); } catch {}
        }, 100);
    });
}"""
ASK = """(message) => new Promise((resolve) => {
    window.bridge.onmessage = ({ data }) => { if (data.id === message.id) resolve(data.head?.status ?? 'dropped'); };
    window.bridge.postMessage(message);
    setTimeout(() => resolve('silence'), 1500);
})"""


async def test_all_of_it_goes_over_the_bridge(world: World, context: BrowserContext, page: Page) -> None:
    """
    Pairing, sign-in, databases and events: the page sends no request to the helper itself, and is who asks.
    """
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        asked = []
        page.on("request", lambda request: asked.append(request.url))

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
                const heard = new Promise((resolve) => client.events(({ type, data }) => {
                    if (type === 'database') resolve(data.change);
                }));
                const { name } = await client.databases.create({ name: 'orders', primary_region: 'us-east-1' });
                return [name, await heard, (await client.databases.list()).length];
            }"""
        )

        assert ("web", site.origin) == (pairing["identity"]["kind"], pairing["identity"]["name"])
        assert ["orders", "created", 1] == created
        assert [] == [url for url in asked if str(world.settings.port) in url]
        assert site.origin in await bridge.locator("#origin").inner_text()


async def test_stop_stops(world: World, context: BrowserContext, page: Page) -> None:
    """
    The user can end it in the window; the page is told so in a sentence, and its prompt goes.
    """
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await pending_request(world)
        bridge = await popup_of(context, page)

        await bridge.get_by_role("button", name="Stop").click()
        await page.locator("upstash-connect[state=error]").wait_for()

        assert "bridge_closed" == await page.evaluate("document.querySelector('upstash-connect').error.code")


async def test_it_goes_with_its_page(world: World, context: BrowserContext, page: Page, home_page: str) -> None:
    """
    A page that is closed needs no bridge.
    """
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(KNOCK, home_page)
        bridge = await popup_of(context, page)

        await page.close()

        await wait_until_closed(bridge)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_the_bridge_says_what_it_is(world: World, context: BrowserContext, page: Page, home_page: str) -> None:
    """
    Whom it serves, and that it can be stopped; opened by nobody, that it is for nothing. In both color schemes.
    """
    await page.goto(f"{home_page}/bridge")
    alone = await page.locator("#title").inner_text()
    found_alone = await violations(page)
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(KNOCK, home_page)
        bridge = await popup_of(context, page)
        await bridge.set_viewport_size({"width": 320, "height": 480})

        assert "Nothing to do here" == alone
        assert "Relaying requests for" == await bridge.locator("#title").inner_text()
        assert [] == [*found_alone, *await violations(bridge), *await overflowing_elements(bridge)]


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("message", "answer"),
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
async def test_the_bridge_carries_nothing_else(
    page: Page, console: Console, home_page: str, message: dict[str, object], answer: object
) -> None:
    """
    What is no request to the API is dropped, and no header that says who asks is taken from the page.
    """
    console.expect("status of 40[013]")
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(KNOCK, home_page)

        got = await page.evaluate(ASK, {"id": 1, "method": "GET", "headers": [], "body": None, **message})

        assert answer == got


async def test_a_token_of_another_page_does_not_work_over_the_bridge(
    world: World, page: Page, console: Console, home_page: str
) -> None:
    """
    The bridge names the page that it serves: what was given to another is a stolen token there, too.
    """
    console.expect("status of 403")
    victim = await world.pair("databases:read", origin="https://app.example.com")
    async with Site.serving({"/": "<!doctype html><title>x</title>"}) as site:
        await page.goto(site.origin)
        await page.evaluate(KNOCK, home_page)

        headers = [["authorization", f"Bearer {victim.token}"]]
        got = await page.evaluate(
            ASK, {"id": 1, "method": "GET", "path": "/v1/token", "headers": headers, "body": None}
        )
        [app] = (await world.get("/v1/apps")).json["apps"]

        assert (403, 1) == (got, app["mismatches"])


async def test_no_page_frames_the_bridge_or_speaks_for_another(
    world: World, page: Page, console: Console, home_page: str
) -> None:
    """
    In a frame it does not load, and the header that names a page is taken from no page but the bridge.
    """
    console.expect("frame-ancestors|403|CORS|Refused|Failed to fetch|ERR_FAILED")
    async with Site.serving(
        {"/": f"<!doctype html><title>x</title><iframe src='{home_page}/bridge'></iframe>"}
    ) as site:
        await page.goto(site.origin)
        [frame] = [one for one in page.frames if one is not page.main_frame]

        sent = await page.evaluate(
            """(url) => fetch(`${url}/v1/pairings`, {
                method: 'POST',
                headers: { 'content-type': 'application/json', 'upstash-helper-on-behalf-of': 'https://bank.example' },
                body: '{"name": "Bank", "scopes": ["databases:read"]}',
            }).then((response) => response.status, (error) => error.name)""",
            home_page,
        )

        assert "TypeError" == sent
        assert "Relaying" not in await frame.content()
        assert [] == (await world.get("/v1/pairings")).json["pairings"]
