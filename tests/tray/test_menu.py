"""The menu for each state of the tray."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.tray.menus import as_text, chosen, sub, text_of
from tests.tray.states import (
    ADA,
    app,
    attempt,
    database,
    pairing,
    running,
    undecided,
)
from upstash_helper.protocol.literals import ConnectionState
from upstash_helper_tray.menu import actions
from upstash_helper_tray.menu.actions import Action
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk
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
        Reconnect
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
        Reconnect
        Disconnect >
            (The helper forgets the account, and apps on this)
            (computer can no longer use it. Your databases are not)
            (changed.)
            Disconnect the account
    """,
    "reconnect_required": """
        (Upstash no longer accepts the API key)
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
        (your API key.)
        ---
        Show how to fix this…
    """,
    "keyring_unavailable": """
        (The keyring cannot be used)
        (The helper keeps your API key in the system's keyring,)
        (and nowhere else unless you choose so.)
        ---
        Show how to fix this…
    """,
    "port_conflict": """
        (Another program uses the callback port)
        (The browser would return from the sign-in to that)
        (program, so the helper does not start a sign-in.)
        ---
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
    assert "(Waiting for your sign-in)" in as_text(menu_for(state))
    assert "Reconnect" not in as_text(menu_for(state))


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


def test_menu_without_a_client_id_offers_only_the_api_key() -> None:
    """Signing in cannot work without one."""
    state = running("disconnected", connection={"detail": "Set client_id in config.toml."})

    assert "(Set client_id in config.toml.)\n---\nUse an API key…" in as_text(menu_for(state))
    assert "Connect\n" not in as_text(menu_for(state))


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
        console_url="https://console.example",
    ),
)


def test_every_action_is_in_a_menu() -> None:
    """The menus of all states together contain every action."""
    reached = {type(entry.action) for state in EVERYTHING for _, entry in walk(menu_for(state)) if entry.action}

    assert set(get_args(Action)) == reached


def test_drastic_actions_need_a_confirmation() -> None:
    """Disconnect, Revoke, Block, Stop, and replacing an account are in submenus that begin with the consequence."""
    drastic = actions.Disconnect | actions.Revoke | actions.Block | actions.StopDaemon | actions.ReplaceAccount
    found = [
        (path, state)
        for state in EVERYTHING
        for path, entry in walk(menu_for(state))
        if isinstance(entry.action, drastic)
    ]

    assert {"Disconnect", "Revoke", "Block", "Stop helper", "Replace it…"} == {path[-2] for path, _ in found}
    for path, state in found:
        first = sub(state, *path[:-1])[0]
        assert not isinstance(first, Separator)
        assert first.action is None


@pytest.mark.parametrize("checked", [True, False])
def test_start_at_login_is_toggled(*, checked: bool) -> None:
    """The check mark shows the current setting."""
    state = TrayState(starts_at_login=checked)

    assert actions.StartAtLogin(not checked) == chosen(state, "Start at login")
