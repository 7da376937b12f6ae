"""
What depends on the browser, in Firefox: names below ``localhost``, the headers of each kind of request, windows, and
the stored session. Everything else is tested in Chromium.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.browser import Site
from tests.support.firefox import Firefox
from tests.support.web_tool import approve, connect_js
from tests.support.world import PASSWORD, World
from upstash_helper.system.browser import write_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.firefox import Tab
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow

TOOL = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
<script type="module" src="/connect.js"></script>
<upstash-connect name="Tool" scopes="databases:read databases:write"></upstash-connect>"""
BRIDGED = TOOL.replace('write">', 'write" bridge>')
READY = "document.querySelector('upstash-connect')?.shadowRoot?.querySelector('button.primary') !== null"
CLICK = "document.querySelector('upstash-connect').shadowRoot.querySelector('button.primary').click()"
CONNECTED = "document.querySelector('upstash-connect').getAttribute('state') === 'connected'"

FOLLOW = "[...document.querySelectorAll('a')].find((it) => it.textContent === 'Sign up').click()"
FORM = "document.querySelector('input[autocomplete=new-password]') !== null"
SIGN_UP = """(() => {
  document.querySelector("input[type=email]").value = EMAIL;
  document.querySelector("input[type=password]").value = PASSWORD;
  [...document.querySelectorAll("button")].find((it) => it.textContent.trim() === "Sign up").click();
})()"""

WORKER_PAGE = """<!doctype html><title>Other app</title>
<script>window.ready = navigator.serviceWorker.register("/sw.js").then(() => navigator.serviceWorker.ready);</script>"""
WORKER = """addEventListener("fetch", (event) => event.respondWith(new Response(
  "<!doctype html><title>Taken over</title>", { headers: { "Content-Type": "text/html" } })));"""


@pytest_asyncio.fixture(name="firefox", loop_scope="session", scope="module")
async def _firefox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Firefox]:
    async with Firefox.running(tmp_path_factory.mktemp("firefox")) as firefox:
        yield firefox


@pytest_asyncio.fixture(name="tab", loop_scope="session")
async def _tab(firefox: Firefox) -> Tab:
    return await firefox.new_tab()


def shows(text: str) -> str:
    """Return an expression that is true if a page shows ``text``."""
    return f"document.body?.innerText.includes({json.dumps(text)})"


async def sign_up(window: Tab, email: str) -> None:
    """Create an account on the sandbox's sign-in page."""
    await window.until("document.querySelector('input[type=password]') !== null")
    await window.evaluate(FOLLOW)
    await window.until(FORM)
    await window.evaluate(
        SIGN_UP.replace("EMAIL", json.dumps(email)).replace("PASSWORD", json.dumps(PASSWORD)), click=True
    )


async def test_firefox_opens_the_dashboard(world: World, firefox: Firefox, tab: Tab, tmp_path: Path) -> None:
    """From the link or file that the command line gives the browser, again on reload, and at the numeric address."""
    await world.connect()
    ticket = (await world.call("POST", "/v1/dashboard/tickets?numeric=true")).json
    await tab.goto(write_page(tmp_path, "dashboard.html", ticket["url"], ticket["numeric_url"]).as_uri())
    await tab.until(shows(world.email))
    named = await tab.url()
    await tab.evaluate("void setTimeout(() => location.reload(), 0)")
    await tab.until(f"performance.getEntriesByType('navigation')[0].type === 'reload' && {shows(world.email)}")
    linked = await firefox.new_tab()
    await linked.goto((await world.call("POST", "/v1/dashboard/tickets?link=true")).json["link"])
    await linked.until(shows(world.email))
    numeric = (await world.call("POST", "/v1/dashboard/tickets?numeric=true")).json["numeric_url"]
    other = await firefox.new_tab()
    await other.goto(numeric)
    await other.until(shows(world.email))

    assert [f"{world.pages}/", f"{numeric.partition('#')[0]}"] == [named, await other.url()]


async def test_firefox_signs_in_from_the_dashboard(world: World, firefox: Firefox, tab: Tab) -> None:
    """In a window that has no reference to the dashboard."""
    await tab.goto((await world.call("POST", "/v1/dashboard/tickets")).json["url"])
    await tab.until("document.querySelector('[data-action=connect]') !== null")
    await tab.evaluate("document.querySelector('[data-action=connect]').click()", click=True)
    window = await firefox.window_of(tab)
    await window.until("document.querySelector('input[type=password]') !== null")
    has_opener = await window.evaluate("window.opener !== null")
    await sign_up(window, world.email)
    await tab.until(shows(world.email))

    assert not has_opener


async def test_firefox_signs_in_from_a_page(world: World, firefox: Firefox, tab: Tab) -> None:
    """A page requests access, and its user signs in, in the window that the page opens."""
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await tab.goto(site.origin)
        await tab.until(READY)
        await tab.evaluate(CLICK, click=True)
        await approve(world)
        window = await firefox.window_of(tab)
        await sign_up(window, world.email)
        await tab.until(CONNECTED)

        assert world.email == (await world.get("/v1/connection")).json["account"]["email"]


async def test_firefox_relays_requests_over_the_bridge(world: World, firefox: Firefox, tab: Tab) -> None:
    """Also those that change something, which have an Origin."""
    await world.connect()
    async with Site.serving({"/": BRIDGED, "/connect.js": connect_js(world)}) as site:
        await tab.goto(site.origin)
        await tab.until(READY)
        await tab.evaluate(CLICK, click=True)
        pairing = await approve(world)
        await tab.until(CONNECTED)
        created = await tab.evaluate(
            "document.querySelector('upstash-connect').client.databases"
            ".create({ name: 'bridged', primary_region: 'us-east-1' })"
        )
        bridge = await firefox.window_of(tab)

        assert (site.origin, True) == (pairing["identity"]["name"], pairing["via_bridge"])
        assert f"{world.pages}/bridge" == await bridge.url()
        assert "bridged" == created["name"]


async def test_t56_worker_in_firefox_gets_no_ticket(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, tab: Tab
) -> None:
    """A service worker that another program has left answers at the shared address, and not at the owner's pages."""
    files = {"/": WORKER_PAGE, "/sw.js": WORKER}
    async with Site.serving(files, host="localhost", port=daemon_port) as other:
        await tab.goto(other.origin)
        await tab.evaluate("window.ready.then(() => 0)")
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await world.connect()
        await tab.goto(other.origin)
        shared = await tab.evaluate("document.title")
        await tab.goto((await world.call("POST", "/v1/dashboard/tickets?link=true")).json["link"])
        await tab.until(shows(world.email))

        assert "Taken over" == shared
        assert f"{world.pages}/" == await tab.url()
