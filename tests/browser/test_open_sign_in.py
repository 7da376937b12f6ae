"""The open sign-in in a real browser: from a page, from the dashboard, and revoked in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import connection_card, dialog, open_dashboard
from tests.browser.sign_in import WebApp, cancel
from tests.support.open_sign_in import allow_in_chromium, sign_in_in_chromium
from tests.support.web_tool import BUTTON, approve, example_tool, popup_of, wait_for_state
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

CONNECTED = "Your account has been connected"


async def test_page_connects_an_account_and_creates_a_database(
    open_world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """The Connect button, a sign-up, the choice of full access, and the window that closes."""
    console.expect("status of 409")
    async with example_tool(open_world) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        await approve(open_world)
        popup = await popup_of(context, page)
        await popup.wait_for_url(f"{open_world.sandbox.issuer_url}/**")
        await allow_in_chromium(popup, open_world.email, PASSWORD, full_access=True)
        if not popup.is_closed():
            await popup.wait_for_event("close")
        await wait_for_state(page, "connected")
        await page.get_by_role("button", name="New database").click()
        await page.get_by_label("Name").fill("made-by-a-page")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_text("Created").wait_for()

    connection = (await open_world.get("/v1/connection")).json
    databases = (await open_world.get("/v1/databases")).json["databases"]
    assert ("connected", "grant", "full") == (connection["state"], connection["method"], connection["access"])
    assert ["made-by-a-page"] == [database["name"] for database in databases]


async def test_window_shows_the_account_and_closes(open_world: World, page: Page) -> None:
    """As in the partner flow, from another address."""
    async with WebApp.running(open_world, page) as app:
        popup = await app.open_popup()
        await allow_in_chromium(popup, open_world.email, PASSWORD, full_access=True)
        await expect(popup.get_by_role("heading", level=1)).to_have_text(CONNECTED)
        facts = await popup.locator(".facts").inner_text()
        async with popup.expect_event("close"):
            pass
        (last,) = [message["data"] for message in await app.messages() if message["data"]["state"] == "succeeded"]

    assert open_world.email in facts
    assert app.started["attempt_id"] == last["attempt"]


@pytest.mark.parametrize("at_consent", [False, True])
async def test_cancel_changes_nothing(open_world: World, page: Page, *, at_consent: bool) -> None:
    """At the sign-in, or at the page that asks for consent."""
    async with WebApp.running(open_world, page) as app:
        popup = await app.open_popup()
        if at_consent:
            await sign_in_in_chromium(popup, open_world.email, PASSWORD)
        await cancel(popup)
        await expect(popup.get_by_role("heading", level=1)).to_have_text("You canceled the sign-in")

    assert "disconnected" == (await open_world.get("/v1/connection")).json["state"]


async def test_dashboard_shows_team_and_read_only_access(open_world: World, page: Page) -> None:
    """And how the console lists it. A disconnect says where to look."""
    await open_world.sandbox.account(open_world.email, PASSWORD)
    await open_world.sandbox.team(open_world.email, "Crew")
    await open_dashboard(open_world, page)
    async with page.context.expect_page() as opened:
        await page.get_by_role("button", name="Connect Upstash").click()
    tab = await opened.value
    await allow_in_chromium(tab, open_world.email, PASSWORD, sign_up=False, team="Crew")
    await expect(page.get_by_role("region", name="Connection")).to_contain_text("read-only")
    shown = await connection_card(page)

    connection = (await open_world.get("/v1/connection")).json
    assert f"Connected as {open_world.email} (team {connection['account']['team_id']}), read-only" in shown
    assert "apps cannot create or change" in shown
    assert connection["grant_name"] in shown
    await page.get_by_role("button", name="Disconnect…").click()
    asked = dialog(page, "Disconnect this account?")
    assert "ends its sign-in for" in await asked.inner_text()
    await asked.get_by_role("button", name="Disconnect").click()
    told = dialog(page, "Account disconnected")
    assert f"{connection['grant_name']} (Account > OAuth Clients)" in await told.inner_text()


async def test_grant_revoked_in_the_console_is_shown(
    open_world: World, context: BrowserContext, page: Page, console: Console
) -> None:
    """The user revokes it on the console's page. At the next call, the dashboard asks to connect again."""
    console.expect("status of 424")
    await open_world.connect()
    name = (await open_world.get("/v1/connection")).json["grant_name"]
    upstash = await context.new_page()
    await upstash.goto(f"{open_world.sandbox.issuer_url}/console")
    await sign_in_in_chromium(upstash, open_world.email, PASSWORD, sign_up=False)
    await upstash.get_by_role("button", name=f"Revoke {name}").click()
    await expect(upstash.get_by_role("button", name=f"Revoke {name}")).to_have_count(0)
    await open_dashboard(open_world, page)

    assert 424 == (await open_world.get("/v1/databases?refresh=true")).status

    card = page.get_by_role("region", name="Connection")
    await expect(card).to_contain_text("Your sign-in at Upstash has ended")
    await expect(card).to_contain_text("revoked in the Upstash console")
    await expect(card.get_by_role("button", name="Reconnect")).to_be_visible()
