"""Every section and state of the dashboard: axe-core finds nothing, and nothing sticks out, from a phone to a desk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import dialog, go_to, open_dashboard
from tests.support.browser import overflowing_elements, violations

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("color_scheme", ["light", "dark"])]

WIDTHS = (360, 768, 1440)
AXE_WIDTHS = (360, 1440)
LONG = "https://a-very-long-name-of-a-sub-domain.with-many-parts.and-even-more.preview.deployments.example-hosting.com"
ATTEMPT = {"attempt_id": "a", "state": "pending", "expires_at": "2030-01-01T00:00:00Z"}
STATES: dict[str, dict[str, Any]] = {
    "disconnected": {"attempt": {**ATTEMPT, "state": "failed", "reason": "access_denied", "detail": "You cancelled."}},
    "connecting": {"attempt": {**ATTEMPT, "waiting": "no_callback", "detail": "The browser has not come back yet."}},
    "connected": {"account": {"email": "ada@example.com"}, "method": "oauth", "since": "2026-01-01T00:00:00Z"},
    "needs_email": {},
    "reconnect_required": {"account": {"email": "ada@example.com"}},
    "keyring_locked": {"detail": "The keyring is locked. Unlock it."},
    "keyring_unavailable": {"detail": "There is no Secret Service on the session bus."},
    "port_conflict": {"detail": "[::1]:3000 belongs to node (process 4711)."},
}


async def looks(page: Page) -> list[str]:
    """Return what is wrong with what is shown, at every width."""
    wrong = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        found = await overflowing_elements(page) + (await violations(page) if width in AXE_WIDTHS else [])
        wrong += [f"{width}: {it}" for it in found]
    return wrong


async def test_without_a_session(page: Page, home_page: str) -> None:
    """How to open it can be read by all."""
    await page.goto(home_page)
    await expect(page.get_by_role("heading", name="Open the dashboard")).to_be_visible()

    assert [] == await looks(page)


async def test_empty_sections(world: World, page: Page) -> None:
    """A helper that nobody has used yet."""
    await open_dashboard(world, page)

    for section in ("Overview", "Databases", "Apps", "Activity", "Settings"):
        await go_to(page, section)
        assert [] == await looks(page), section


async def test_full_sections(world: World, page: Page) -> None:
    """A helper with databases, apps, a block and a request that waits, one of them with a hostile name."""
    await world.connect()
    await world.create("orders", read_regions=["eu-west-1"])
    await world.create("a" * 64)
    await world.pair(
        "connection:read", "databases:credentials", origin="https://studio.example.com", all_databases=True
    )
    await world.pair("databases:read", name="<b>" + "wide " * 40, once=True)
    blocked = (await world.ask("upstash:write", origin=LONG)).json
    await world.call("POST", f"/v1/pairings/{blocked['id']}/block")
    await world.ask(
        "databases:write", "databases:credentials", origin=LONG.replace("a-", "b-"), reason="Because. " * 50
    )
    await open_dashboard(world, page)

    for section in ("Overview", "Databases", "Apps", "Activity", "Settings"):
        await go_to(page, section)
        assert [] == await looks(page), section


async def test_dialogs(world: World, page: Page) -> None:
    """Making a database, looking into one with its secrets shown, and being asked before it is deleted."""
    await world.connect()
    await world.create("orders")
    await open_dashboard(world, page, "Databases")

    await page.get_by_role("button", name="New database").click()
    await dialog(page, "New database").get_by_text("Read regions", exact=True).click()
    await dialog(page, "New database").get_by_role("button", name="Create database").click()
    assert [] == await looks(page)
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="orders").click()
    panel = dialog(page, "orders")
    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_role("button", name="Hide the secrets")).to_be_visible()
    assert [] == await looks(page)

    await panel.get_by_role("button", name="Delete").click()
    await expect(dialog(page, "Delete the database?")).to_be_visible()
    assert [] == await looks(page)


@pytest.mark.parametrize("state", STATES)
async def test_states_of_the_connection(world: World, page: Page, console: Console, state: str) -> None:
    """Each has words, a sign, and something to do."""
    console.expect("409")  # the daemon itself is not connected
    nothing = {"account": None, "method": None, "since": None, "api_key_name": None, "attempt": None}
    store = {"kind": "Secret Service", "state": "ok", "detail": ""}

    async def answer(route: Route) -> None:
        await route.fulfill(json={**nothing, "credential_store": store, **STATES[state], "state": state})

    await page.route(re.compile(r"/v1/connection$"), answer)
    await open_dashboard(world, page)
    card = page.get_by_role("region", name="Connection")

    await expect(card.get_by_role("heading")).to_be_visible()
    await expect(card.get_by_role("button").first).to_be_visible()
    assert [] == await looks(page)
