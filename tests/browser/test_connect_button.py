"""The Connect button: accessibility, keyboard, and styling, in both color schemes and on a narrow screen."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from install.environment import ROOT
from tests.browser.sign_in import sign_up
from tests.support.browser import Console, overflowing_elements, violations
from tests.support.web_tool import BUTTON, approve, example_tool, pending_request, popup_of, wait_for_state
from tests.support.world import free_port

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

ANNOUNCED = "upstash-connect >> [role=status]"
FOCUSED = "document.querySelector('upstash-connect').shadowRoot.activeElement?.outerHTML.slice(0, 60)"


async def problems_of(page: Page) -> list[str]:
    """Return the accessibility violations and the overflowing elements of the page in its current state."""
    return [*await violations(page), *await overflowing_elements(page)]


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_every_state_is_accessible_and_fits(
    world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """
    axe-core finds no violation in any state of the button and the example page, and nothing overflows.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 409")
    await page.set_viewport_size({"width": 320, "height": 640})
    found = []
    async with example_tool(world) as site:
        await page.goto(site.origin)
        found += await problems_of(page)
        await page.evaluate(
            "(url) => document.querySelector('upstash-connect').setAttribute('url', url)",
            f"http://localhost:{free_port()}",
        )
        await page.locator(BUTTON).click()
        await wait_for_state(page, "missing")
        found += await problems_of(page)
        await page.evaluate("document.querySelector('upstash-connect').removeAttribute('url')")
        await page.get_by_role("button", name="Try again").click()
        pairing = await pending_request(world)
        await wait_for_state(page, "approval")
        found += await problems_of(page)
        announced = await page.locator(ANNOUNCED).inner_text()
        popup = await popup_of(context, page)
        found += await problems_of(popup)
        await approve(world)
        await wait_for_state(page, "sign-in")
        found += await problems_of(page)
        await popup.close()
        await wait_for_state(page, "window-closed")
        found += await problems_of(page)
        async with context.expect_page() as again:
            await page.get_by_role("link", name="Open it again").click()
        await sign_up(await again.value, world.email)
        await wait_for_state(page, "connected")
        found += await problems_of(page)
        await page.get_by_role("button", name="New database").click()
        await page.get_by_label("Name").fill("a-name-that-is-as-long-as-names-of-databases-may-be-and-no-longer")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_text("Created").wait_for()
        found += await problems_of(page)
        await page.get_by_role("button", name="Credentials of").click()
        await page.get_by_role("dialog").wait_for()
        found += await problems_of(page)

    assert [] == found
    assert pairing["user_code"] in announced


async def test_keyboard_focus_stays_in_the_button(world: World, page: Page) -> None:
    """
    The focus moves to the card that replaces the button, and back to the button after Cancel.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.evaluate("window.open = () => null")
        await page.locator(BUTTON).focus()
        await page.keyboard.press("Enter")
        await wait_for_state(page, "approval")
        during = await page.evaluate(FOCUSED)
        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await wait_for_state(page, "idle")
        after = await page.evaluate(FOCUSED)

        assert "Approve this page" in during
        assert "primary" in after


async def test_page_can_style_the_button(world: World, page: Page) -> None:
    """
    A page can set the colors with custom properties and the label with an attribute.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.evaluate(
            """() => {
                const button = document.createElement('upstash-connect');
                button.setAttribute('label', 'Use my Upstash');
                button.style.setProperty('--upstash-accent', 'rgb(1, 2, 3)');
                document.querySelector('main').replaceChildren(button);
            }"""
        )
        mine = page.locator("main upstash-connect >> button")

        assert "Use my Upstash" == await mine.inner_text()
        assert "rgb(1, 2, 3)" == await mine.evaluate("(button) => getComputedStyle(button).backgroundColor")


def scopes_of(pairing: dict[str, Any]) -> set[str]:
    return {scope["scope"] for scope in pairing["scopes"]}


async def test_t59_sign_in_is_requested_only_if_it_is_needed(world: World, context: BrowserContext, page: Page) -> None:
    """
    Without an account, one click and one approval lead to the sign-in. With one, a page does not request to start any.
    """
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        first = await pending_request(world)
        popup = await popup_of(context, page)
        await approve(world)
        await wait_for_state(page, "sign-in")
        await sign_up(popup, world.email)
        await wait_for_state(page, "connected")
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        second = await pending_request(world)
        await approve(world)
        await wait_for_state(page, "connected")
    apps = (await world.get("/v1/apps")).json["apps"]

    assert {"connection:write"} == scopes_of(first) - scopes_of(second)
    assert "connection:read" in scopes_of(second)
    assert 2 == len(apps)


@pytest.mark.parametrize(
    ("help_url", "expected"),
    [(None, "https://upstash.com/docs"), ("https://orders.example/help", "https://orders.example/help"), ("", None)],
)
async def test_missing_helper_can_be_installed(
    world: World, page: Page, console: Console, help_url: str | None, expected: str | None
) -> None:
    """Without the helper, the button links to a page on how to get it, unless the page turns that off."""
    console.expect("ERR_CONNECTION_REFUSED")
    async with example_tool(world) as site:
        await page.goto(site.origin)
        await page.evaluate(
            """([url, help]) => {
                const button = document.querySelector("upstash-connect");
                button.setAttribute("url", url);
                if (help !== null) button.setAttribute("help-url", help);
            }""",
            [f"http://localhost:{free_port()}", help_url],
        )
        await page.locator(BUTTON).click()
        await wait_for_state(page, "missing")
        links = page.get_by_role("link", name="Get upstash-helper")
        found = [await link.get_attribute("href") for link in await links.all()]
        problems = await problems_of(page)

    assert ([expected] if expected else []) == found
    assert [] == problems


def test_link_to_the_helper_is_that_of_the_project() -> None:
    """It is the documentation's address in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    button = (ROOT / "daemon/upstash_helper/web/connect/button.js").read_text("utf-8")

    assert f'const HELP_URL = "{project["urls"]["Documentation"]}";' in button
