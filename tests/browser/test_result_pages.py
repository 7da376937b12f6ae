"""Every page of a sign-in: that it says why and what next, reads well for all, and fits every screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.result_pages import REASONS, failed, page_of, pages, serve_pages
from tests.support.browser import overflowing_elements, violations
from upstash_helper.api.pages.outcome import LOOKS

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from upstash_helper.protocol.literals import FailureReason


def test_every_failure_reason_has_a_look_and_a_title_of_its_own() -> None:
    """A new reason cannot be forgotten, and no two pages have the same title."""
    assert set(REASONS) == set(LOOKS)
    assert len(REASONS) == len({page_of(failed(reason)).title for reason in REASONS})


@pytest.mark.parametrize("reason", REASONS)
def test_a_failure_says_why_and_what_next(reason: FailureReason) -> None:
    """The user is told in plain words, without the code of an error, and is never left without a next step."""
    page = page_of(failed(reason))

    assert page.lead.startswith("Your account was not connected. ")
    assert page.lead.endswith(".")
    assert "_" not in page.title + page.lead.replace("client_id", "")
    assert page.steps
    assert all(step.command.startswith("upstash-helper ") for step in page.steps)


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_every_page_reads_well_for_all_and_fits(page: Page) -> None:
    """Axe finds nothing on any page, and none scrolls sideways on the narrowest phone."""
    await page.set_viewport_size({"width": 320, "height": 640})
    wrong: dict[str, list[str]] = {}
    async with serve_pages() as site:
        for name in pages():
            await page.goto(f"{site.origin}/{name}")
            found = [*await violations(page), *await overflowing_elements(page)]
            if found:
                wrong[name] = found

    assert {} == wrong


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_a_window_that_is_about_to_close_reads_well_for_all(page: Page) -> None:
    """The line that counts down, with its button, is as readable as the rest."""
    async with serve_pages() as site:
        site.pages["/closing"] = site.pages["/connected"].replace('data-closes="3"', 'data-closes="60"')
        await page.goto(f"{site.origin}/no-attempt")
        async with page.expect_popup() as coming:
            await page.evaluate("(url) => { window.open(url); }", f"{site.origin}/closing")
        popup = await coming.value
        await expect(popup.get_by_role("button", name="Keep it open")).to_be_visible()

        assert [] == await violations(popup)


async def test_a_command_can_be_copied(page: Page, context: BrowserContext) -> None:
    """One button puts a command on the clipboard, and says that it did."""
    async with serve_pages() as site:
        await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.origin)
        await page.goto(f"{site.origin}/no-attempt")
        button = page.get_by_role("button", name="Copy upstash-helper connect --paste")

        await button.click()

        await expect(button).to_have_text("Copied")
        assert "upstash-helper connect --paste" == await page.evaluate("navigator.clipboard.readText()")
