"""The menu's first lines, and what can be done about the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper_tray.actions import CancelConnect, Connect, Disconnect, OpenDashboard
from upstash_helper_tray.menu.entries import choice, confirmed, said
from upstash_helper_tray.status import WAITING_FOR_SIGN_IN, running_attempt, words_for
from upstash_helper_tray.text import short

if TYPE_CHECKING:
    from upstash_helper.protocol.literals import ConnectionState
    from upstash_helper.protocol.wire import Attempt, Connection
    from upstash_helper_tray.menu.entries import Menu

# Of these the helper's own words say more; of the others they name commands for a terminal.
_TOLD: Final[frozenset[ConnectionState]] = frozenset({"keyring_locked", "keyring_unavailable", "port_conflict"})

# There the last sign-in still matters: how it failed is why there is no better state.
_UNDONE: Final[frozenset[ConnectionState]] = frozenset({"disconnected", "needs_email", "reconnect_required"})


def heading(connection: Connection) -> Menu:
    """Return the state and the account in words, and why it is so where that is known."""
    words = words_for(connection)
    told = connection.detail if connection.state in _TOLD else None
    return (*said(words.title), *said(told or words.meaning), *_attempt(connection))


def _attempt(connection: Connection) -> Menu:
    """Return how the sign-in that runs is, or how the last one failed."""
    attempt = connection.attempt
    if attempt is None:
        return ()
    if running_attempt(connection):
        words = () if connection.state == "connecting" else said(WAITING_FOR_SIGN_IN)
        return (*words, *(said("The browser has not come back yet.") if attempt.waiting else ()))
    if connection.state in _UNDONE and attempt.state in {"failed", "expired"} and attempt.reason != "cancelled":
        return (*said("The last sign-in did not work"), *said(attempt.detail or attempt.reason or ""))
    return ()


def connection_choices(connection: Connection) -> Menu:
    """Return what the state asks for: the entry that helps most is the first."""
    again = _sign_in(connection)
    match connection.state:
        case "disconnected":
            return (*(said("No OAuth client id is configured.") if connection.detail else again), *_use_api_key())
        case "connecting":
            return again
        case "connected":
            return (*again, *_disconnect(connection))
        case "needs_email":
            return (*choice("Give the e-mail of the account…", OpenDashboard()), *again, *_disconnect(connection))
        case "reconnect_required":
            return (*again, *_use_api_key(), *_disconnect(connection))
        case "keyring_locked" | "keyring_unavailable" | "port_conflict":
            return (*choice("See what to do…", OpenDashboard()), *_cancel(running_attempt(connection)))


def _sign_in(connection: Connection) -> Menu:
    attempt = running_attempt(connection)
    if attempt or connection.state == "connecting":
        return _sign_in_that_runs(connection, attempt)
    if connection.state == "disconnected":
        return choice("Connect", Connect())
    return choice("Reconnect", Connect(again=True))


def _sign_in_that_runs(connection: Connection, attempt: Attempt | None) -> Menu:
    if attempt and attempt.state == "exchanging":
        return said("Finishing the sign-in…")
    # Without `again` the sign-in that runs is joined; but next to a working connection that would do nothing.
    reopen = choice("Open the sign-in again", Connect(again=connection.state == "connected"))
    paste = choice("Paste the address from the browser…", OpenDashboard()) if attempt and attempt.waiting else ()
    return (*reopen, *paste, *_cancel(attempt))


def _cancel(attempt: Attempt | None) -> Menu:
    # Once the code has come it is no longer stopped.
    if attempt is None or attempt.state != "pending":
        return ()
    return choice("Cancel sign-in", CancelConnect(attempt.attempt_id))


def _use_api_key() -> Menu:
    return choice("Use an API key…", OpenDashboard())


def _disconnect(connection: Connection) -> Menu:
    account = (short(connection.account.email) if connection.account else "") or "the account"
    meaning = (
        f"The helper forgets {account}. Apps on this computer can then no longer use it; "
        "the databases stay as they are."
    )
    return confirmed("Disconnect", meaning, f"Disconnect {account}", Disconnect())
