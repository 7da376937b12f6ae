"""The dashboard before an account is connected: the way that works comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.connection_states import show_connection
from tests.browser.dashboard import dashboard_link, dialog, open_dashboard
from tests.support.browser import violations
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.browser import Console
    from tests.support.world import World


@pytest.mark.parametrize(
    ("state", "first", "absent"),
    [
        ("disconnected", "Connect Upstash", "Reconnect"),
        ("disconnected-without-a-sign-in", "Use an API key", "Connect Upstash"),
        ("port-conflict", "Use an API key", "Connect Upstash"),
    ],
)
async def test_way_that_works_comes_first(world: World, page: Page, state: str, first: str, absent: str) -> None:
    """A sign-in that could only fail has no button."""
    await open_dashboard(world, page)

    await show_connection(page, state)

    buttons = page.get_by_role("region", name="Connection").get_by_role("button")
    await expect(buttons.first).to_have_text(first)
    await expect(buttons.first).to_be_enabled()
    assert absent not in await buttons.all_inner_texts()


async def test_key_dialog_opens_by_its_address(world: World, page: Page, console: Console) -> None:
    """The tray's entry leads to the dialog. It names the console's page, and a pasted key is cleaned."""
    console.expect("422")
    await world.sandbox.account(world.email, PASSWORD)
    key = await world.sandbox.api_key(world.email, "by-hand")
    await page.goto(f"{await dashboard_link(world)}&section=key")
    form = dialog(page, "Use an API key")
    await expect(form).to_be_visible()
    link = form.get_by_role("link", name="Open the page for API keys in the console")

    assert "https://console.upstash.com/account/api" == await link.get_attribute("href")
    assert [] == await violations(page)
    await form.get_by_label("Account email").fill("ann")
    await form.get_by_label("API key").fill("https://console.upstash.com/account/api")
    await form.get_by_role("button", name="Connect").click()
    await expect(form).to_contain_text("it has no @")
    await expect(form).to_contain_text("looks like a URL")
    await form.get_by_label("Account email").fill(f" <{world.email}>\u200b")
    await form.get_by_label("API key").fill(f'"UPSTASH_API_KEY={key}" ')
    await form.get_by_role("button", name="Connect").click()
    await expect(form).to_have_count(0)
    await expect(page.get_by_role("region", name="Connection")).to_contain_text(f"Connected as {world.email}")


async def test_key_dialog_is_no_page_of_its_own(world: World, page: Page) -> None:
    """Closing it shows the overview, and a reload does not open it again."""
    await page.goto(f"{await dashboard_link(world)}&section=key")
    await dialog(page, "Use an API key").get_by_role("button", name="Cancel").click()
    await expect(dialog(page, "Use an API key")).to_have_count(0)

    await page.reload()
    await expect(page.get_by_role("button", name="Connect Upstash")).to_be_visible()

    await expect(dialog(page, "Use an API key")).to_have_count(0)
    assert page.url.endswith("#overview")
