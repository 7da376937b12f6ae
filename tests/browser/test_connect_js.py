"""The Connect Upstash button in a real browser: a web tool lets its user connect, and uses the account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.person import sign_up
from tests.support.browser import Console
from tests.support.web_tool import BUTTON, approve, example, gone, in_state, popup_of, shown_by, waiting
from tests.support.world import World, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.sandbox import Sandbox

ERROR = "document.querySelector('upstash-connect').error.code"


@pytest.fixture
def world_again(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Callable[[], AbstractAsyncContextManager[World]]:
    """Runs of one daemon, one after the other: what it has written down is there again."""
    return lambda: World.running(tmp_path, sandbox, daemon_port)


async def test_main_path(world: World, context: BrowserContext, page: Page) -> None:
    """
    A click, an approval, a sign-up: the window is gone, and the page lists and creates databases and shows credentials.
    """
    async with example(world) as site:
        await page.goto(site.origin)
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
        await page.get_by_role("button", name="Credentials of orders").click()
        await page.get_by_text("UPSTASH_REDIS_REST_URL=").wait_for()

        assert site.origin == pairing["identity"]["name"]
        assert "orders" in await page.locator("#databases").inner_text()
        assert world.email in await shown_by(page)


async def test_who_was_let_in_before_is_asked_nothing(world: World, page: Page) -> None:
    """
    The next visit shows the account at once, without a click; and signing out gives the token back.
    """
    await world.connect()
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        await in_state(page, "connected")

        await page.reload()
        await in_state(page, "connected")
        await page.get_by_role("button", name="Sign out").click()
        await in_state(page, "idle")

        assert [] == (await world.get("/v1/apps")).json["apps"]
        assert 0 == await page.evaluate("localStorage.length")


async def test_the_window_shows_the_code_and_goes_when_it_is_not_needed(
    world: World, context: BrowserContext, page: Page
) -> None:
    """
    It is opened while the click counts. Where an account is connected already, nobody signs in, and it closes.
    """
    await world.connect()
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        pairing = await waiting(world)
        popup = await popup_of(context, page)
        await popup.get_by_text(pairing["user_code"]).wait_for()
        shown = await shown_by(page)
        await approve(world)
        await in_state(page, "connected")
        await gone(popup)

        assert pairing["user_code"] in shown


async def test_cancel_at_the_sign_in(world: World, context: BrowserContext, page: Page) -> None:
    """
    Who says no to Upstash is told so in the page, and can try again.
    """
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await popup.get_by_role("button", name="Cancel").click()
        await in_state(page, "error")

        assert "connect_failed" == await page.evaluate(ERROR)
        assert "access_denied" == await page.evaluate("document.querySelector('upstash-connect').error.reason")
        assert await page.get_by_role("button", name="Try again").is_visible()


async def test_a_denied_pairing(world: World, context: BrowserContext, page: Page) -> None:
    """
    No is no: the window goes, and nothing is kept.
    """
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        pairing = await waiting(world)
        popup = await popup_of(context, page)
        await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
        await in_state(page, "error")
        await gone(popup)

        assert "pairing_denied" == await page.evaluate(ERROR)
        assert 0 == await page.evaluate("localStorage.length")


async def test_a_closed_window(world: World, context: BrowserContext, page: Page) -> None:
    """
    That the window seems closed ends nothing, for it may be behind a strict login page: it can be opened again.
    """
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await popup.get_by_label("Email").wait_for()
        await popup.close()
        await in_state(page, "window-closed")
        async with context.expect_page() as again:
            await page.get_by_role("link", name="Open it again").click()
        await sign_up(await again.value, world.email)
        await in_state(page, "connected")


async def test_cancel_gives_up_the_sign_in(world: World, context: BrowserContext, page: Page) -> None:
    """
    Cancel in the page closes the window and ends the attempt, which no other app waits for then.
    """
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        popup = await popup_of(context, page)
        await popup.get_by_label("Email").wait_for()
        await page.get_by_role("button", name="Cancel").click()
        await in_state(page, "idle")
        await gone(popup)
        connection = (await world.get("/v1/connection")).json

        assert ("failed", "cancelled") == (connection["attempt"]["state"], connection["attempt"]["reason"])


async def test_who_goes_away_takes_the_request_along(world: World, page: Page, console: Console) -> None:
    """
    After a reload the user is not asked about a page that is gone, and the page can ask anew at once.
    """
    console.expect("status of 409")  # the new page may be faster than the old one's goodbye
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        first = await waiting(world)

        await page.reload()
        await page.locator(BUTTON).click()
        await page.locator("upstash-connect[state=approval]").wait_for()
        [second] = (await world.get("/v1/pairings")).json["pairings"]

        assert first["id"] != second["id"]


async def test_a_helper_that_restarts_while_it_waits(
    world_again: Callable[[], AbstractAsyncContextManager[World]], context: BrowserContext, page: Page, console: Console
) -> None:
    """
    The request outlives the helper. A sign-in does not, which is said; the next try goes through.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 404|ERR_EMPTY|ERR_CONNECTION_RESET|ERR_INCOMPLETE")
    async with world_again() as first, example(first) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await waiting(first)
        first.stop.set()
        await first.serving
        async with world_again() as second:
            await approve(second)
            popup = await popup_of(context, page)
            await popup.get_by_label("Email").wait_for()
        async with world_again() as third:
            await in_state(page, "error")
            reason = await page.evaluate("document.querySelector('upstash-connect').error.reason")
            await gone(popup)
            await page.get_by_role("button", name="Try again").click()
            await sign_up(await popup_of(context, page), third.email)
            await in_state(page, "connected")

            assert "helper_restarted" == reason


async def test_a_revoked_token(world: World, page: Page, console: Console) -> None:
    """
    The page learns it with its next request, forgets the token, and shows the button again.
    """
    console.expect("status of 40[13]|CORS|ERR_FAILED")
    await world.connect()
    async with example(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(world)
        await in_state(page, "connected")
        [app] = (await world.get("/v1/apps")).json["apps"]

        await world.call("DELETE", f"/v1/apps/{app['id']}")
        await in_state(page, "idle")

        assert 0 == await page.evaluate("localStorage.length")
        await page.get_by_text("This app's access was revoked").wait_for()


async def test_no_helper(world: World, page: Page, console: Console) -> None:
    """
    The button says how the helper is started, and goes on when it runs.
    """
    console.expect("ERR_CONNECTION_REFUSED")
    async with example(world) as site:
        await page.goto(site.origin)
        nowhere = f"http://localhost:{free_port()}"
        await page.evaluate("(url) => document.querySelector('upstash-connect').setAttribute('url', url)", nowhere)
        await page.locator(BUTTON).click()
        await in_state(page, "missing")
        shown = await shown_by(page)
        await page.evaluate("document.querySelector('upstash-connect').removeAttribute('url')")
        await page.get_by_role("button", name="Try again").click()
        await in_state(page, "approval")

        assert "upstash-helper start" in shown


async def test_a_busy_helper(world: World, page: Page, console: Console) -> None:
    """
    While an earlier request of the page waits for the user, the page is told so, and for how long.
    """
    console.expect("status of 409")
    async with example(world) as site:
        await world.ask("databases:read", origin=site.origin)
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await in_state(page, "error")

        assert "helper_busy" == await page.evaluate(ERROR)
        assert 0 < await page.evaluate("document.querySelector('upstash-connect').error.retryAfter") <= 120


async def test_a_blocked_popup_is_a_link(world: World, context: BrowserContext, page: Page) -> None:
    """
    Where the browser opens no window, the button offers the address, and goes on when the user has followed it.
    """
    async with example(world) as site:
        await page.goto(site.origin)
        await page.evaluate("window.open = () => null")
        await page.locator(BUTTON).click()
        await approve(world)
        async with context.expect_page() as opened:
            await page.get_by_role("link", name="Sign in to Upstash").click()
        await sign_up(await opened.value, world.email)
        await in_state(page, "connected")
