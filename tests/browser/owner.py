"""The owner at the dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.support.world import World


async def ticket(world: World) -> str:
    """Return an address that opens the dashboard once, as ``upstash-helper open`` gets it."""
    url: str = (await world.call("POST", "/v1/dashboard/tickets")).json["url"]
    return url


async def open_dashboard(world: World, page: Page, section: str = "Overview") -> None:
    """Open the dashboard at one of its sections."""
    await page.goto(await ticket(world))
    await go_to(page, section)


async def go_to(page: Page, section: str) -> None:
    """Go to a section, and wait until all that it shows is there."""
    await page.get_by_role("navigation").get_by_role("link", name=section).click()
    await expect(page.locator("#main h1")).to_be_visible()
    await expect(page.locator("#main .skeleton")).to_have_count(0)


def approval(page: Page, identity: str) -> Locator:
    """Return the request of ``identity`` that waits."""
    return page.get_by_role("article", name=identity)


def dialog(page: Page, title: str) -> Locator:
    """Return the dialog with that title."""
    return page.get_by_role("dialog", name=title)


async def said(page: Page, text: str) -> None:
    """Wait until the page says ``text`` in passing."""
    await expect(page.get_by_role("status").filter(has_text=text).first).to_be_attached()
