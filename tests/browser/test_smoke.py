"""The browser itself: that a test gets a real one, and hears what its pages complain of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Console, Site, overflowing_elements, violations

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.world import World


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_the_daemon_has_a_page(world: World, page: Page, home_page: str) -> None:
    """
    Who types the helper's address into a browser sees that it runs, in both color schemes, on a narrow screen as well.
    """
    await page.set_viewport_size({"width": 320, "height": 568})

    answer = await page.goto(home_page)

    assert answer is not None
    assert 200 == answer.status
    assert "upstash-helper" in await page.title()
    assert [] == await overflowing_elements(page)
    assert [] == await violations(page)


async def test_a_page_of_another_origin(page: Page) -> None:
    """
    A test can have a site of its own, of which it knows what was asked for.
    """
    async with Site.serving({"/": "<!doctype html><script src='/a.js'></script>", "/a.js": "window.a = 1;"}) as site:
        await page.goto(site.origin)

        assert 1 == await page.evaluate("window.a")
        assert ("GET", "/a.js") in site.requests


async def test_complaints_are_heard(page: Page, console: Console) -> None:
    """
    An error in a page fails its test, unless that is what the test is about.
    """
    console.expect("broken on purpose")
    async with Site.serving({"/": "<!doctype html><script>throw new Error('broken on purpose')</script>"}) as site:
        await page.goto(site.origin)

        assert "broken on purpose" in console.errors[0]
        assert [] == console.unexpected
