"""The window of a sign-in in a real browser: its result page, its messages to the opener, and when it closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import APP_PAGE, WebApp, cancel, open_from_system, open_popup, sign_up
from tests.support.browser import Site

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

CONNECTED = "Your account has been connected"


async def install_clock(context: BrowserContext) -> None:
    """Give pages that are opened later a clock that the test can advance."""
    await context.clock.install()


async def test_window_shows_the_account_notifies_its_opener_and_closes(world: World, page: Page) -> None:
    """
    After a sign-up in a window that an app has opened, the window shows the account and the app, posts a message to the
    app, and closes.
    """
    async with WebApp.running(world, page) as app:
        popup = await app.open_popup()
        await sign_up(popup, world.email)
        await expect(popup.get_by_role("heading", level=1)).to_have_text(CONNECTED)
        facts = await popup.locator(".facts").inner_text()
        async with popup.expect_event("close"):
            pass

        assert world.email in facts
        assert f"{app.app.origin}\ncalls itself “Query Studio”" in facts
        last = (await app.messages())[-1]
        assert world.pages == last["origin"]
        assert {
            "type": "upstash-helper",
            "attempt": app.started["attempt_id"],
            "state": "succeeded",
        } == last["data"]
        assert "connected" == (await world.get("/v1/connection")).json["state"]


async def test_window_without_opener_closes(world: World, page: Page) -> None:
    """
    A sign-in page with a Cross-Origin-Opener-Policy removes the opener: the app receives no message and polls the
    daemon, and the window still closes.
    """
    coop = {"Cross-Origin-Opener-Policy": "same-origin"}
    await world.sandbox.fault(method="GET", path="/authorize", headers=coop, times=None)
    async with WebApp.running(world, page) as app:
        popup = await app.open_popup()
        await sign_up(popup, world.email)
        await expect(popup.get_by_role("heading", level=1)).to_have_text(CONNECTED)
        opener = await popup.evaluate("window.opener")
        async with popup.expect_event("close"):
            pass

        assert opener is None
        assert [] == await app.messages()
        assert "succeeded" == (await world.settled(app.started["attempt_id"]))["state"]


async def test_opener_that_did_not_start_the_attempt_gets_no_message(
    world: World, page: Page, console: Console
) -> None:
    """
    A page can open any address in a window. If the page's origin did not request the sign-in, the window posts no
    message to it.
    """
    console.expect("Failed to execute 'postMessage'")
    requester = await world.pair("connection:write", origin="https://studio.example.com")
    started = (await world.as_app(requester, "POST", "/v1/connection", {})).json
    async with Site.serving({"/": APP_PAGE}) as site:
        await page.goto(site.origin)
        popup = await open_popup(page, started["authorization_url"])
        await cancel(popup)
        await expect(popup.get_by_role("heading", level=1)).to_have_text("You canceled the sign-in")
        async with popup.expect_event("close"):
            pass

        assert [] == await page.evaluate("window.messages")


async def test_tab_without_history_closes(world: World, context: BrowserContext) -> None:
    """
    If the user is already signed in at Upstash, the tab that the system opened has no history, and closes.
    """
    started = await world.start()

    tab = await open_from_system(context, await world.sign_in(started))
    async with tab.expect_event("close"):
        await expect(tab.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_tab_with_history_shows_that_it_can_be_closed(world: World, context: BrowserContext) -> None:
    """
    After a sign-in form, scripts may not close the tab, so the page asks the user to close it.
    """
    started = await world.start()
    tab = await open_from_system(context, started["authorization_url"])

    await sign_up(tab, world.email)
    async with tab.expect_console_message(lambda message: "Scripts may close only" in message.text):
        await expect(tab.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    assert not tab.is_closed()
    await expect(tab.locator(".closing")).to_have_text("You can close this window.")
    assert "You, with the helper's own tools" in await tab.locator(".facts").inner_text()


async def test_window_can_be_kept_open(world: World, page: Page, context: BrowserContext) -> None:
    """
    The button "Keep it open" stops the countdown, by keyboard as well.
    """
    async with WebApp.running(world, page) as app:
        await install_clock(context)
        popup = await app.open_popup()
        await sign_up(popup, world.email)
        keep = popup.get_by_role("button", name="Keep it open")
        await keep.focus()
        await keep.press("Enter")
        await popup.clock.fast_forward("01:00")

        await expect(popup.locator(".closing")).to_have_text("You can close this window.")
        assert not popup.is_closed()


async def test_canceled_sign_in_closes_the_window(world: World, page: Page) -> None:
    """
    After a canceled sign-in, the window shows that nothing was changed, notifies the app, and closes.
    """
    async with WebApp.running(world, page) as app:
        popup = await app.open_popup()
        await cancel(popup)
        await expect(popup.get_by_role("heading", level=1)).to_have_text("You canceled the sign-in")
        lead = await popup.locator(".lead").inner_text()
        async with popup.expect_event("close"):
            pass

        assert "Nothing was changed" in lead
        assert ["failed"] == [message["data"]["state"] for message in await app.messages()]
        assert "disconnected" == (await world.get("/v1/connection")).json["state"]
