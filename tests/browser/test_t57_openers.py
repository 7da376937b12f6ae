"""T57: a page that opens one of the owner's pages, or comes after one in its tab, gets no control of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import dashboard_link
from tests.browser.sign_in import sign_up
from tests.support.browser import Site
from tests.support.web_tool import wait_until_closed

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

EVIL = """<!doctype html><title>Evil</title><link rel="icon" href="data:,"><h1>Evil</h1>"""


async def test_t57_window_of_a_later_page_has_no_session(world: World, page: Page, context: BrowserContext) -> None:
    """
    The user follows a link in the dashboard's tab. Windows that the next page opens get a copy of the tab's entire
    sessionStorage, but no dashboard that works. The user who goes back has the dashboard again.
    """
    await world.connect()
    await page.goto(await dashboard_link(world))
    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    async with Site.serving({"/": EVIL}) as site:
        await page.goto(site.origin)
        async with context.expect_page() as opened:
            await page.evaluate("(pages) => { window.opened = open(pages, 'x'); }", world.pages)
        window = await opened.value
        await expect(window.get_by_role("heading", level=1)).to_have_text("upstash-helper is running")
        stored = await window.evaluate("sessionStorage.length")
        await page.go_back()
        await expect(page.get_by_role("heading", name=world.email)).to_be_visible()

    assert 0 == stored


async def test_t57_opener_keeps_no_reference_to_the_dashboard(
    world: World, page: Page, context: BrowserContext, console: Console
) -> None:
    """It can neither navigate the window, for example to another ticket, nor close it."""
    console.expect("Cross-Origin-Opener-Policy")
    await world.connect()
    async with Site.serving({"/": EVIL}) as site:
        await page.goto(site.origin)
        link = await dashboard_link(world)
        async with context.expect_page() as opened:
            await page.evaluate("(link) => { window.opened = open(link, 'x'); }", link)
        dashboard = await opened.value
        await expect(dashboard.get_by_role("heading", name=world.email)).to_be_visible()

        is_gone = await page.evaluate("window.opened.closed")
        has_opener = await dashboard.evaluate("window.opener !== null")
        await page.evaluate(
            "(pages) => { window.opened.location = `${pages}/#ticket=x`; window.opened.close(); }", world.pages
        )

        assert (True, False) == (is_gone, has_opener)
        await expect(dashboard.get_by_role("heading", name=world.email)).to_be_visible()


async def test_t57_sign_in_window_has_no_hold_on_the_dashboard(
    world: World, page: Page, context: BrowserContext
) -> None:
    """
    The sign-in returns to the shared address, where a service worker of another program may answer. It could replace
    the dashboard with a page that looks like it. The window still closes on its own.
    """
    await page.goto(await dashboard_link(world))
    async with context.expect_page() as opened:
        await page.locator("[data-action=connect]").first.click()
    window = await opened.value
    await expect(window.get_by_label("Password")).to_be_visible()
    has_opener = await window.evaluate("window.opener !== null")
    await sign_up(window, world.email)
    await wait_until_closed(window)

    assert not has_opener
    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
