"""An app's sign-in to another account than the connected one (threat T59), in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.dashboard import dialog, open_dashboard, press
from tests.browser.sign_in import WebApp, sign_up
from tests.support.browser import overflowing_elements, violations
from tests.support.replacement import attack, use_api_key

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.world import World

APP = "https://orders.example"


async def account(world: World) -> str:
    return str((await world.get("/v1/connection")).json["account"]["email"])


async def test_t59_dashboard_asks_and_a_click_at_once_does_not_count(world: World, page: Page) -> None:
    """The question is in every section. Replacing takes two steps, and the second one is not live at once."""
    await open_dashboard(world, page, "Apps")
    await attack(world, APP)
    card = page.get_by_role("article", name=f"Replace {world.email} with evil-{world.email}?")
    await expect(card).to_contain_text(f"Requested by {APP}")
    await expect(card).to_contain_text("“Orders”")
    await page.set_viewport_size({"width": 320, "height": 700})
    problems = [*await violations(page), *await overflowing_elements(page)]

    await press(card.get_by_role("button", name="Replace…"))
    replace = dialog(page, "Replace").get_by_role("button", name="Replace")
    await replace.click(force=True)
    before = await account(world)
    await press(replace)

    await expect(card).to_have_count(0)
    await expect(page.locator(".waiting:visible")).to_have_count(0)
    await world.settled((await world.get("/v1/connection")).json["attempt"]["attempt_id"])
    assert (world.email, f"evil-{world.email}") == (before, await account(world))
    assert [] == problems


async def test_t59_dashboard_keeps_the_account(world: World, page: Page) -> None:
    """An answer elsewhere closes the dialog, so that there is nothing left to click."""
    _, started, _ = await attack(world, APP)
    await open_dashboard(world, page)
    await press(page.get_by_role("button", name="Replace…"))
    await expect(dialog(page, "Replace")).to_be_visible()

    await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")

    await expect(dialog(page, "Replace")).to_have_count(0)
    await expect(page.get_by_role("button", name="Replace…")).to_have_count(0)
    assert world.email == await account(world)


async def test_t59_page_signs_in_to_its_own_account_by_itself(world: World, page: Page) -> None:
    """The window shows that the user must decide, and then the result. Neither account is named there."""
    async with WebApp.running(world, page) as app:
        await use_api_key(world, world.email)
        popup = await app.open_popup()
        await sign_up(popup, f"evil-{world.email}")
        await expect(popup.get_by_role("heading", level=1)).to_have_text("Waiting for your decision")
        waiting = await popup.locator("main").inner_text()
        await popup.evaluate("window.close = () => {}")

        await world.call("DELETE", f"/v1/connection/attempts/{app.started['attempt_id']}")

        await expect(popup.get_by_role("heading", level=1)).to_have_text("You kept the connected account")
        assert world.email not in waiting + await popup.locator("main").inner_text()
        assert ["confirmation_required", "failed"] == [
            message["data"]["state"] for message in await app.messages() if message["data"]["state"] != "exchanging"
        ]
    assert world.email == await account(world)
