"""
The tray's state, the reducers that derive the next state from events and answers, and the store that holds it.

A state is an immutable value. Reducers are pure; ``StateStore`` applies them one at a time and reports each change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.protocol.wire import Attempt, Connection, DaemonStatus, Database
from upstash_helper.protocol.wire_apps import App, Confirmation, Pairing, RevokedApp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.client.events import Event

DaemonState = Literal["absent", "mismatched", "starting", "running"]
"""``mismatched``: it is running, but the tray does not speak its version of the protocol."""


@dataclass(frozen=True, kw_only=True)
class TrayState:
    """What the tray knows about the daemon, the connection, databases, and apps."""

    daemon: DaemonState = "absent"
    error_text: str = ""
    """Why the daemon cannot be used, as a sentence for the user. Empty if there is nothing to add."""
    connection: Connection | None = None
    """None while the daemon is not running."""
    databases: tuple[Database, ...] | None = None
    """Sorted by name. None if not read yet, or if no account is connected."""
    databases_error: str = ""
    """Why the databases could not be read."""
    pairings: tuple[Pairing, ...] = ()
    """Pending access requests, oldest first."""
    confirmations: tuple[Confirmation, ...] = ()
    """Questions from apps that wait for the user, oldest first."""
    apps: tuple[App, ...] = ()
    console_url: str | None = None
    """Base address of the Upstash console. None if there is none, as with the sandbox."""
    is_sandbox: bool = False
    """Whether the daemon manages a sandbox, and not Upstash."""
    starts_at_login: bool | None = None
    """None if this system does not support it."""


class IconStatus(Enum):
    """What the icon shows. Each status has its own shape, so it can be recognized without color."""

    ABSENT = auto()
    DISCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    ATTENTION = auto()
    """Something needs the user: an access request, a question from an app, or a problem with the connection."""


Need = Literal["state", "apps", "databases"]

_NEEDS: Final[dict[str, frozenset[Need]]] = {
    "hello": frozenset({"state"}),
    "reset": frozenset({"state"}),
    "database": frozenset({"databases"}),
}


@dataclass(frozen=True)
class Transition:
    """The next state, and what has to be read from the daemon because the event does not contain it."""

    state: TrayState
    needs: frozenset[Need] = frozenset()


def reduce_event(state: TrayState, event: Event) -> Transition:
    """Apply an event. Events that this version does not know leave the state unchanged."""
    match event.data:
        case Connection() as connection:
            return with_connection(state, connection)
        case Attempt() as attempt:
            return Transition(_with_attempt(state, attempt))
        case Pairing() as pairing:
            return _with_pairing(state, pairing)
        case Confirmation() as confirmation:
            return _with_confirmation(state, confirmation)
        case RevokedApp(app_id=app_id):
            return Transition(replace(state, apps=tuple(app for app in state.apps if app.id != app_id)))
        case _:
            return Transition(state, _NEEDS.get(event.event, frozenset()))


# --- answers of the daemon --------------------------------------------------------------------------------------------


def with_status(state: TrayState, status: DaemonStatus, connection: Connection) -> Transition:
    """
    Apply the answer of a running daemon. Databases have to be read again if an account is connected.

    Args:
        state: The state before.
        status: The answer.
        connection: The connection in the answer, or a newer one from an event.
    """
    running = replace(
        state,
        daemon="running",
        error_text="",
        console_url=status.console_url,
        is_sandbox=status.upstream == "sandbox",
    )
    after = with_connection(running, connection).state
    return Transition(after, frozenset({"databases"}) if is_connected(after) else frozenset())


def with_connection(state: TrayState, connection: Connection) -> Transition:
    """Apply a new connection. If the account changed, its databases are dropped and have to be read."""
    same = _account(state.connection) == _account(connection)
    after = replace(state, connection=connection)
    if same:
        return Transition(after)
    after = replace(after, databases=None, databases_error="")
    return Transition(after, frozenset({"databases"}) if is_connected(after) else frozenset())


def with_pairings(state: TrayState, pairings: Iterable[Pairing]) -> TrayState:
    """Replace the pending requests. If there are any, the daemon is known to be running before its status is read."""
    pending = tuple(pairings)
    return replace(state, pairings=pending, daemon="running" if pending else state.daemon)


def without_pairing(state: TrayState, pairing_id: str) -> TrayState:
    """Remove a request that is no longer pending."""
    return with_pairings(state, (pairing for pairing in state.pairings if pairing.id != pairing_id))


def with_confirmations(state: TrayState, confirmations: Iterable[Confirmation]) -> TrayState:
    """Replace the questions that wait, like ``with_pairings``."""
    waiting = tuple(confirmations)
    return replace(state, confirmations=waiting, daemon="running" if waiting else state.daemon)


def without_confirmation(state: TrayState, confirmation_id: str) -> TrayState:
    """Remove a question that no longer waits."""
    return with_confirmations(state, (it for it in state.confirmations if it.id != confirmation_id))


def with_apps(state: TrayState, apps: Iterable[App]) -> TrayState:
    """Replace the apps that have access."""
    return replace(state, apps=tuple(apps))


def with_databases(state: TrayState, read_for: Connection | None, databases: Iterable[Database]) -> TrayState:
    """Replace the databases, unless the account has changed since they were requested (``read_for``)."""
    if not is_connected(state) or _account(state.connection) != _account(read_for):
        return state
    return replace(state, databases=tuple(databases), databases_error="")


def with_databases_error(state: TrayState, read_for: Connection | None, error_text: str) -> TrayState:
    """Record that the databases could not be read. Those that were read before stay visible."""
    if not is_connected(state) or _account(state.connection) != _account(read_for):
        return state
    return replace(state, databases_error=error_text)


# --- the daemon -------------------------------------------------------------------------------------------------------


def with_version_mismatch(state: TrayState, error_text: str) -> TrayState:
    """Return the state for a running daemon that speaks another version of the protocol."""
    return TrayState(daemon="mismatched", error_text=error_text, starts_at_login=state.starts_at_login)


def without_daemon(state: TrayState, error_text: str = "", *, starting: bool = False) -> TrayState:
    """Return the state without a daemon. Only what does not come from the daemon is kept."""
    return TrayState(
        daemon="starting" if starting else "absent",
        error_text="" if starting else error_text,
        starts_at_login=state.starts_at_login,
    )


def is_connected(state: TrayState) -> bool:
    """Return whether an account is connected and usable."""
    return state.connection is not None and state.connection.state == "connected"


def _account(connection: Connection | None) -> tuple[str, str | None] | None:
    if connection is None or connection.state != "connected" or connection.account is None:
        return None
    return connection.account.email, connection.since


def _with_attempt(state: TrayState, attempt: Attempt) -> TrayState:
    if state.connection is None:
        return state
    return replace(state, connection=msgspec.structs.replace(state.connection, attempt=attempt))


def _with_pairing(state: TrayState, pairing: Pairing) -> Transition:
    others = tuple(other for other in state.pairings if other.id != pairing.id)
    if pairing.state == "pending":
        return Transition(with_pairings(state, (*others, pairing)))
    # "approved" is sent twice: on approval, and when the app has fetched its token. Only then does it have access.
    needs: frozenset[Need] = frozenset({"apps"}) if pairing.state == "approved" else frozenset()
    return Transition(with_pairings(state, others), needs)


def _with_confirmation(state: TrayState, confirmation: Confirmation) -> Transition:
    others = without_confirmation(state, confirmation.id).confirmations
    new = (confirmation,) if confirmation.state == "pending" else ()
    return Transition(with_confirmations(state, (*others, *new)))


# --- the store --------------------------------------------------------------------------------------------------------

Update = Callable[[TrayState], TrayState]
OnChange = Callable[[TrayState, TrayState, "Event | None"], None]
"""Called with the state before, the state after, and the event that caused the change, if one did."""


class StateStore:
    """Holds the current state. Threads may update it concurrently; changes are reported in order, one at a time."""

    def __init__(self, on_change: OnChange) -> None:
        """
        Args:
            on_change: Called for each change, on the thread that made it and with the lock held: it has to return
                soon and must not update the store.
        """
        self._on_change = on_change
        self._lock = threading.Lock()
        self._state = TrayState()

    @property
    def current(self) -> TrayState:
        """The current state."""
        return self._state

    def update(self, update: Update, *, event: Event | None = None) -> TrayState:
        """Replace the state by the result of ``update``, report the change, and return the new state."""
        with self._lock:
            before = self._state
            after = update(before)
            self._state = after
            # An event may carry news that is not part of the state, such as why an app's access was revoked.
            if after != before or event is not None:
                self._on_change(before, after, event)
            return after
