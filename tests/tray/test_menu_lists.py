"""The lists in the menu: databases, access requests, and apps with access."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.tray.menus import as_text, chosen, sub, text_of
from tests.tray.states import DELETE, LIST, NOON, app, database, page, pairing, running
from upstash_helper.protocol.wire_apps import Pairing, RequestedScope, Site
from upstash_helper_tray.menu import actions
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk

# --- databases --------------------------------------------------------------------------------------------------------


def test_database_offers_its_credentials_and_its_console_page() -> None:
    """The credentials can be copied in three formats."""
    state = running(databases=(database("main", id="a/b c"),), console_url="https://console.example")

    expected = """
        main >
            (keen-owl-1.upstash.io)
            ---
            Copy Redis URL
            Copy REST URL and token
            Copy .env lines
            ---
            Open in the Upstash console
        ---
        Create…
        Refresh
    """
    assert text_of(expected) == as_text(sub(state, "Databases"))
    path = ("Databases", "main")
    assert actions.CopyCredentials("a/b c", "main", "redis_url") == chosen(state, *path, "Copy Redis URL")
    assert actions.CopyCredentials("a/b c", "main", "rest") == chosen(state, *path, "Copy REST URL and token")
    assert actions.CopyCredentials("a/b c", "main", "dotenv") == chosen(state, *path, "Copy .env lines")
    url = "https://console.example/redis/a%2Fb%20c"
    assert actions.OpenConsole(url) == chosen(state, *path, "Open in the Upstash console")


def test_console_is_not_offered_without_one() -> None:
    """The sandbox has no console."""
    assert "console" not in as_text(menu_for(running(databases=(database(),))))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"databases": ()}, "(No databases yet)\n---\nCreate…\nRefresh"),
        ({"databases_error": "Upstash is slow."}, "(Upstash is slow.)\n---\nCreate…\nRefresh"),
    ],
)
def test_empty_list_differs_from_a_failed_read(known: dict[str, Any], expected: str) -> None:
    """The menu shows whether there are no databases or they could not be read."""
    assert expected == as_text(sub(running(**known), "Databases"))


def test_known_databases_stay_below_an_error() -> None:
    """The error of a later read does not hide them."""
    state = running(databases=(database(),), databases_error="Upstash is slow.")

    assert as_text(sub(state, "Databases")).startswith("(Upstash is slow.)\n---\nmain >")


# --- access requests --------------------------------------------------------------------------------------------------


def test_access_request_over_the_bridge_says_so() -> None:
    """Directly below the identity, which the helper's window has named."""
    menu = as_text(menu_for(running("disconnected", pairings=(pairing(via_bridge=True),))))

    assert "(Sent by /usr/bin/firefox (process 77))\n    (The request came through the helper's bridge window.)" in menu


def test_access_request_says_what_else_its_program_has() -> None:
    """Below the verified identity, and before the claims: it is what the daemon knows."""
    text = "The same program already has access as an agent."
    menu = as_text(menu_for(running("disconnected", pairings=(pairing(same_program=text),))))

    assert f"(Sent by /usr/bin/firefox (process 77))\n    ({text})\n    (It calls itself “Example”)" in menu


def test_single_access_request_is_near_the_top() -> None:
    """The verified identity comes first, then the app's own claims, and Deny comes before Allow."""
    request = pairing(reason="To show your “databases”", scopes=(LIST, DELETE))
    menu = as_text(menu_for(running("disconnected", pairings=(request,))))

    expected = """
        (No account connected)
        ---
        (An app requests access)
        https://app.example.com · WDJB-MJHT >
            (Web page: https://app.example.com)
            (Sent by /usr/bin/firefox (process 77))
            (It calls itself “Example”)
            (Reason given: “To show your 'databases'”)
            (The app must show the code WDJB-MJHT)
            ---
            (It requests permission to:)
            (• List your databases and their settings, without)
            (  passwords)
            (• Delete databases with all that is in them)
            ---
            Deny
            Allow >
                (https://app.example.com will be able to:)
                (• Delete databases with all that is in them)
                Allow https://app.example.com
                Allow for one hour only
            Choose permissions…
            ---
            Block >
                (This denies the request. The app cannot request access)
                (again until you unblock it in the dashboard.)
                Block https://app.example.com
        ---
        Connect
    """
    assert menu.startswith(text_of(expected))


def test_t62_site_of_an_app_can_be_blocked() -> None:
    """A second entry says what it covers."""
    site = Site(kind="domain", shown="every page of example.com", detail="This includes all its subdomains and ports.")
    path = ("An app requests access", "https://app.example.com · WDJB-MJHT")
    state = running("disconnected", pairings=(pairing(site=site),))

    menu = " ".join(as_text(menu_for(state)).replace("(", "").replace(")", "").split())

    assert f"This blocks {site.shown} until you unblock it in the dashboard. {site.detail}" in menu
    assert actions.Block("pair-1", site=True) == chosen(
        state, *path[1:], "Block every page of example.com", "Block every page of example.com"
    )
    assert actions.Block("pair-1") == chosen(state, *path[1:], "Block", "Block https://app.example.com")


def test_decisions_are_per_app() -> None:
    """Each of several requests has its own items."""
    request = (pairing(), pairing(id="pair-2", user_code="AAAA-BBBB", identity=page("https://other.example")))
    state = running(pairings=request)
    path = ("2 apps request access", "https://other.example · AAAA-BBBB")

    assert actions.Deny("pair-2") == chosen(state, *path, "Deny")
    assert actions.Approve("pair-2") == chosen(state, *path, "Allow")
    assert actions.Approve("pair-2", once=True) == chosen(state, *path, "Allow for one hour only")
    assert actions.Block("pair-2") == chosen(state, *path, "Block", "Block https://other.example")
    assert actions.OpenDashboard() == chosen(state, *path, "Choose permissions…")


@pytest.mark.parametrize(
    "pending",
    [
        pairing(
            scopes=(
                RequestedScope(
                    scope="upstash:write", meaning="Do everything, " * 40 + "deleting included", strong=True
                ),
            )
        ),
        pairing(scopes=(LIST,) * 13),
        pairing(scopes=()),
        pairing(identity=page("/home/ada/" + "deep/" * 100 + "program", kind="native")),
        pairing(identity=page("/usr/bin/fire\N{ZERO WIDTH SPACE}fox", kind="native")),
    ],
    ids=["long-scope", "many-scopes", "no-scope", "long-path", "hidden-character"],
)
def test_request_that_is_not_shown_in_full_cannot_be_approved(pending: Pairing) -> None:
    """It can only be denied, or reviewed in the dashboard."""
    (entry,) = (
        entry
        for _, entry in walk(menu_for(running(pairings=(pending,))))
        if entry.text.endswith("WDJB-MJHT") and entry.entries
    )
    offered = [one.action for _, one in walk(entry.entries) if one.action]

    assert not [action for action in offered if isinstance(action, actions.Approve)]
    assert actions.Deny("pair-1") in offered
    assert actions.OpenDashboard() in offered


# --- apps -------------------------------------------------------------------------------------------------------------


def test_app_shows_its_identity_and_can_be_revoked() -> None:
    """Revoking needs a confirmation."""
    state = running(apps=(app("Example", mismatches=2),))

    at = datetime.fromisoformat(NOON).astimezone().strftime("%Y-%m-%d %H:%M")
    expected = f"""
        Example >
            (https://app.example.com)
            (Last used {at})
            (Token used by another program 2 times)
            ---
            Revoke >
                (https://app.example.com loses access immediately. It can)
                (request access again.)
                Revoke Example
        ---
        Open in the dashboard…
    """
    assert text_of(expected) == as_text(sub(state, "Apps"))
    assert actions.Revoke("id-of-Example", "Example") == chosen(state, "Apps", "Example", "Revoke", "Revoke Example")


def test_long_lists_continue_in_the_dashboard() -> None:
    """The menu shows the first entries, and an item that opens the full list."""
    state = running(
        databases=tuple(database(f"db-{number:03}") for number in range(57)),
        apps=tuple(app(f"app-{number}") for number in range(30)),
        pairings=tuple(pairing(id=f"pair-{number}") for number in range(20)),
    )

    assert actions.OpenDashboard("databases") == chosen(state, "Databases", "Show all 57 in the dashboard…")
    assert actions.OpenDashboard("apps") == chosen(state, "Apps", "Show all 30 in the dashboard…")
    assert actions.OpenDashboard() == chosen(state, "20 apps request access", "Show all 20 in the dashboard…")
    assert 12 == sum(bool(entry.entries) for entry in sub(state, "Databases") if not isinstance(entry, Separator))
