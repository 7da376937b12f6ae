"""The first lines of the menu, and the actions for the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.messages import CONNECTION, HINTS, of_attempt
from upstash_helper_tray.menu.actions import CancelConnect, Connect, Disconnect, OpenDashboard
from upstash_helper_tray.menu.entries import confirmed, item, label
from upstash_helper_tray.presentation.status import connection_facts, connection_title, pending_attempt
from upstash_helper_tray.presentation.text import shorten

if TYPE_CHECKING:
    from upstash_helper.protocol.literals import ConnectionState
    from upstash_helper.protocol.wire import Attempt, Connection
    from upstash_helper_tray.menu.entries import Menu

# In these states a failed sign-in is why the account is still not connected.
_NOT_CONNECTED: Final[frozenset[ConnectionState]] = frozenset({"disconnected", "needs_email", "reconnect_required"})


def heading(connection: Connection) -> Menu:
    """Return the connection state, the account, what is wrong, and what to do if that is not in the menu."""
    message = CONNECTION[connection.state]
    instructions = (entry for step in message.steps if not step.command for entry in label(str(step)))
    return (
        *label(connection_title(connection)),
        *(label(_account(connection)) if connection.state == "reconnect_required" else ()),
        *label(connection.detail or message.detail),
        *(entry for fact in connection_facts(connection) for entry in label(fact)),
        *instructions,
        *_attempt(connection),
    )


def _account(connection: Connection) -> str:
    """Return the account that was connected."""
    return f"Account: {shorten(connection.account.email)}" if connection.account else ""


def _attempt(connection: Connection) -> Menu:
    """Return the progress of the pending sign-in, or why the last one failed."""
    attempt = connection.attempt
    if attempt is None:
        return ()
    if pending_attempt(connection):
        lines = () if connection.state == "connecting" else label(CONNECTION["connecting"].title)
        return (*lines, *(label(HINTS["no_callback"].title) if attempt.waiting else ()))
    if connection.state in _NOT_CONNECTED and attempt.state in {"failed", "expired"} and attempt.reason != "cancelled":
        message = of_attempt(attempt.state, attempt.reason or None)
        return (*label(attempt.title or message.title), *label(attempt.detail or message.detail))
    return ()


def connection_items(connection: Connection) -> Menu:
    """Return the actions for the connection state, the most helpful one first."""
    sign_in = _sign_in(connection)
    match connection.state:
        case "disconnected":
            return (*(sign_in if connection.can_sign_in else ()), *_use_api_key())
        case "connecting":
            return sign_in
        case "connected":
            return (*sign_in, *_disconnect(connection))
        case "needs_email":
            return (*item("Enter the account's email…", OpenDashboard()), *sign_in, *_disconnect(connection))
        case "reconnect_required":
            return (*(sign_in if connection.can_sign_in else ()), *_use_api_key(), *_disconnect(connection))
        case "keyring_locked" | "keyring_unavailable" | "port_conflict":
            key = _use_api_key() if connection.state == "port_conflict" else ()
            return (*key, *item("Show how to fix this…", OpenDashboard()), *_cancel(pending_attempt(connection)))


def _sign_in(connection: Connection) -> Menu:
    attempt = pending_attempt(connection)
    if attempt or connection.state == "connecting":
        return _pending_sign_in(connection, attempt)
    if connection.state == "disconnected":
        return item("Connect", Connect())
    if connection.state == "connected" and connection.access == "read_only":
        return item("Sign in again for full access", Connect(force=True))
    return item("Reconnect" if connection.state == "reconnect_required" else "Sign in again", Connect(force=True))


def _pending_sign_in(connection: Connection, attempt: Attempt | None) -> Menu:
    if attempt and attempt.state == "exchanging":
        return label("Finishing the sign-in…")
    # Without `force` the daemon joins the pending sign-in; but with a working connection it would do nothing.
    reopen = item("Open the sign-in page again", Connect(force=connection.state == "connected"))
    paste = item("Paste the address from the browser…", OpenDashboard()) if attempt and attempt.waiting else ()
    return (*reopen, *paste, *_cancel(attempt))


def _cancel(attempt: Attempt | None) -> Menu:
    # Once the authorization code has arrived, the sign-in can no longer be canceled.
    if attempt is None or attempt.state != "pending":
        return ()
    return item("Cancel sign-in", CancelConnect(attempt.attempt_id))


def _use_api_key() -> Menu:
    return item("Use an API key…", OpenDashboard("key"))


def _disconnect(connection: Connection) -> Menu:
    account = (shorten(connection.account.email) if connection.account else "") or "the account"
    ends = f"ends its sign-in at Upstash for {account}" if connection.method == "grant" else f"forgets {account}"
    consequence = f"The helper {ends}, and apps on this computer can no longer use it. Your databases are not changed."
    return confirmed("Disconnect", consequence, f"Disconnect {account}", Disconnect())
