"""The sandbox's own console in a real Chromium, by keyboard and without a script, in light and dark."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import aiohttp
import msgspec
import pytest
from playwright.async_api import expect

from tests.support.browser import overflowing_elements, violations
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from tests.support.browser import Console
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow

PAGES = ("Overview", "Accounts", "Teams", "Databases", "Requests", "Faults")
LONG = "a-name-that-is-as-long-as-a-name-can-be-and-has-no-space-at-all"


def unique_email() -> str:
    """Return an email that has no account yet."""
    return f"ada-{secrets.token_hex(6)}@example.com"


async def enter(sandbox: Sandbox, page: Page) -> None:
    """Open the console with a new link, as the user would from the terminal."""
    headers = {"Authorization": f"Bearer {sandbox.ready.admin_token}"}
    url = f"{sandbox.ready.admin_url}/console-links"
    async with aiohttp.ClientSession() as session, session.post(url, headers=headers) as response:
        link = msgspec.json.decode(await response.read())["url"]
    await page.goto(link)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sandbox")


async def problems(page: Page) -> list[str]:
    """Return what is not accessible on the page, or does not fit a narrow or a wide screen."""
    found = []
    for width in (320, 1280):
        await page.set_viewport_size({"width": width, "height": 720})
        await page.wait_for_function("width => document.documentElement.clientWidth === width", arg=width)
        found += await overflowing_elements(page)
    return [f"{page.url}: {problem}" for problem in (*found, *await violations(page))]


async def go_to(page: Page, name: str) -> None:
    """Follow a link of the navigation."""
    await page.get_by_role("navigation").get_by_role("link", name=name).click()
    await expect(page.get_by_role("navigation").locator("[aria-current=page]")).to_have_text(name)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_every_page_is_accessible(sandbox: Sandbox, page: Page, console: Console) -> None:
    """
    Every page, with long names, with the notice of an error, and with a new API key, is accessible and fits a narrow
    screen, in light and dark.
    """
    console.expect("400")  # The page for a fault that is not valid.
    await page.goto(sandbox.ready.console_url)
    found = await problems(page)
    await sandbox.account(email := unique_email(), PASSWORD)
    await sandbox.team(email, LONG, {f"{LONG}@example.com": "dev"})
    await sandbox.fault(path=f"/{LONG}/*", times=None, status=503)
    await page.goto(f"{sandbox.api_url}/{LONG * 3}")
    console.expect("501")
    await enter(sandbox, page)
    await page.get_by_role("link", name=re.compile("database")).click()
    await page.get_by_label("Name").fill(LONG)
    await page.get_by_label("Belongs to").select_option(email)
    await page.get_by_role("button", name="Create database").click()
    await expect(page.locator("li", has_text=LONG).first).to_be_visible()

    for name in PAGES:
        await go_to(page, name)
        found += await problems(page)

    await page.get_by_label("Method").fill(" ")
    await page.get_by_role("button", name="Add fault").click()
    await expect(page.get_by_role("alert")).to_contain_text("Enter a method")
    found += await problems(page)
    await go_to(page, "Accounts")
    await page.get_by_role("link", name=email).click()
    await page.get_by_label("Name of the new API key").fill(LONG)
    await page.get_by_role("button", name="Create API key").click()
    await expect(page.get_by_role("status")).to_contain_text("not shown again")
    found += await problems(page)

    assert [] == found


async def test_user_signs_in_with_the_token_by_keyboard(sandbox: Sandbox, browser: Browser) -> None:
    """
    Everything works without JavaScript and with the keyboard alone.
    """
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(sandbox.api_url)
    await page.keyboard.press("Tab")
    await page.keyboard.type(sandbox.ready.admin_token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Sandbox")
    url = page.url
    await page.get_by_role("link", name="Accounts", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.get_by_label("Email").focus()
    await page.keyboard.type(email := unique_email())
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")

    await expect(page.get_by_role("link", name=email)).to_be_visible()
    assert sandbox.ready.console_url == url
    await context.close()


async def test_user_signs_in_as_an_account(sandbox: Sandbox, page: Page) -> None:
    """
    One button opens the issuer's console as the user of an account.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    await enter(sandbox, page)
    await go_to(page, "Accounts")
    await page.get_by_role("link", name=email).click()

    await page.get_by_role("button", name="Sign in as this user").click()

    await page.wait_for_url(f"{sandbox.issuer_url}/console")
    assert f"Signed in as {email}" in await page.locator("main").inner_text()


async def test_request_log_follows_new_requests(sandbox: Sandbox, page: Page) -> None:
    """
    With the regular refresh turned on, a new request appears without a click.
    """
    await enter(sandbox, page)
    await go_to(page, "Requests")
    await page.get_by_role("link", name="Refresh every 3 seconds").click()
    await expect(page.get_by_role("link", name="Stop refreshing")).to_be_visible()
    path = f"/{secrets.token_hex(6)}"

    async with aiohttp.ClientSession() as session, session.get(sandbox.api_url + path) as response:
        assert response.status == 501

    await expect(page.get_by_text(f"GET {path}")).to_be_visible(timeout=30_000)
