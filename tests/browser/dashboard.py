"""Actions of the user in the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.support.world import World


async def dashboard_link(world: World) -> str:
    """Return an address that opens the dashboard once, as ``upstash-helper open`` gets it."""
    url: str = (await world.call("POST", "/v1/dashboard/tickets")).json["url"]
    return url


async def one_time_link(world: World) -> str:
    """Return the link to the dashboard that a browser is started with."""
    url: str = (await world.call("POST", "/v1/dashboard/tickets?link=true")).json["link"]
    return url


async def open_dashboard(world: World, page: Page, section: str = "Overview") -> None:
    """Open a section of the dashboard."""
    await page.goto(await dashboard_link(world))
    await go_to(page, section)


async def go_to(page: Page, section: str) -> None:
    """Switch to a section and wait until it is loaded."""
    await page.get_by_role("navigation").get_by_role("link", name=section).click()
    await expect(page.locator("#main h1")).to_be_visible()
    await expect(page.locator("#main .skeleton")).to_have_count(0)


def access_request(page: Page, identity: str) -> Locator:
    """Return the card of the pending access request of ``identity``."""
    return page.get_by_role("article", name=identity)


async def press(control: Locator) -> None:
    """Move the mouse to a control that counts clicks only after a delay, wait for that, and click."""
    await control.hover()
    await expect(control).to_be_enabled()
    await control.click()


def dialog(page: Page, title: str) -> Locator:
    """Return the dialog with ``title``."""
    return page.get_by_role("dialog", name=title)


async def connection_card(page: Page) -> str:
    """Return the text of the connection card."""
    return await page.get_by_role("region", name="Connection").inner_text()


async def expect_notice(page: Page, text: str) -> None:
    """Wait until a short-lived notice with ``text`` appears."""
    await expect(page.get_by_role("status").filter(has_text=text).first).to_be_attached()
