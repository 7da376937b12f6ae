"""The parts of the menu that are as long as what they show: databases, apps that wait, apps that are let in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.tray.reading import as_text, chosen, sub, text_of
from tests.tray.views import DELETE, LIST, NOON, app, database, page, pairing, running
from upstash_helper.protocol.wire_apps import Pairing, RequestedScope
from upstash_helper_tray import actions
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk

# --- the databases ----------------------------------------------------------------------------------------------------


def test_a_database_gives_what_its_clients_need() -> None:
    """
    Of each database the credentials can be copied in three forms, and its page in the console opened.
    """
    view = running(databases=(database("main", id="a/b c"),), console_url="https://console.example")

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
    assert text_of(expected) == as_text(sub(view, "Databases"))
    path = ("Databases", "main")
    assert actions.CopyCredentials("a/b c", "main", "redis_url") == chosen(view, *path, "Copy Redis URL")
    assert actions.CopyCredentials("a/b c", "main", "rest") == chosen(view, *path, "Copy REST URL and token")
    assert actions.CopyCredentials("a/b c", "main", "dotenv") == chosen(view, *path, "Copy .env lines")
    url = "https://console.example/redis/a%2Fb%20c"
    assert actions.OpenConsole(url) == chosen(view, *path, "Open in the Upstash console")


def test_without_a_console_there_is_no_way_to_it() -> None:
    """
    A sandbox has no console: none is offered.
    """
    assert "console" not in as_text(menu_for(running(databases=(database(),))))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"databases": ()}, "(None yet)\n---\nCreate…\nRefresh"),
        ({"databases_trouble": "Upstash is slow."}, "(Upstash is slow.)\n---\nCreate…\nRefresh"),
    ],
)
def test_no_databases_are_told_from_unknown_ones(known: dict[str, Any], expected: str) -> None:
    """
    Whether there are no databases, or they could not be read, is not the same, and is said.
    """
    assert expected == as_text(sub(running(**known), "Databases"))


def test_databases_that_were_read_stay_when_they_cannot_be_read_anew() -> None:
    """
    A trouble is told above what was known before it.
    """
    view = running(databases=(database(),), databases_trouble="Upstash is slow.")

    assert as_text(sub(view, "Databases")).startswith("(Upstash is slow.)\n---\nmain >")


# --- the apps that wait -----------------------------------------------------------------------------------------------


def test_a_lone_app_that_asks_is_decided_about_near_the_top() -> None:
    """
    The verified identity and the code come first, what the app says of itself after them, and Deny before Allow.
    """
    asks = pairing(reason="To show your “databases”", scopes=(LIST, DELETE))
    menu = as_text(menu_for(running("disconnected", pairings=(asks,))))

    expected = """
        (No account is connected)
        ---
        (An app asks to be let in)
        https://app.example.com · WDJB-MJHT >
            (Web page: https://app.example.com)
            (Sent by /usr/bin/firefox (process 77))
            (It calls itself “Example”)
            (It says: “To show your 'databases'”)
            (It must show the code WDJB-MJHT)
            ---
            (It would like to:)
            (• List your databases and their settings, without)
            (  passwords)
            (• Delete databases with all that is in them)
            ---
            Deny
            Allow
            Allow once, for one hour
            Choose what it may do…
            ---
            Block >
                (It is denied, and cannot ask again until you lift the)
                (block under Apps in the dashboard.)
                Block https://app.example.com
        ---
        Connect
    """
    assert menu.startswith(text_of(expected))


def test_each_answer_to_an_app_is_about_that_app() -> None:
    """
    Each of several apps has answers of its own.
    """
    asks = (pairing(), pairing(id="pair-2", user_code="AAAA-BBBB", identity=page("https://other.example")))
    view = running(pairings=asks)
    path = ("2 apps ask to be let in", "https://other.example · AAAA-BBBB")

    assert actions.Deny("pair-2") == chosen(view, *path, "Deny")
    assert actions.Approve("pair-2") == chosen(view, *path, "Allow")
    assert actions.Approve("pair-2", once=True) == chosen(view, *path, "Allow once, for one hour")
    assert actions.Block("pair-2") == chosen(view, *path, "Block", "Block https://other.example")
    assert actions.OpenDashboard() == chosen(view, *path, "Choose what it may do…")


@pytest.mark.parametrize(
    "asks",
    [
        pairing(scopes=(RequestedScope(scope="upstash:write", meaning="Do everything, " * 40 + "deleting included"),)),
        pairing(scopes=(LIST,) * 13),
        pairing(scopes=()),
        pairing(identity=page("/home/ada/" + "deep/" * 100 + "program", kind="native")),
        pairing(identity=page("/usr/bin/fire\N{ZERO WIDTH SPACE}fox", kind="native")),
    ],
    ids=["a long wish", "many wishes", "no wish", "a long path", "a hidden character"],
)
def test_nobody_allows_what_the_menu_cannot_show(asks: Pairing) -> None:
    """
    Where a wish or the identity would be cut, or has something unseen, the answer is no, or is given in the dashboard.
    """
    (entry,) = (
        entry
        for _, entry in walk(menu_for(running(pairings=(asks,))))
        if entry.text.endswith("WDJB-MJHT") and entry.entries
    )
    offered = [one.action for _, one in walk(entry.entries) if one.action]

    assert not [action for action in offered if isinstance(action, actions.Approve)]
    assert actions.Deny("pair-1") in offered
    assert actions.OpenDashboard() in offered


# --- the apps that are let in -----------------------------------------------------------------------------------------


def test_an_app_can_be_revoked() -> None:
    """
    Each app that is let in shows who it is and when it was here, and is revoked by a second choice.
    """
    view = running(apps=(app("Example", mismatches=2),))

    at = datetime.fromisoformat(NOON).astimezone().strftime("%Y-%m-%d %H:%M")
    expected = f"""
        Example >
            (https://app.example.com)
            (Last used {at})
            (Its token came from elsewhere 2 times)
            ---
            Revoke >
                (https://app.example.com loses its access at once. It can)
                (ask again.)
                Revoke Example
        ---
        Open in the dashboard…
    """
    assert text_of(expected) == as_text(sub(view, "Apps"))
    assert actions.Revoke("id-of-Example", "Example") == chosen(view, "Apps", "Example", "Revoke", "Revoke Example")


def test_long_lists_go_on_in_the_dashboard() -> None:
    """
    Of a long list the menu shows the beginning, and the way to all of it.
    """
    view = running(
        databases=tuple(database(f"db-{number:03}") for number in range(57)),
        apps=tuple(app(f"app-{number}") for number in range(30)),
        pairings=tuple(pairing(id=f"pair-{number}") for number in range(20)),
    )

    assert actions.OpenDashboard("databases") == chosen(view, "Databases", "Show all 57 in the dashboard…")
    assert actions.OpenDashboard("apps") == chosen(view, "Apps", "Show all 30 in the dashboard…")
    assert actions.OpenDashboard() == chosen(view, "20 apps ask to be let in", "Show all 20 in the dashboard…")
    assert 12 == sum(bool(entry.entries) for entry in sub(view, "Databases") if not isinstance(entry, Separator))
