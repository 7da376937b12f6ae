"""The window of a sign-in, in a real browser: what it says, whom it tells, and when it closes."""

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


async def hold_clock(context: BrowserContext) -> None:
    """Let the pages to come count by a clock that the test can move on."""
    await context.clock.install()


async def test_a_popup_says_who_is_connected_tells_its_opener_and_goes(
    world: World, page: Page, home_page: str
) -> None:
    """
    The user signs up in a window that an app has opened. It says that the account is connected, which one, and for
    whom; the app hears of it; then the window is gone, and nobody had to close it.
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
        assert home_page == last["origin"]
        assert {
            "type": "upstash-helper",
            "attempt": app.started["attempt_id"],
            "state": "succeeded",
        } == last["data"]
        assert "connected" == (await world.get("/v1/connection")).json["state"]


async def test_a_window_that_the_sign_in_page_cut_off_closes_as_well(world: World, page: Page) -> None:
    """
    A sign-in page with a Cross-Origin-Opener-Policy takes the opener away: the app hears nothing by the window, and
    asks the daemon; the window goes all the same.
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


async def test_a_page_that_did_not_ask_is_told_nothing(world: World, page: Page, console: Console) -> None:
    """
    A page can open any address in a window. Unless it is one of those that asked for the sign-in, the window does not
    tell it even that there was one.
    """
    console.expect("Failed to execute 'postMessage'")
    asker = await world.pair("connection:write", origin="https://studio.example.com")
    started = (await world.as_app(asker, "POST", "/v1/connection", {})).json
    async with Site.serving({"/": APP_PAGE}) as site:
        await page.goto(site.origin)
        popup = await open_popup(page, started["authorization_url"])
        await cancel(popup)
        await expect(popup.get_by_role("heading", level=1)).to_have_text("You canceled the sign-in")
        async with popup.expect_event("close"):
            pass

        assert [] == await page.evaluate("window.heard")


async def test_a_tab_that_the_system_opened_closes_if_it_has_been_nowhere_else(
    world: World, context: BrowserContext
) -> None:
    """
    Who is signed in at Upstash already is sent on at once, and finds the tab gone.
    """
    started = await world.start()

    tab = await open_from_system(context, await world.sign_in(started))
    async with tab.expect_event("close"):
        await expect(tab.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_a_tab_that_the_system_opened_says_that_it_can_be_closed(world: World, context: BrowserContext) -> None:
    """
    Behind a sign-in form no browser lets a script close it. It promises nothing, and says what the user can do.
    """
    started = await world.start()
    tab = await open_from_system(context, started["authorization_url"])

    await sign_up(tab, world.email)
    async with tab.expect_console_message(lambda said: "Scripts may close only" in said.text):
        await expect(tab.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    assert not tab.is_closed()
    await expect(tab.locator(".closing")).to_have_text("You can close this window.")
    assert "You, with the helper's own tools" in await tab.locator(".facts").inner_text()


async def test_the_window_can_be_kept(world: World, page: Page, context: BrowserContext) -> None:
    """
    Whoever needs longer to read presses one button, by the keyboard as well, and the window stays.
    """
    async with WebApp.running(world, page) as app:
        await hold_clock(context)
        popup = await app.open_popup()
        await sign_up(popup, world.email)
        keep = popup.get_by_role("button", name="Keep it open")
        await keep.focus()
        await keep.press("Enter")
        await popup.clock.fast_forward("01:00")

        await expect(popup.locator(".closing")).to_have_text("You can close this window.")
        assert not popup.is_closed()


async def test_cancel_at_the_sign_in(world: World, page: Page) -> None:
    """
    Whoever changes their mind is told that nothing was changed, and so is the app; then the window is gone.
    """
    async with WebApp.running(world, page) as app:
        popup = await app.open_popup()
        await cancel(popup)
        await expect(popup.get_by_role("heading", level=1)).to_have_text("You canceled the sign-in")
        lead = await popup.locator(".lead").inner_text()
        async with popup.expect_event("close"):
            pass

        assert "Nothing was changed" in lead
        assert ["failed"] == [told["data"]["state"] for told in await app.messages()]
        assert "disconnected" == (await world.get("/v1/connection")).json["state"]
