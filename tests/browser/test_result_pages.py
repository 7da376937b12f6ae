"""Every result page of a sign-in: reason, next steps, accessibility, and width."""

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


def test_every_failure_reason_has_a_look_and_a_unique_title() -> None:
    """Every reason has a look, and no two pages have the same title."""
    assert set(REASONS) == set(LOOKS)
    assert len(REASONS) == len({page_of(failed(reason)).title for reason in REASONS})


@pytest.mark.parametrize("reason", REASONS)
def test_failure_page_has_a_reason_and_next_steps(reason: FailureReason) -> None:
    """The page of every failure explains it in plain words, without error codes, and offers a next step."""
    page = page_of(failed(reason))

    assert page.lead.startswith("Your account was not connected. ")
    assert page.lead.endswith(".")
    assert "_" not in page.title + page.lead.replace("client_id", "")
    assert page.steps
    assert all(step.command.startswith("upstash-helper ") for step in page.steps)


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_every_page_is_accessible_and_fits(page: Page) -> None:
    """axe-core finds no violation on any page, and none scrolls horizontally on a narrow phone."""
    await page.set_viewport_size({"width": 320, "height": 640})
    problems: dict[str, list[str]] = {}
    async with serve_pages() as site:
        for name in pages():
            await page.goto(f"{site.origin}/{name}")
            found = [*await violations(page), *await overflowing_elements(page)]
            if found:
                problems[name] = found

    assert {} == problems


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_countdown_before_closing_is_accessible(page: Page) -> None:
    """axe-core finds no violation while the page counts down to closing."""
    async with serve_pages() as site:
        site.pages["/closing"] = site.pages["/connected"].replace('data-closes="3"', 'data-closes="60"')
        await page.goto(f"{site.origin}/no-attempt")
        async with page.expect_popup() as opened:
            await page.evaluate("(url) => { window.open(url); }", f"{site.origin}/closing")
        popup = await opened.value
        await expect(popup.get_by_role("button", name="Keep it open")).to_be_visible()

        assert [] == await violations(popup)


async def test_command_can_be_copied(page: Page, context: BrowserContext) -> None:
    """The button copies the command and shows that it did."""
    async with serve_pages() as site:
        await context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.origin)
        await page.goto(f"{site.origin}/no-attempt")
        button = page.get_by_role("button", name="Copy upstash-helper connect --paste")

        await button.click()

        await expect(button).to_have_text("Copied")
        assert "upstash-helper connect --paste" == await page.evaluate("navigator.clipboard.readText()")
