"""The buttons of a sign-in that has failed, for users who came from a web page and have no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.dashboard import dialog
from tests.browser.sign_in import sign_up
from tests.support.browser import overflowing_elements, violations
from tests.support.failed_sign_in import failed_page
from tests.support.until import until_async
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

    from tests.support.sandbox import Sandbox


@pytest_asyncio.fixture(name="world", loop_scope="session")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon that opens the browser, which only records the addresses."""
    async with World.running(tmp_path, sandbox, daemon_port, open_browser=True) as world:
        yield world


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_failure_page_has_accessible_buttons(world: World, page: Page) -> None:
    """The way that works comes first. They fit on a phone."""
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(await failed_page(world))

    await expect(page.locator(".buttons button")).to_have_text(["Try again", "Use an API key", "Open dashboard"])
    assert [] == [*await violations(page), *await overflowing_elements(page)]


@pytest.mark.parametrize("app", [False, True], ids=["owner", "app"])
async def test_try_again_starts_the_users_own_sign_in(world: World, page: Page, *, app: bool) -> None:
    """The button opens the dashboard. The sign-in is the owner's, and starts with a click there."""
    await page.goto(await failed_page(world, app=app))
    await page.get_by_role("button", name="Try again").click()
    shown = page.get_by_role("status").filter(has_text="The dashboard is opening in your browser.")
    await expect(shown).to_be_attached()
    [address] = world.browser.opened
    assert "ticket" not in await page.content()

    await page.goto(address)
    question = dialog(page, "Sign in to Upstash?")
    before = (await world.get("/v1/connection")).json["attempt"]["state"]
    async with page.expect_popup() as opened:
        await question.get_by_role("button", name="Sign in to Upstash").click()
    popup = await opened.value
    await sign_up(popup, world.email)
    await expect(page.get_by_role("region", name="Connection")).to_contain_text(f"Connected as {world.email}")

    assert "failed" == before


async def test_api_key_opens_its_dialog(world: World, page: Page) -> None:
    """In the dashboard, not in the page, which an app may see."""
    await page.goto(await failed_page(world))
    await page.get_by_role("button", name="Use an API key").click()
    await until_async(lambda: world.browser.opened)

    await page.goto(world.browser.opened[0])

    form = dialog(page, "Use an API key")
    await expect(form).to_be_visible()
    await expect(form.get_by_label("API key")).to_have_count(1)
    assert 1 == len(world.browser.opened)
