"""The state as a sign, as a tooltip, and in the words that the dashboard has for it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper_tray.state import Sign
from upstash_helper_tray.text import short

if TYPE_CHECKING:
    from upstash_helper.protocol.literals import ConnectionState
    from upstash_helper.protocol.wire import Attempt, Connection
    from upstash_helper_tray.state import View

# A tooltip of Windows (NOTIFYICONDATAW.szTip) has room for 128 UTF-16 code units, the closing zero among them.
LONGEST_TOOLTIP: Final = 127

WAITING_FOR_SIGN_IN: Final = "Waiting for your sign-in"


class Words(NamedTuple):
    """A state in words."""

    title: str
    meaning: str = ""


STATES: Final[dict[ConnectionState, Words]] = {
    "disconnected": Words("No account is connected"),
    "connecting": Words(WAITING_FOR_SIGN_IN, "Finish it in the window of Upstash."),
    "connected": Words("Connected"),
    "needs_email": Words("One thing is missing", "Upstash did not tell the e-mail of the account."),
    "reconnect_required": Words(
        "Upstash no longer takes the API key",
        "It may have been deleted in the console. Sign in again to make a new one.",
    ),
    "keyring_locked": Words("The keyring is locked", "Unlock it on this computer: the API key is in there."),
    "keyring_unavailable": Words(
        "There is no keyring",
        "The API key is kept in the keyring of the system, and in nothing else unless you say so.",
    ),
    "port_conflict": Words(
        "Another program has the helper's port", "A sign-in would come back to that program, so none is started."
    ),
}

# The user's hand is needed before anything else works. Of a sign-in that runs the user knows.
_STUCK: Final[frozenset[ConnectionState]] = frozenset({"keyring_locked", "keyring_unavailable", "port_conflict"})
_WANTED: Final[frozenset[ConnectionState]] = frozenset({"needs_email", "reconnect_required"})


def running_attempt(connection: Connection) -> Attempt | None:
    """Return the sign-in that runs."""
    attempt = connection.attempt
    return attempt if attempt and attempt.state in {"pending", "exchanging"} else None


def words_for(connection: Connection) -> Words:
    """Return a connection in words, with the account that is connected."""
    if connection.state == "connected" and connection.account:
        return Words(f"Connected as {short(connection.account.email)}")
    return STATES[connection.state]


def sign_of(view: View) -> Sign:
    """Return what the icon says: that the user is waited for before all else."""
    if view.daemon == "absent":
        return Sign.ABSENT
    if view.daemon == "mismatched":
        return Sign.ATTENTION
    if view.daemon == "starting" or view.connection is None:
        return Sign.CONNECTING
    if view.pairings:
        return Sign.ATTENTION
    return _sign_of(view.connection)


def _sign_of(connection: Connection) -> Sign:
    if connection.state in _STUCK:
        return Sign.ATTENTION
    attempt = running_attempt(connection)
    if attempt or connection.state == "connecting":
        return Sign.ATTENTION if attempt and attempt.waiting else Sign.CONNECTING
    if connection.state in _WANTED:
        return Sign.ATTENTION
    return Sign.CONNECTED if connection.state == "connected" else Sign.DISCONNECTED


def asking(count: int) -> str:
    """Return how many apps wait to be let in, as a sentence without its full stop."""
    return "An app asks to be let in" if count == 1 else f"{count} apps ask to be let in"


def tooltip_for(view: View) -> str:
    """Return the state, and the account, in at most ``LONGEST_TOOLTIP`` UTF-16 code units."""
    parts = [_state_of(view)]
    if view.daemon == "running" and view.pairings:
        parts.insert(0, asking(len(view.pairings)))
    text = f"Upstash helper: {'. '.join(parts)}"
    # A character is two units at the most.
    return text if len(text.encode("utf-16-le")) <= 2 * LONGEST_TOOLTIP else short(text, LONGEST_TOOLTIP // 2)


def _state_of(view: View) -> str:
    if view.daemon == "absent":
        return "not running"
    if view.daemon == "mismatched":
        return "of another version than this icon"
    if view.daemon == "starting" or view.connection is None:
        return "starting"
    title = words_for(view.connection).title
    if view.connection.state == "connected" and running_attempt(view.connection):
        title += f". {WAITING_FOR_SIGN_IN}"
    return title
