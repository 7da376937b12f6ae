"""T58: the cookies of other ports of localhost, as a browser sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import go_to, open_dashboard
from tests.support.browser import Site

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

pytestmark = pytest.mark.slow

SET = """(domain) => {
  for (let number = 0; number < 60; number++) document.cookie = `c${number}=${"x".repeat(4000)}; path=/${domain}`;
  return document.cookie.length;
}"""


async def test_t58_sign_in_and_dashboard_work_with_240_kb_of_cookies(
    world: World, page: Page, context: BrowserContext, home_page: str
) -> None:
    """Other ports have set them, of ``localhost`` and of the site of the owner's pages."""
    lengths = []
    for host, domain in (("localhost", ""), ("upstash-helper.localhost", "; domain=upstash-helper.localhost")):
        async with Site.serving({"/": "<!doctype html><title>x</title>"}, host=host) as other:
            await page.goto(other.origin)
            lengths.append(await page.evaluate(SET, domain))

    started = await world.start()
    await page.goto(await world.sign_in(started))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your account has been connected")
    await open_dashboard(world, page)
    await go_to(page, "Apps")
    kept = [len(await context.cookies(origin)) for origin in (home_page, world.pages)]

    assert min(lengths) > 230_000
    assert [60, 60] == kept
