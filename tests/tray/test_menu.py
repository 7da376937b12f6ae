from __future__ import annotations

from typing import get_args

import pytest

from tests.tray.reading import as_text, chosen, sub, text_of
from tests.tray.views import (
    ADA,
    app,
    attempt,
    database,
    pairing,
    running,
)
from upstash_helper.protocol.literals import ConnectionState
from upstash_helper_tray import actions
from upstash_helper_tray.actions import Action
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.menu.entries import Separator, walk
from upstash_helper_tray.state import View

TAIL = """
    ---
    Apps >
        (No app is let in)
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
        (Apps on this computer can then no longer reach it, until)
        (it is started again.)
        Stop the helper
"""

STATES: dict[ConnectionState, str] = {
    "disconnected": """
        (No account is connected)
        ---
        Connect
        Use an API key…
    """,
    "connecting": """
        (Waiting for your sign-in)
        (Finish it in the window of Upstash.)
        ---
        Open the sign-in again
    """,
    "connected": """
        (Connected as ada@example.com)
        ---
        Reconnect
        Disconnect >
            (The helper forgets ada@example.com. Apps on this)
            (computer can then no longer use it; the databases stay)
            (as they are.)
            Disconnect ada@example.com
        ---
        Databases >
            (Loading…)
            ---
            Create…
            Refresh
    """,
    "needs_email": """
        (One thing is missing)
        (Upstash did not tell the e-mail of the account.)
        ---
        Give the e-mail of the account…
        Reconnect
        Disconnect >
            (The helper forgets the account. Apps on this computer)
            (can then no longer use it; the databases stay as they)
            (are.)
            Disconnect the account
    """,
    "reconnect_required": """
        (Upstash no longer takes the API key)
        (It may have been deleted in the console. Sign in again)
        (to make a new one.)
        ---
        Reconnect
        Use an API key…
        Disconnect >
            (The helper forgets ada@example.com. Apps on this)
            (computer can then no longer use it; the databases stay)
            (as they are.)
            Disconnect ada@example.com
    """,
    "keyring_locked": """
        (The keyring is locked)
        (Unlock it on this computer: the API key is in there.)
        ---
        See what to do…
    """,
    "keyring_unavailable": """
        (There is no keyring)
        (The API key is kept in the keyring of the system, and in)
        (nothing else unless you say so.)
        ---
        See what to do…
    """,
    "port_conflict": """
        (Another program has the helper's port)
        (A sign-in would come back to that program, so none is)
        (started.)
        ---
        See what to do…
    """,
}


# --- the states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", get_args(ConnectionState))
def test_each_state_has_its_words_and_what_helps(state: ConnectionState) -> None:
    """
    The menu tells the state of the connection, and offers what that state wants.
    """
    tail = "\n" + text_of(TAIL)
    expected = text_of(STATES[state]) + (tail.replace("\n---", "", 1) if state == "connected" else tail)

    assert expected == as_text(menu_for(running(state)))


def test_without_a_daemon_it_can_be_started() -> None:
    """
    Where the helper is not running, the menu says so and why, starts it, and offers nothing that needs it.
    """
    view = View(trouble="Port 3000 belongs to nginx.", starts_at_login=False, pairings=(pairing(),), apps=(app(),))

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
    assert text_of(expected) == as_text(menu_for(view))


@pytest.mark.parametrize("view", [View(daemon="starting"), View(daemon="running", connection=None)])
def test_while_it_starts_there_is_nothing_to_choose_but_the_tray(view: View) -> None:
    """
    While the helper starts, the menu says so; where the tray cannot be started at login, no entry offers it.
    """
    assert "(Starting…)\n---\nAbout\nLogs\n---\nQuit tray" == as_text(menu_for(view))


@pytest.mark.parametrize(
    ("state", "again"),
    [("connecting", False), ("reconnect_required", False), ("needs_email", False), ("connected", True)],
)
def test_a_sign_in_that_runs_can_be_opened_again_and_cancelled(state: ConnectionState, *, again: bool) -> None:
    """
    A sign-in that runs is joined, or begun anew where joining would do nothing, or cancelled.
    """
    view = running(state, connection={"attempt": attempt()})

    assert actions.Connect(again=again) == chosen(view, "Open the sign-in again")
    assert actions.CancelConnect("att-1") == chosen(view, "Cancel sign-in")
    assert "(Waiting for your sign-in)" in as_text(menu_for(view))
    assert "Reconnect" not in as_text(menu_for(view))


def test_a_sign_in_whose_code_has_come_is_not_cancelled() -> None:
    """
    What can no longer be stopped is not offered to be.
    """
    text = as_text(menu_for(running("connecting", connection={"attempt": attempt(state="exchanging")})))

    assert "(Finishing the sign-in…)" in text
    assert "Cancel" not in text


def test_a_sign_in_that_does_not_come_back_can_be_pasted() -> None:
    """
    Where the browser has been gone for long, the dashboard takes its address.
    """
    view = running("connecting", connection={"attempt": attempt(waiting="no_callback")})

    assert actions.OpenDashboard() == chosen(view, "Paste the address from the browser…")


def test_how_the_last_sign_in_failed_is_told() -> None:
    """
    Who is not connected reads why the last sign-in did not work, unless they ended it themselves.
    """
    failed = attempt(state="failed", reason="access_denied", detail="Upstash was told no.")
    ended = attempt(state="failed", reason="cancelled", detail="The sign-in was cancelled.")

    told = as_text(menu_for(running("disconnected", connection={"attempt": failed})))
    untold = as_text(menu_for(running("disconnected", connection={"attempt": ended})))

    assert "(The last sign-in did not work)\n(Upstash was told no.)" in told
    assert "sign-in" not in untold


def test_without_a_client_id_there_is_no_sign_in_to_offer() -> None:
    """
    Where signing in cannot work, the menu offers the API key alone.
    """
    view = running("disconnected", connection={"detail": "Set client_id in config.toml."})

    assert "(No OAuth client id is configured.)\nUse an API key…" in as_text(menu_for(view))
    assert "Connect\n" not in as_text(menu_for(view))


def test_who_has_the_port_is_told() -> None:
    """
    The daemon's own words of what is in the way are shown in full.
    """
    view = running("port_conflict", connection={"detail": "The address [::1]:3000 belongs to nginx (process 7)."})

    assert "(The address [::1]:3000 belongs to nginx (process 7).)" in as_text(menu_for(view))


# --- all that can be chosen -------------------------------------------------------------------------------------------

EVERYTHING = (
    View(starts_at_login=False),
    *(running(state) for state in get_args(ConnectionState)),
    running("connecting", connection={"attempt": attempt()}),
    running(
        connection={"account": ADA},
        databases=(database(),),
        apps=(app(),),
        pairings=(pairing(),),
        console_url="https://console.example",
    ),
)


def test_every_action_can_be_reached() -> None:
    """
    Nothing that the tray can do is without a way to it.
    """
    reached = {type(entry.action) for view in EVERYTHING for _, entry in walk(menu_for(view)) if entry.action}

    assert set(get_args(Action)) == reached


def test_what_cannot_be_undone_takes_a_second_choice() -> None:
    """
    Disconnect, Revoke, Block and Stop are done from a menu of their own, next to the words of what they mean.
    """
    drastic = actions.Disconnect | actions.Revoke | actions.Block | actions.StopDaemon
    found = [
        (path, view) for view in EVERYTHING for path, entry in walk(menu_for(view)) if isinstance(entry.action, drastic)
    ]

    assert {"Disconnect", "Revoke", "Block", "Stop helper"} == {path[-2] for path, _ in found}
    for path, view in found:
        first = sub(view, *path[:-1])[0]
        assert not isinstance(first, Separator)
        assert first.action is None


@pytest.mark.parametrize("ticked", [True, False])
def test_start_at_login_turns_over(*, ticked: bool) -> None:
    """
    The tick shows what is, and choosing it wants the other.
    """
    view = View(starts_at_login=ticked)

    assert actions.StartAtLogin(not ticked) == chosen(view, "Start at login")
