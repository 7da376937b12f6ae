"""The browser fixtures: tests get a real browser, and errors in its pages fail them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Console, Site, overflowing_elements, violations

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.world import World


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_address_of_the_helper_shows_a_page(world: World, page: Page, home_page: str) -> None:
    """
    The helper's address shows an accessible page, in both color schemes and on a narrow screen.
    """
    await page.set_viewport_size({"width": 320, "height": 568})

    answer = await page.goto(home_page)

    assert answer is not None
    assert 200 == answer.status
    assert "upstash-helper" in await page.title()
    assert [] == await overflowing_elements(page)
    assert [] == await violations(page)


async def test_site_of_another_origin_records_its_requests(page: Page) -> None:
    """
    A test can serve a site on another origin and read the requests that the site received.
    """
    async with Site.serving({"/": "<!doctype html><script src='/a.js'></script>", "/a.js": "window.a = 1;"}) as site:
        await page.goto(site.origin)

        assert 1 == await page.evaluate("window.a")
        assert ("GET", "/a.js") in site.requests


async def test_page_errors_are_recorded(page: Page, console: Console) -> None:
    """
    An error in a page fails the test unless the test expects it.
    """
    console.expect("broken on purpose")
    async with Site.serving({"/": "<!doctype html><script>throw new Error('broken on purpose')</script>"}) as site:
        await page.goto(site.origin)

        assert "broken on purpose" in console.errors[0]
        assert [] == console.unexpected
