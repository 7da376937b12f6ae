"""
A dev server on the callback port, and the helper's API on another port (``port_policy = "on-demand"``).

Pages find the helper, and the dev server receives nothing but probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.browser.dashboard import go_to, open_dashboard
from tests.browser.sign_in import sign_up
from tests.support.browser import Console, Site
from tests.support.dev_server import DevServer
from tests.support.web_tool import (
    BUTTON,
    approve,
    button_text,
    connect_module,
    popup_of,
    wait_for_state,
    wait_until_closed,
    with_ports,
)
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

STORED = "() => Object.fromEntries(Object.entries(localStorage))"


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """Run a daemon with separate ports for the API and the callback."""
    async with World.running(tmp_path, sandbox, daemon_port, port_policy="on-demand", api_port=free_port()) as world:
        yield world


def ports_of(world: World) -> list[int]:
    """Return the ports that the page tries: the callback port, two unused ports, and the API's port."""
    return [world.settings.port, free_port(), free_port(), world.port]


def connect_js(world: World) -> str:
    """Return connect.js with the ports of ``world``."""
    return with_ports(connect_module(), *ports_of(world))


def inlined(world: World) -> str:
    """Return the page with connect.js inline, for a server that has one page for every path."""
    return PAGE.format(script=connect_js(world).replace("</script>", ""))


def only_probed(received: list[ReceivedRequest]) -> bool:
    """Return whether a server received only requests that ask whether it is a helper, and no token."""
    return all(
        (one.method, one.body) == ("GET", "")
        and one.path.partition("?")[0] in {"/connect.d.ts", "/v1/proof"}
        and "authorization" not in {name.lower() for name in one.headers}
        for one in received
    )


def expect_failed_probes(console: Console) -> None:
    """Expect the errors that a browser logs for ports without a helper."""
    console.expect("ERR_CONNECTION_REFUSED|CORS|ERR_FAILED")


async def test_page_of_the_dev_server_connects(
    world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """
    A page on the callback port finds the helper, and shows that its own server blocks the sign-in. The sign-in works
    while the dev server is stopped, and the page is still connected when it is back.
    """
    expect_failed_probes(console)
    console.expect("status of 503")
    port = world.settings.port
    with DevServer.running(port, inlined(world)) as dev:
        await page.goto(f"http://localhost:{port}/")
        await page.locator(BUTTON).click()
        pairing = await approve(world)
        await wait_for_state(page, "error")
        shown = await button_text(page)
        received = dev.requests()
        dev.stop()

        async with context.expect_page() as opened:
            await page.get_by_role("button", name="Try again").click()
            popup = await opened.value
            await sign_up(popup, world.email)
        await wait_for_state(page, "connected")
        await wait_until_closed(popup)
    with DevServer.running(port, inlined(world)) as dev:
        await page.reload()
        await wait_for_state(page, "connected")
        again = dev.requests()

    assert f"http://localhost:{port}" == pairing["identity"]["name"]
    assert "in use by" in shown
    assert "Stop that program during the sign-in" in shown
    assert ["GET /"] == [f"{one.method} {one.path}" for one in received]
    assert ["GET /"] == [f"{one.method} {one.path}" for one in again]


async def test_redirect_ends_at_the_api_port(world: World, page: Page) -> None:
    """
    The redirect goes to the callback port, the only one that the sign-in page allows, and on to the API port.
    The history has no address on the callback port, which a dev server would receive after "back".
    """
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)
    await page.get_by_text(world.email).wait_for()
    session = await page.context.new_cdp_session(page)
    history = await session.send("Page.getNavigationHistory")

    assert page.url.startswith(f"{world.pages}/?attempt=")
    assert not [one["url"] for one in history["entries"] if f"localhost:{world.settings.port}/" in one["url"]]


async def test_window_notifies_the_page_across_both_ports(
    world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """The window returns from Upstash over both ports, posts its message to the page that opened it, and closes."""
    expect_failed_probes(console)
    async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.evaluate(
            "addEventListener('message', ({ origin, data }) => { window.message = [origin, data.type]; })"
        )
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await sign_up(popup, world.email)
        await wait_for_state(page, "connected")
        await wait_until_closed(popup)

        assert [world.pages, "upstash-helper"] == await page.evaluate("window.message")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_server_with_a_page_for_every_path_is_not_a_helper(
    world: World, page: Page, console: Console, host: str
) -> None:
    """A server that answers every path with status 200 and CORS headers receives only probes."""
    expect_failed_probes(console)
    await world.connect()
    with DevServer.running(world.settings.port, host=host) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")
            await page.reload()
            await wait_for_state(page, "connected")
            names = await page.evaluate("document.querySelector('upstash-connect').client.databases.list()")
            stored = await page.evaluate(STORED)
        received = dev.requests()

    assert [] == names
    assert received
    assert only_probed(received)
    assert {"upstash-helper:at", f"upstash-helper:http://localhost:{world.port}"} == set(stored)


async def test_server_with_a_copy_of_connect_js_is_not_a_helper(world: World, page: Page, console: Console) -> None:
    """A project may serve a copy of connect.js and its types, but they do not answer the probe."""
    expect_failed_probes(console)
    await world.connect()
    types = (await world.get("/connect.d.ts", token=None)).text
    with DevServer.running(world.settings.port, types) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")
        received = dev.requests()

    assert received
    assert only_probed(received)


async def test_address_that_worked_is_tried_first(world: World, page: Page, console: Console) -> None:
    """On the next visit, the dev server receives no probe, and the console shows no error."""
    expect_failed_probes(console)
    await world.connect()
    with DevServer.running(world.settings.port) as dev:
        async with Site.serving({"/": TOOL, "/connect.js": connect_js(world)}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")
            before, errors = dev.requests(), len(console.errors)
            await page.reload()
            await wait_for_state(page, "connected")
            after = dev.requests()

    assert before == after
    assert errors == len(console.errors)


async def test_helper_moved_to_another_port(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """
    When a dev server has taken the helper's former port, the page does not send its token there, but requests access at
    the new port. The old token stays stored and works when the helper is back.
    """
    expect_failed_probes(console)
    api_port = free_port()
    js = with_ports(connect_module(), daemon_port, api_port)
    keep: dict[str, Any] = {}
    async with Site.serving({"/": TOOL, "/connect.js": js}) as site:
        async with World.running(tmp_path, sandbox, daemon_port) as world:
            await world.connect()
            keep["store"] = world.store
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")
        with DevServer.running(daemon_port) as dev:
            moved = {**keep, "port_policy": "on-demand", "api_port": api_port}
            async with World.running(tmp_path, sandbox, daemon_port, **moved) as world:
                await page.reload()
                await page.locator(BUTTON).wait_for()
                await page.locator(BUTTON).click()
                await approve(world)
                await wait_for_state(page, "connected")
                both = await page.evaluate(STORED)
            received = dev.requests()
        async with World.running(tmp_path, sandbox, daemon_port, **keep) as world:
            await page.reload()
            await wait_for_state(page, "connected")

    assert received
    assert only_probed(received)
    assert {f"upstash-helper:http://localhost:{port}" for port in (daemon_port, api_port)} < set(both)


async def test_dev_server_at_the_helpers_address_gets_no_token(
    tmp_path: Path, sandbox: Sandbox, page: Page, console: Console, daemon_port: int
) -> None:
    """An open page that sends further requests sends no token to the dev server, and gets an error."""
    expect_failed_probes(console)
    async with Site.serving({"/": TOOL, "/connect.js": with_ports(connect_module(), daemon_port)}) as site:
        async with World.running(tmp_path, sandbox, daemon_port) as world:
            await world.connect()
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")
        list_databases = "document.querySelector('upstash-connect').client.databases.list().catch(({ code }) => code)"
        stopped = await page.evaluate(list_databases)
        with DevServer.running(daemon_port) as dev:
            codes = [await page.evaluate(list_databases) for _ in range(3)]
            received = dev.requests()

    assert ["helper_not_running"] * 4 == [stopped, *codes]
    assert received
    assert only_probed(received)


async def test_bridge_tries_the_next_address_with_the_next_click(world: World, page: Page, console: Console) -> None:
    """
    A click opens one bridge window at one address. If a dev server is there, the error names the next address, and the
    next click tries it.
    """
    expect_failed_probes(console)
    await world.connect()
    tool = TOOL.replace("<upstash-connect ", "<upstash-connect bridge ")
    js = with_ports(connect_module(), world.settings.port, world.port)
    with DevServer.running(world.settings.port) as dev:
        async with Site.serving({"/": tool, "/connect.js": js}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await wait_for_state(page, "missing")
            shown = await button_text(page)
            await page.get_by_role("button", name="Try again").click()
            await approve(world)
            await wait_for_state(page, "connected")
        received = dev.requests()

    assert "another program is using that address" in shown
    assert f"try again to check http://localhost:{world.port}" in shown
    assert {("GET", "/bridge")} == {(one.method, one.path) for one in received if one.path != "/favicon.ico"}


async def test_running_check_tries_all_addresses(world: World, page: Page, console: Console) -> None:
    """The check finds a helper at any address, and is negative where only a dev server is running."""
    expect_failed_probes(console)
    nowhere = [world.settings.port, free_port()]
    modules = {"/connect.js": connect_js(world), "/elsewhere.js": with_ports(connect_module(), *nowhere)}
    check = "(path) => import(path).then(({ isHelperRunning }) => isHelperRunning())"
    with DevServer.running(world.settings.port):
        async with Site.serving({"/": "<!doctype html><title>Tool</title>", **modules}) as site:
            await page.goto(site.origin)

            assert await page.evaluate(check, "/connect.js") is True
            assert await page.evaluate(check, "/elsewhere.js") is False


async def test_first_of_two_helpers_is_used(
    world: World, tmp_path: Path, sandbox: Sandbox, page: Page, console: Console
) -> None:
    """The order decides and not the response time, so that a page uses the same helper on every visit."""
    expect_failed_probes(console)
    await world.connect()
    async with World.running(
        tmp_path / "other", sandbox, free_port(), port_policy="on-demand", api_port=free_port()
    ) as other:
        js = with_ports(connect_module(), free_port(), world.port, other.port)
        async with Site.serving({"/": TOOL, "/connect.js": js}) as site:
            await page.goto(site.origin)
            await page.locator(BUTTON).click()
            await approve(world)
            await wait_for_state(page, "connected")

            assert f"http://localhost:{world.port}" == (await page.evaluate(STORED))["upstash-helper:at"]
            assert [] == (await other.get("/v1/pairings")).json["pairings"]


async def test_dashboard_is_at_the_api_port(world: World, page: Page, console: Console) -> None:
    """
    The dashboard at the API port shows why a sign-in cannot start while a dev server has the callback port, and the
    connection stays "disconnected" and not "port_conflict".
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
    assert page.url.startswith(f"{world.pages}/")
