"""
T56: a browser that does not resolve the name of the owner's pages. Some versions of Safari do not; Chromium is told not
to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.dashboard import go_to
from tests.browser.sign_in import sign_up
from tests.support.browser import Site, launch
from tests.support.web_tool import BUTTON, connect_js, wait_for_state
from upstash_helper.system.browser import write_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page, Playwright

    from tests.support.world import World

pytestmark = pytest.mark.slow

UNKNOWN = "MAP upstash-helper.localhost ~NOTFOUND, MAP *.upstash-helper.localhost ~NOTFOUND"


@pytest_asyncio.fixture(name="page", loop_scope="session")
async def _page(playwright: Playwright) -> AsyncIterator[Page]:
    """A page in such a browser."""
    browser = await launch(playwright, f"--host-resolver-rules={UNKNOWN}")
    yield await browser.new_page()
    await browser.close()


async def test_t56_dashboard_continues_at_the_numeric_address(world: World, page: Page, tmp_path: Path) -> None:
    """The file that ``upstash-helper open`` gives the browser finds out."""
    await world.connect()
    ticket = (await world.call("POST", "/v1/dashboard/tickets?numeric=true")).json
    file = write_page(tmp_path, "dashboard.html", ticket["url"], ticket["numeric_url"])

    await page.goto(file.as_uri())
    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    await go_to(page, "Apps")

    assert page.url.startswith(ticket["numeric_url"].partition("#")[0])


async def test_t56_file_without_a_numeric_address_says_so(world: World, page: Page, tmp_path: Path) -> None:
    """It stays, and names the command."""
    ticket = (await world.call("POST", "/v1/dashboard/tickets")).json

    await page.goto(write_page(tmp_path, "dashboard.html", ticket["url"], "").as_uri())

    await expect(page.get_by_text("This browser cannot open the page")).to_be_visible()

    assert page.url.startswith("file:")


async def test_t56_sign_in_ends_at_a_page_that_says_so(world: World, page: Page) -> None:
    """The redirect itself needs no name, so the account is connected. The page shows nothing of it."""
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)

    await expect(page.get_by_role("heading", level=1)).to_have_text("The sign-in has returned to upstash-helper")
    attempt = await world.settled(started["attempt_id"])
    shown = await page.content()

    assert "succeeded" == attempt["state"]
    assert "You can close this window" in shown
    assert world.email not in shown


async def test_t56_bridge_error_says_what_to_do(world: World, page: Page) -> None:
    """The page cannot see why its window stays empty, so the error names the cause that the user can see there."""
    tool = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
    <script type="module" src="/connect.js"></script>
    <upstash-connect name="Tool" scopes="databases:read" bridge></upstash-connect>"""
    module = connect_js(world).replace("const PROBE_MS = 8_000;", "const PROBE_MS = 1_000;")
    async with Site.serving({"/": tool, "/connect.js": module}) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await wait_for_state(page, "missing")
        shown = await page.locator("upstash-connect").evaluate("(it) => it.error.help")

    assert "upstash-helper.localhost cannot be found" in shown
    assert "use Chrome, Edge, Firefox" in shown
