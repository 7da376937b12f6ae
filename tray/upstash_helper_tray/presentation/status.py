"""The state as an icon status and as a tooltip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from upstash_helper.protocol.messages import ATTEMPTS, CONNECTION, METHODS
from upstash_helper_tray.presentation.text import MAX_LINE, shorten
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from upstash_helper.protocol.literals import ConnectionState
    from upstash_helper.protocol.wire import Attempt, Connection, Replacement
    from upstash_helper_tray.sync.state import TrayState

# A Windows tooltip (NOTIFYICONDATAW.szTip) holds 128 UTF-16 code units including the terminating zero.
MAX_TOOLTIP_UNITS: Final = 127

# Nothing works until the user acts, even while a sign-in is pending.
_BLOCKED: Final[frozenset[ConnectionState]] = frozenset({"keyring_locked", "keyring_unavailable", "port_conflict"})
_ACTION_NEEDED: Final[frozenset[ConnectionState]] = frozenset({"needs_email", "reconnect_required"})


def pending_attempt(connection: Connection) -> Attempt | None:
    """Return the sign-in that is in progress, or None."""
    attempt = connection.attempt
    return attempt if attempt and attempt.state in {"pending", "exchanging"} else None


def undecided_attempt(connection: Connection | None) -> tuple[Attempt | None, Replacement | None]:
    """Return the sign-in that waits for the user's decision, and what there is to decide; None if none does."""
    attempt = None if connection is None else connection.attempt
    if attempt is None or attempt.state != "confirmation_required" or attempt.replacement is UNSET:
        return None, None
    return attempt, attempt.replacement


def connection_title(connection: Connection) -> str:
    """Return the connection's title, with the account shortened so that it fits into a menu."""
    title = CONNECTION[connection.state].title
    if connection.state != "connected":
        return shorten(connection.title or title, MAX_LINE)
    if connection.account is None:
        return "Connected"
    team = f" (team {shorten(connection.account.team_id)})" if connection.account.team_id else ""
    title = title.format(email=f"{shorten(connection.account.email)}{team}")
    return f"{title}{', read-only' if connection.access == 'read_only' else ''}"


def connection_facts(connection: Connection) -> tuple[str, ...]:
    """Return how an account is connected: as itself or as a team and with which access; and by which sign-in."""
    account, facts = connection.account, []
    if connection.method is None or account is None:
        return ()
    if account.team_id:
        facts.append(f"Team {shorten(account.team_id)} ({shorten(account.team_role or 'role unknown')})")
    elif connection.method == "grant":
        facts.append("Personal account")
    if connection.access:
        facts.append({"full": "full access", "read_only": "read-only access"}[connection.access])
    return tuple(filter(None, (", ".join(facts), METHODS[connection.method])))


def icon_status(state: TrayState) -> IconStatus:
    """Return what the icon shows. An access request takes precedence over the connection."""
    if state.daemon == "absent":
        return IconStatus.ABSENT
    if state.daemon == "mismatched":
        return IconStatus.ATTENTION
    if state.daemon == "starting" or state.connection is None:
        return IconStatus.CONNECTING
    if state.pairings or state.confirmations or undecided_attempt(state.connection)[0]:
        return IconStatus.ATTENTION
    return _connection_status(state.connection)


def _connection_status(connection: Connection) -> IconStatus:
    if connection.state in _BLOCKED:
        return IconStatus.ATTENTION
    attempt = pending_attempt(connection)
    if attempt or connection.state == "connecting":
        return IconStatus.ATTENTION if attempt and attempt.waiting else IconStatus.CONNECTING
    if connection.state in _ACTION_NEEDED:
        return IconStatus.ATTENTION
    return IconStatus.CONNECTED if connection.state == "connected" else IconStatus.DISCONNECTED


def access_requests(count: int) -> str:
    """Return how many apps request access, as a sentence without its period."""
    return "An app requests access" if count == 1 else f"{count} apps request access"


def questions_title(count: int) -> str:
    """Return how many questions from apps are waiting, as a sentence without its period."""
    return "An app needs your confirmation" if count == 1 else f"{count} questions need your confirmation"


def tooltip_for(state: TrayState) -> str:
    """Return the state and the account in at most ``MAX_TOOLTIP_UNITS`` UTF-16 code units."""
    parts = [_summary(state)]
    if state.daemon == "running" and undecided_attempt(state.connection)[0]:
        parts.insert(0, ATTEMPTS["confirmation_required"].title)
    if state.daemon == "running" and state.pairings:
        parts.insert(0, access_requests(len(state.pairings)))
    if state.daemon == "running" and state.confirmations:
        parts.insert(0, questions_title(len(state.confirmations)))
    name = "Upstash helper (sandbox)" if state.is_sandbox else "Upstash helper"
    text = f"{name}: {'. '.join(parts)}"
    # A character takes at most two units.
    return text if len(text.encode("utf-16-le")) <= 2 * MAX_TOOLTIP_UNITS else shorten(text, MAX_TOOLTIP_UNITS // 2)


def _summary(state: TrayState) -> str:
    if state.daemon == "absent":
        return "not running"
    if state.daemon == "mismatched":
        return "not compatible with this icon"
    if state.daemon == "starting" or state.connection is None:
        return "starting"
    title = connection_title(state.connection)
    if state.connection.state == "connected" and pending_attempt(state.connection):
        title += f". {CONNECTION['connecting'].title}"
    return title
