"""
A dev server on the port of sign-ins, and the helper elsewhere (``port_policy = "on-demand"``): a page finds the helper,
and the dev server gets to know nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.owner import go_to, open_dashboard
from tests.browser.person import sign_up
from tests.support.browser import Console, Site
from tests.support.dev_server import DevServer
from tests.support.web_tool import BUTTON, approve, gone, in_state, looking_at, module, popup_of, shown_by
from tests.support.world import World, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.dev_server import ReceivedRequest
    from tests.support.sandbox import Sandbox

PAGE = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
<script type="module">{script}</script>
<upstash-connect name="Tool" scopes="databases:read databases:write"></upstash-connect>"""
TOOL = PAGE.format(script="import '/connect.js';")

KEPT = "() => Object.fromEntries(Object.entries(localStorage))"


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon whose API is on a port of its own."""
    async with World.running(tmp_path, sandbox, daemon_port, port_policy="on-demand", api_port=free_port()) as world:
        yield world


def ports_of(world: World) -> list[int]:
    """Return where the page looks: where sign-ins come back, at two addresses of nobody, and at the API."""
    return [world.settings.port, free_port(), free_port(), world.port]


def connect_js(world: World) -> str:
    """Return the module, which looks for the helpers of tests."""
    return looking_at(module(), *ports_of(world))


def inlined(world: World) -> str:
    """Return a page that a server with one page for every path can have."""
    return PAGE.format(script=connect_js(world).replace("</script>", ""))


def only_probed(seen: list[ReceivedRequest]) -> bool:
    """Return whether a server was sent nothing but the question whether it is a helper."""
    return all(
        (one.method, one.path.partition("?")[0], one.body) == ("GET", "/connect.d.ts", "")
        and "authorization" not in {name.lower() for name in one.headers}
        for one in seen
    )


def expect_misses(console: Console) -> None:
    """Take for wanted what a browser says of the addresses at which nobody is."""
    console.expect("ERR_CONNECTION_REFUSED|CORS|ERR_FAILED")


async def test_a_page_of_the_dev_server_itself(
    world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """
    The page comes from the port that a sign-in comes back to. It finds the helper, and is told what stops the sign-in;
    the dev server is stopped for that moment, and when it is back the page is still connected.
    """
    expect_misses(console)
    console.expect("status of 503")
    port = world.settings.port
    with DevServer.running(port, inlined(world)) as dev:
        await page.goto(f"http://localhost:{port}/")
        await page.locator(BUTTON).click()
        pairing = await approve(world)
        await in_state(page, "error")
        told = await shown_by(page)
        seen = dev.seen()
        dev.stop()

        async with context.expect_page() as opened:
            await page.get_by_role("button", name="Try again").click()
            popup = await opened.value
            await sign_up(popup, world.email)
        await in_state(page, "connected")
        await gone(popup)
    with DevServer.running(port, inlined(world)) as dev:
        await page.reload()
        await in_state(page, "connected")
        again = dev.seen()

    assert f"http://localhost:{port}" == pairing["identity"]["name"]
    assert "in use by" in told
    assert "Stop that program during the sign-in" in told
    assert ["GET /"] == [f"{one.method} {one.path}" for one in seen]
    assert ["GET /"] == [f"{one.method} {one.path}" for one in again]


async def test_the_way_back(world: World, page: Page) -> None:
    """
    It ends on the helper's page, past a sign-in page that lets its form lead to the registered address alone; and
    neither the code nor the port of sign-ins is left in the history, where a dev server would be asked for it.
    """
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)
    await page.get_by_text(world.email).wait_for()
    session = await page.context.new_cdp_session(page)
    history = await session.send("Page.getNavigationHistory")

    assert page.url == f"http://localhost:{world.port}/?attempt={started['attempt_id']}"
    assert not [one["url"] for one in history["entries"] if f"localhost:{world.settings.port}/" in one["url"]]


async def test_the_page_hears_of_it_from_the_window(
    world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """The window comes back from Upstash to the page that opened it, over both ports, and closes."""
    expect_misses(console)
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.evaluate(
            "addEventListener('message', ({ origin, data }) => { window.heard = [origin, data.type]; })"
        )
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await sign_up(popup, world.email)
        await in_state(page, "connected")
        await gone(popup)

        assert [f"http://localhost:{world.port}", "upstash-helper"] == await page.evaluate("window.heard")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_server_with_a_page_for_every_path_is_no_helper(
    world: World, page: Page, console: Console, host: str
) -> None:
    """It answers 200 to all, for anybody to read. All that it gets is the question."""
    expect_misses(console)
    await world.connect()
    with DevServer.running(world.settings.port, host=host) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")
            await page.reload()
            await in_state(page, "connected")
            names = await page.evaluate("document.querySelector('upstash-connect').client.databases.list()")
            kept = await page.evaluate(KEPT)
        seen = dev.seen()

    assert [] == names
    assert seen
    assert only_probed(seen)
    assert {"upstash-helper:at", f"upstash-helper:http://localhost:{world.port}"} == set(kept)


async def test_nor_is_one_with_a_copy_of_the_helpers_files(world: World, page: Page, console: Console) -> None:
    """Who keeps connect.js in a project has its types there, too; they do not answer the question."""
    expect_misses(console)
    await world.connect()
    types = (await world.get("/connect.d.ts", token=None)).text
    with DevServer.running(world.settings.port, types) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")
        seen = dev.seen()

    assert seen
    assert only_probed(seen)


async def test_the_address_that_worked_is_asked_first(world: World, page: Page, console: Console) -> None:
    """Then the dev server is not even asked, and no console complains."""
    expect_misses(console)
    await world.connect()
    with DevServer.running(world.settings.port) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")
            before, complaints = dev.seen(), len(console.complaints)
            await page.reload()
            await in_state(page, "connected")
            after = dev.seen()

    assert before == after
    assert complaints == len(console.complaints)


async def test_a_helper_that_has_moved(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """
    It was on the one port of everything, and a dev server is there now. The page's token is not sent to that; the page
    asks anew, and the old token is not forgotten: when the helper is back, it is good.
    """
    expect_misses(console)
    api_port = free_port()
    js = looking_at(module(), daemon_port, api_port)
    keep: dict[str, Any] = {}
    async with Site.serving({"/": TOOL, "/connect.js": js}) as site:
        async with World.running(tmp_path, sandbox, daemon_port) as world:
            await world.connect()
            keep["store"] = world.store
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")
        with DevServer.running(daemon_port) as dev:
            moved = {**keep, "port_policy": "on-demand", "api_port": api_port}
            async with World.running(tmp_path, sandbox, daemon_port, **moved) as world:
                await page.reload()
                await page.locator(BUTTON).wait_for()
                await page.locator(BUTTON).click()
                await approve(world)
                await in_state(page, "connected")
                both = await page.evaluate(KEPT)
            seen = dev.seen()
        async with World.running(tmp_path, sandbox, daemon_port, **keep) as world:
            await page.reload()
            await in_state(page, "connected")

    assert seen
    assert only_probed(seen)
    assert {f"upstash-helper:http://localhost:{port}" for port in (daemon_port, api_port)} < set(both)


async def test_a_dev_server_that_comes_to_the_helpers_address_gets_no_token(
    tmp_path: Path, sandbox: Sandbox, page: Page, console: Console, daemon_port: int
) -> None:
    """The page has it open all the while, and goes on asking for databases. It is told that the helper is gone."""
    expect_misses(console)
    async with Site.serving({"/": TOOL, "/connect.js": looking_at(module(), daemon_port)}) as site:
        async with World.running(tmp_path, sandbox, daemon_port) as world:
            await world.connect()
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")
        ask = "document.querySelector('upstash-connect').client.databases.list().catch(({ code }) => code)"
        gone_ = await page.evaluate(ask)
        with DevServer.running(daemon_port) as dev:
            codes = [await page.evaluate(ask) for _ in range(3)]
            seen = dev.seen()

    assert ["helper_not_running"] * 4 == [gone_, *codes]
    assert seen
    assert only_probed(seen)


async def test_a_bridge_to_the_dev_server_says_where_to_try_next(world: World, page: Page, console: Console) -> None:
    """
    Where the browser needs a window, a click opens one, at one address. If a dev server is there, the error says so,
    and the next click goes to the next address.
    """
    expect_misses(console)
    await world.connect()
    tool = TOOL.replace("<upstash-connect ", "<upstash-connect bridge ")
    js = looking_at(module(), world.settings.port, world.port)
    with DevServer.running(world.settings.port) as dev:
        async with Site.serving({"/": tool, "/connect.js": js}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await in_state(page, "missing")
            told = await shown_by(page)
            await page.get_by_role("button", name="Try again").click()
            await approve(world)
            await in_state(page, "connected")
        seen = dev.seen()

    assert "another program is using that address" in told
    assert f"try again to check http://localhost:{world.port}" in told
    assert {("GET", "/bridge")} == {(one.method, one.path) for one in seen if one.path != "/favicon.ico"}


async def test_whether_it_runs_is_found_out_too(world: World, page: Page, console: Console) -> None:
    """At any of its addresses; and not where only a dev server is."""
    expect_misses(console)
    nowhere = [world.settings.port, free_port()]
    modules = {"/connect.js": connect_js(world), "/elsewhere.js": looking_at(module(), *nowhere)}
    ask = "(path) => import(path).then(({ isHelperRunning }) => isHelperRunning())"
    with DevServer.running(world.settings.port):
        async with Site.serving({"/": "<!doctype html><title>Tool</title>", **modules}) as site:
            await page.goto(site.origin)

            assert await page.evaluate(ask, "/connect.js") is True
            assert await page.evaluate(ask, "/elsewhere.js") is False


async def test_of_two_helpers_the_first_in_order_is_taken(
    world: World, tmp_path: Path, sandbox: Sandbox, page: Page, console: Console
) -> None:
    """Whichever of them answers faster: a page does not change from one to the other between two visits."""
    expect_misses(console)
    await world.connect()
    async with World.running(
        tmp_path / "other", sandbox, free_port(), port_policy="on-demand", api_port=free_port()
    ) as other:
        js = looking_at(module(), free_port(), world.port, other.port)
        async with Site.serving({"/": TOOL, "/connect.js": js}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await in_state(page, "connected")

            assert f"http://localhost:{world.port}" == (await page.evaluate(KEPT))["upstash-helper:at"]
            assert [] == (await other.get("/v1/pairings")).json["pairings"]


async def test_the_dashboard_is_where_the_api_is(world: World, page: Page, console: Console) -> None:
    """
    It signs in from there; while a dev server has the other port it says so, and what to do, and its page has no state
    of alarm for it.
    """
    console.expect("status of 503")
    with DevServer.running(world.settings.port):
        await open_dashboard(world, page)
        await page.get_by_role("button", name="Connect Upstash").click()
        await page.get_by_text("Stop that program during the sign-in").wait_for()
        state = (await world.get("/v1/connection")).json["state"]

    async with page.expect_popup() as opened:
        await page.get_by_role("button", name="Connect Upstash").click()
    await sign_up(await opened.value, world.email)
    await page.get_by_role("heading", name=world.email).wait_for()
    await go_to(page, "Settings")
    await page.get_by_text("Only during a sign-in").first.wait_for()

    assert "disconnected" == state
    assert page.url.startswith(f"http://localhost:{world.port}/")
