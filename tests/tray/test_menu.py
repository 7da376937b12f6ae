"""The menu for each state of the tray."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from tests.tray.menus import as_text, chosen, sub, text_of
from tests.tray.states import (
    ADA,
    ENDED,
    GRANT,
    READ_ONLY,
    TEAM,
    app,
    attempt,
    database,
    pairing,
    question,
    running,
    undecided,
)
from upstash_helper.protocol.literals import ConnectionState
from upstash_helper_tray.menu import actions
from upstash_helper_tray.menu.actions import Action
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk
from upstash_helper_tray.presentation.status import tooltip_for
from upstash_helper_tray.sync.state import TrayState

TAIL = """
    ---
    Apps >
        (No apps connected yet)
        ---
        Open in the dashboard…
    Open dashboard
    ---
    [x] Start at login
    About
    Logs
    ---
    Quit tray
    Stop helper >
        (Apps on this computer cannot use your account until the)
        (helper is started again.)
        Stop the helper
"""

STATES: dict[ConnectionState, str] = {
    "disconnected": """
        (No account connected)
        ---
        Connect
        Use an API key…
    """,
    "connecting": """
        (Waiting for your sign-in)
        (Finish the sign-in in your browser.)
        ---
        Open the sign-in page again
    """,
    "connected": """
        (Connected as ada@example.com)
        ---
        Sign in again
        Disconnect >
            (The helper forgets ada@example.com, and apps on this)
            (computer can no longer use it. Your databases are not)
            (changed.)
            Disconnect ada@example.com
        ---
        Databases >
            (Loading…)
            ---
            Create…
            Refresh
    """,
    "needs_email": """
        (Email address missing)
        (Upstash did not provide the email address of your)
        (account, and the API key works only together with it.)
        ---
        Enter the account's email…
        Sign in again
        Disconnect >
            (The helper forgets the account, and apps on this)
            (computer can no longer use it. Your databases are not)
            (changed.)
            Disconnect the account
    """,
    "reconnect_required": """
        (Upstash no longer accepts the API key)
        (Account: ada@example.com)
        (It may have been deleted in the Upstash console.)
        ---
        Reconnect
        Use an API key…
        Disconnect >
            (The helper forgets ada@example.com, and apps on this)
            (computer can no longer use it. Your databases are not)
            (changed.)
            Disconnect ada@example.com
    """,
    "keyring_locked": """
        (The keyring is locked)
        (Unlock it on this computer so that the helper can read)
        (your account's credential.)
        ---
        Show how to fix this…
    """,
    "keyring_unavailable": """
        (The keyring cannot be used)
        (The helper keeps your account's credential only in the)
        (system's keyring unless you choose otherwise.)
        ---
        Show how to fix this…
    """,
    "port_conflict": """
        (Another program uses the callback port)
        (The browser would return from the sign-in to that)
        (program, so the helper does not start a sign-in.)
        ---
        Use an API key…
        Show how to fix this…
    """,
}


# --- connection states ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", get_args(ConnectionState))
def test_menu_for_each_connection_state(state: ConnectionState) -> None:
    """The menu shows the state of the connection, and offers the actions that help."""
    tail = "\n" + text_of(TAIL)
    expected = text_of(STATES[state]) + (tail.replace("\n---", "", 1) if state == "connected" else tail)

    assert expected == as_text(menu_for(running(state)))


SIGNED_IN: dict[str, tuple[TrayState, str]] = {
    "personal, full": (
        running(connection=GRANT),
        """
        (Connected as ada@example.com)
        (Personal account, full access)
        (Through Upstash's open sign-in)
        ---
        Sign in again
        Disconnect >
            (The helper ends its sign-in at Upstash for)
            (ada@example.com, and apps on this computer can no longer)
            (use it. Your databases are not changed.)
            Disconnect ada@example.com
        """,
    ),
    "personal, read-only": (
        running(connection=READ_ONLY),
        """
        (Connected as ada@example.com, read-only)
        (You chose read-only access, so apps cannot create or)
        (change databases.)
        (Personal account, read-only access)
        (Through Upstash's open sign-in)
        ---
        Sign in again for full access
        """,
    ),
    "team, full": (
        running(connection={**GRANT, "account": TEAM}),
        """
        (Connected as ada@example.com (team team-crew))
        (Team team-crew (dev), full access)
        (Through Upstash's open sign-in)
        ---
        Sign in again
        """,
    ),
    "partner": (
        running(connection={"method": "oauth", "sign_in": "partner"}),
        """
        (Connected as ada@example.com)
        (Through Upstash's partner sign-in)
        ---
        Sign in again
        """,
    ),
    "key": (
        running(connection={"method": "api_key"}),
        """
        (Connected as ada@example.com)
        (With an API key from the Upstash console)
        ---
        Sign in again
        """,
    ),
    "ended": (
        running("reconnect_required", connection=ENDED),
        """
        (Your sign-in at Upstash has ended)
        (Account: ada@example.com)
        (Upstash has ended this sign-in: it was revoked in the)
        (Upstash console, or has expired. Connect again.)
        (Personal account, full access)
        (Through Upstash's open sign-in)
        ---
        Reconnect
        Use an API key…
        """,
    ),
}


@pytest.mark.parametrize("name", SIGNED_IN)
def test_menu_shows_the_sign_in_the_account_and_the_access(name: str) -> None:
    """And what the user can do. It does not say that Upstash rejects a key if there is none."""
    state, expected = SIGNED_IN[name]

    assert as_text(menu_for(state)).startswith(text_of(expected))


@pytest.mark.parametrize("name", SIGNED_IN)
def test_tooltip_shows_the_account_and_the_access(name: str) -> None:
    """Its text is that of the menu's first line."""
    state, expected = SIGNED_IN[name]

    assert f"Upstash helper: {text_of(expected).splitlines()[0][1:-1]}" == tooltip_for(state)


def test_menu_and_tooltip_show_that_it_is_a_sandbox() -> None:
    """The first line of the menu and the beginning of the tooltip show it."""
    state = replace(SIGNED_IN[next(iter(SIGNED_IN))][0], is_sandbox=True)

    assert "(Sandbox: a local Upstash)" == as_text(menu_for(state)).splitlines()[0]
    assert tooltip_for(state).startswith("Upstash helper (sandbox): ")


def test_menu_without_a_daemon_offers_to_start_it() -> None:
    """It shows the reason, and offers nothing that needs the daemon."""
    state = TrayState(
        error_text="Port 3000 belongs to nginx.", starts_at_login=False, pairings=(pairing(),), apps=(app(),)
    )

    expected = """
        (The helper is not running)
        (Port 3000 belongs to nginx.)
        ---
        Start the helper
        ---
        [ ] Start at login
        About
        Logs
        ---
        Quit tray
    """
    assert text_of(expected) == as_text(menu_for(state))


@pytest.mark.parametrize("state", [TrayState(daemon="starting"), TrayState(daemon="running", connection=None)])
def test_menu_while_the_daemon_is_starting(state: TrayState) -> None:
    """Start at login is not offered on a system that does not support it."""
    assert "(Starting…)\n---\nAbout\nLogs\n---\nQuit tray" == as_text(menu_for(state))


@pytest.mark.parametrize(
    ("connection_state", "force"),
    [("connecting", False), ("reconnect_required", False), ("needs_email", False), ("connected", True)],
)
def test_pending_sign_in_can_be_reopened_and_canceled(connection_state: ConnectionState, *, force: bool) -> None:
    """Reopening joins the pending sign-in, or starts another one if joining would do nothing."""
    state = running(connection_state, connection={"attempt": attempt()})

    assert actions.Connect(force=force) == chosen(state, "Open the sign-in page again")
    assert actions.CancelConnect("att-1") == chosen(state, "Cancel sign-in")
    text = as_text(menu_for(state))
    assert "(Waiting for your sign-in)" in text
    assert "Reconnect" not in text
    assert "Sign in again" not in text


def test_sign_in_cannot_be_canceled_once_the_code_has_arrived() -> None:
    """The item is not offered, since it would have no effect."""
    text = as_text(menu_for(running("connecting", connection={"attempt": attempt(state="exchanging")})))

    assert "(Finishing the sign-in…)" in text
    assert "Cancel" not in text


def test_sign_in_without_a_callback_offers_to_paste_the_address() -> None:
    """The dashboard has a field for it."""
    state = running("connecting", connection={"attempt": attempt(waiting="no_callback")})

    assert actions.OpenDashboard() == chosen(state, "Paste the address from the browser…")


def test_failed_sign_in_is_explained() -> None:
    """A sign-in that the user canceled is not mentioned."""
    failed = attempt(state="failed", reason="access_denied", detail="Upstash was told no.")
    canceled = attempt(state="failed", reason="cancelled", detail="The sign-in was cancelled.")

    failed_text = as_text(menu_for(running("disconnected", connection={"attempt": failed})))
    canceled_text = as_text(menu_for(running("disconnected", connection={"attempt": canceled})))

    assert "(You canceled the sign-in)\n(Upstash was told no.)" in failed_text
    assert "sign-in" not in canceled_text


@pytest.mark.parametrize("connection", ["disconnected", "reconnect_required"])
def test_menu_offers_only_the_api_key_if_no_sign_in_can_be_started(connection: ConnectionState) -> None:
    """The way that works comes first: the dialog for a key, and not a sign-in that could only fail."""
    state = running(connection, connection={"detail": "A reason.", "can_sign_in": False})

    assert "(A reason.)\n---\nUse an API key…" in as_text(menu_for(state))
    assert "Connect\n" not in as_text(menu_for(state)).replace("Disconnect", "")
    assert "Reconnect" not in as_text(menu_for(state))


@pytest.mark.parametrize("connection", ["disconnected", "reconnect_required", "port_conflict"])
def test_api_key_opens_its_dialog(connection: ConnectionState) -> None:
    """Not the overview, on which the user would have to look for it."""
    assert actions.OpenDashboard("key") == chosen(running(connection), "Use an API key…")


def test_program_on_the_helpers_port_is_named() -> None:
    """The daemon's detail is shown in full."""
    state = running("port_conflict", connection={"detail": "The address [::1]:3000 belongs to nginx (process 7)."})

    assert "(The address [::1]:3000 belongs to nginx (process 7).)" in as_text(menu_for(state))


# --- actions ----------------------------------------------------------------------------------------------------------

EVERYTHING = (
    TrayState(starts_at_login=False),
    *(running(state) for state in get_args(ConnectionState)),
    running("connecting", connection={"attempt": attempt()}),
    undecided(),
    running(
        connection={"account": ADA},
        databases=(database(),),
        apps=(app(),),
        pairings=(pairing(),),
        confirmations=(question(),),
        console_url="https://console.example",
    ),
)


def test_every_action_is_in_a_menu() -> None:
    """The menus of all states together contain every action."""
    reached = {type(entry.action) for state in EVERYTHING for _, entry in walk(menu_for(state)) if entry.action}

    assert set(get_args(Action)) == reached


def test_drastic_actions_need_a_confirmation() -> None:
    """Each of them is in a submenu that begins with the consequence."""
    ending = actions.Disconnect | actions.Revoke | actions.Block | actions.StopDaemon
    drastic = ending | actions.ReplaceAccount | actions.AllowQuestion
    found = [
        (path, state)
        for state in EVERYTHING
        for path, entry in walk(menu_for(state))
        if isinstance(entry.action, drastic)
    ]

    assert {"Disconnect", "Revoke", "Block", "Stop helper", "Replace it…", "Allow…"} == {path[-2] for path, _ in found}
    for path, state in found:
        first = sub(state, *path[:-1])[0]
        assert not isinstance(first, Separator)
        assert first.action is None


@pytest.mark.parametrize("checked", [True, False])
def test_start_at_login_is_toggled(*, checked: bool) -> None:
    """The check mark shows the current setting."""
    state = TrayState(starts_at_login=checked)

    assert actions.StartAtLogin(not checked) == chosen(state, "Start at login")
