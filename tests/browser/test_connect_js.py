"""The Connect button in a real browser: the user of a web tool connects an account, and the tool uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import sign_up
from tests.support.browser import Console
from tests.support.web_tool import (
    BUTTON,
    approve,
    button_text,
    click_and_close,
    example_tool,
    pending_request,
    popup_of,
    wait_for_state,
    wait_until_closed,
)
from tests.support.world import World, free_port
from upstash_helper.protocol.messages import FAILURES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.sandbox import Sandbox

ERROR = "document.querySelector('upstash-connect').error.code"


@pytest.fixture
def start_world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Callable[[], AbstractAsyncContextManager[World]]:
    """Return a function that starts the daemon again with the same data."""
    return lambda: World.running(tmp_path, sandbox, daemon_port)


async def test_connect_then_use_databases(world: World, context: BrowserContext, page: Page) -> None:
    """
    After a click, an approval, and a sign-up, the window closes, and the page creates a database and shows credentials.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
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
        await page.get_by_role("button", name="Credentials of orders").click()
        await page.get_by_text("UPSTASH_REDIS_REST_URL=").wait_for()

        assert site.origin == pairing["identity"]["name"]
        assert "orders" in await page.locator("#databases").inner_text()
        assert world.email in await button_text(page)


async def test_page_with_access_is_connected_on_its_next_visit(world: World, page: Page) -> None:
    """
    The next visit shows the account without a click. Signing out revokes the token.
    """
    await world.connect()
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        await wait_for_state(page, "connected")

        await page.reload()
        await wait_for_state(page, "connected")
        await page.get_by_role("button", name="Sign out").click()
        await wait_for_state(page, "idle")

        assert [] == (await world.get("/v1/apps")).json["apps"]
        assert 0 == await page.evaluate("localStorage.length")


async def test_window_shows_the_code_and_closes_without_a_sign_in(
    world: World, context: BrowserContext, page: Page
) -> None:
    """
    The window is opened by the click, and closes if an account is already connected.
    """
    await world.connect()
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        pairing = await pending_request(world)
        popup = await popup_of(context, page)
        await popup.get_by_text(pairing["user_code"]).wait_for()
        shown = await button_text(page)
        await approve(world)
        await wait_for_state(page, "connected")
        await wait_until_closed(popup)

        assert pairing["user_code"] in shown


async def test_sign_in_canceled_at_upstash(world: World, context: BrowserContext, page: Page) -> None:
    """
    The page shows that the sign-in was canceled, in the helper's words, and offers to try again.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await click_and_close(popup.get_by_role("button", name="Cancel"))
        await wait_for_state(page, "error")

        assert "connect_failed" == await page.evaluate(ERROR)
        assert "access_denied" == await page.evaluate("document.querySelector('upstash-connect').error.reason")
        assert FAILURES["access_denied"].title in await button_text(page)
        assert FAILURES["access_denied"].detail in await button_text(page)
        await expect(page.get_by_role("button", name="Try again")).to_be_visible()


async def test_denied_access_request(world: World, context: BrowserContext, page: Page) -> None:
    """
    When the user denies the request, the window closes, and the page stores nothing.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        pairing = await pending_request(world)
        popup = await popup_of(context, page)
        await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
        await wait_for_state(page, "error")
        await wait_until_closed(popup)

        assert "pairing_denied" == await page.evaluate(ERROR)
        assert 0 == await page.evaluate("localStorage.length")


async def test_closed_window_can_be_opened_again(world: World, context: BrowserContext, page: Page) -> None:
    """
    A window that seems closed does not end the sign-in, since a strict sign-in page looks the same.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await popup.get_by_label("Email").wait_for()
        await popup.close()
        await wait_for_state(page, "window-closed")
        attempt = (await world.get("/v1/connection")).json["attempt"]
        async with context.expect_page() as again:
            await page.get_by_role("link", name="Open it again").click()
        await sign_up(await again.value, world.email)
        await wait_for_state(page, "connected")
        connection = (await world.get("/v1/connection")).json

        assert "pending" == attempt["state"]
        assert attempt["attempt_id"] == connection["attempt"]["attempt_id"]
        assert world.email == connection["account"]["email"]
        assert f"Connected as {world.email}" in await button_text(page)


async def test_cancel_ends_the_attempt(world: World, context: BrowserContext, page: Page) -> None:
    """
    Cancel in the page closes the window and cancels the attempt.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await popup.get_by_label("Email").wait_for()
        await page.get_by_role("button", name="Cancel").click()
        await wait_for_state(page, "idle")
        await wait_until_closed(popup)
        connection = (await world.get("/v1/connection")).json

        assert ("failed", "cancelled") == (connection["attempt"]["state"], connection["attempt"]["reason"])


async def test_reload_withdraws_the_access_request(world: World, page: Page, console: Console) -> None:
    """
    A reload withdraws the pending request, and the page can immediately send a new one.
    """
    console.expect("status of 409")  # the new page's request may arrive before the old page's withdrawal
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        first = await pending_request(world)

        await page.reload()
        await page.locator(BUTTON).click()
        await page.locator("upstash-connect[state=approval]").wait_for()
        [second] = (await world.get("/v1/pairings")).json["pairings"]

        assert first["id"] != second["id"]


async def test_helper_restarts_during_a_connect(
    start_world: Callable[[], AbstractAsyncContextManager[World]], context: BrowserContext, page: Page, console: Console
) -> None:
    """
    An access request survives a restart of the helper. A sign-in does not; the page shows that, and a retry works.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 404|ERR_EMPTY|ERR_CONNECTION_RESET|ERR_INCOMPLETE")
    async with start_world() as first, example_tool(first) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await pending_request(first)
        first.stop.set()
        await first.serving
        async with start_world() as second:
            await approve(second)
            popup = await popup_of(context, page)
            await popup.get_by_label("Email").wait_for()
        async with start_world() as third:
            await wait_for_state(page, "error")
            reason = await page.evaluate("document.querySelector('upstash-connect').error.reason")
            await wait_until_closed(popup)
            await page.get_by_role("button", name="Try again").click()
            await sign_up(await popup_of(context, page), third.email)
            await wait_for_state(page, "connected")

            assert "helper_restarted" == reason


async def test_revoked_access_shows_the_button_again(world: World, page: Page, console: Console) -> None:
    """
    The page deletes the revoked token, shows why, and shows the button again.
    """
    console.expect("status of 40[13]|CORS|ERR_FAILED")
    await world.connect()
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        await wait_for_state(page, "connected")
        [app] = (await world.get("/v1/apps")).json["apps"]

        await world.call("DELETE", f"/v1/apps/{app['id']}")
        await wait_for_state(page, "idle")

        await page.get_by_text("This app's access was revoked").wait_for()
        assert 0 == await page.evaluate("localStorage.length")


async def test_helper_not_running(world: World, page: Page, console: Console) -> None:
    """
    The button shows the command that starts the helper, and continues once the helper is running.
    """
    console.expect("ERR_CONNECTION_REFUSED")
    async with example_tool(world) as site:
        await page.goto(site.origin)
        nowhere = f"http://localhost:{free_port()}"
        await page.evaluate("(url) => document.querySelector('upstash-connect').setAttribute('url', url)", nowhere)
        await page.locator(BUTTON).click()
        await wait_for_state(page, "missing")
        shown = await button_text(page)
        await page.evaluate("document.querySelector('upstash-connect').removeAttribute('url')")
        await page.get_by_role("button", name="Try again").click()
        await wait_for_state(page, "approval")

        assert "upstash-helper start" in shown


async def test_earlier_request_is_still_pending(world: World, page: Page, console: Console) -> None:
    """
    While an earlier request of the page is pending, the error has the time after which to retry.
    """
    console.expect("status of 409")
    async with example_tool(world) as site:
        await world.ask("databases:read", origin=site.origin)
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await wait_for_state(page, "error")

        assert "helper_busy" == await page.evaluate(ERROR)
        assert 0 < await page.evaluate("document.querySelector('upstash-connect').error.retryAfter") <= 120


async def test_blocked_popup_becomes_a_link(world: World, context: BrowserContext, page: Page) -> None:
    """
    If the browser blocks the window, the button shows a link, and continues after the sign-in in that tab.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.evaluate("window.open = () => null")
        await page.locator(BUTTON).click()
        await approve(world)
        async with context.expect_page() as opened:
            await page.get_by_role("link", name="Sign in to Upstash").click()
        await sign_up(await opened.value, world.email)
        await wait_for_state(page, "connected")

        assert world.email == (await world.get("/v1/connection")).json["account"]["email"]
        assert f"Connected as {world.email}" in await button_text(page)
