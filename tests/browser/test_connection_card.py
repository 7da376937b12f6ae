"""What the dashboard shows about the account, the access, and the sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.connection_states import connection, show_connection
from tests.browser.dashboard import connection_card, open_dashboard

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

EMAIL = "ada@example.com"
OPEN, LISTED = "Through Upstash's open sign-in", "upstash-helper (laptop) (Account, OAuth Clients)"

SHOWN = {
    "connected-through-the-open-sign-in": (f"Connected as {EMAIL}", f"{EMAIL}, personal account", "Full", OPEN, LISTED),
    "connected-read-only": (
        f"Connected as {EMAIL}, read-only",
        "apps cannot create or change databases",
        "sign in again and choose full access",
        f"{EMAIL}, personal account",
        "Read-only",
        OPEN,
    ),
    "connected-team": (
        f"{EMAIL}, team 8f14e45f-ceea-467f-9f3b-2d1c6a0b7e55 (finance)",
        "Full",
        OPEN,
    ),
    "connected-with-an-api-key": (f"Connected as {EMAIL}", "With an API key from the Upstash console"),
    "connected": (f"Connected as {EMAIL}", "Through Upstash's partner sign-in"),
    "grant-ended": (
        "Your sign-in at Upstash has ended",
        "revoked in the Upstash console",
        f"{EMAIL}, personal account",
        OPEN,
    ),
    "reconnect-required": ("Upstash no longer accepts the API key", EMAIL, "Through Upstash's partner sign-in"),
}


@pytest.mark.parametrize("name", SHOWN)
async def test_card_shows_the_account_the_access_and_the_sign_in(
    world: World, page: Page, console: Console, name: str
) -> None:
    """For each kind of connection, and also when Upstash has ended it."""
    console.expect("409")  # the daemon itself has no account
    await open_dashboard(world, page)
    await show_connection(page, name)
    await expect(page.get_by_role("region", name="Connection").get_by_role("heading")).to_have_text(
        connection(name)["title"]
    )

    shown = await connection_card(page)

    assert [] == [text for text in SHOWN[name] if text not in shown], shown
    assert ("API key" in shown.splitlines()[0]) == (name == "reconnect-required")
    assert ("choose full access" in shown) == (name == "connected-read-only")
