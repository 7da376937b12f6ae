"""Which notifications the user gets without having asked for anything."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.messages import CONNECTION, VIA_BRIDGE, confirmation_title, of_attempt, request_title
from upstash_helper.protocol.shorten import MAX_SHOWN
from upstash_helper.protocol.wire_apps import RevokedApp
from upstash_helper_tray.presentation.status import connection_facts, undecided_attempt
from upstash_helper_tray.presentation.text import quoted, shorten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from upstash_helper.client.events import Event
    from upstash_helper.protocol.wire import Attempt, Connection
    from upstash_helper.protocol.wire_apps import Confirmation, Pairing
    from upstash_helper_tray.sync.state import TrayState

_MAX_REMEMBERED: Final = 1000
_MAX_QUESTION: Final = 240

_ACTION_NEEDED: Final = frozenset(
    {"reconnect_required", "needs_email", "keyring_locked", "keyring_unavailable", "port_conflict"}
)

# Access that the user or the app itself has revoked is not reported.
_REVOKED: Final = {
    "misused": ("Access was revoked", "The app's token was used by another program or web page."),
    "expired": ("Access has expired", "The app can request access again."),
}


@dataclass(frozen=True)
class Notification:
    """A notification: plain text."""

    title: str
    body: str


class NotificationTracker:
    """Remembers what the user was notified of, so that a restart of the daemon does not repeat it."""

    def __init__(self) -> None:
        self._notified: OrderedDict[str, None] = OrderedDict()
        self._last: Connection | None = None

    def update(self, state: TrayState, event: Event | None = None) -> list[Notification]:
        """Return the notifications for ``state`` and for the ``event`` that led to it, if one did."""
        new = notifications_for(self._last, state, event, notified=self._notified)
        self._last = state.connection or self._last
        for pairing in state.pairings:
            self._notified[pairing.id] = None
        for confirmation in state.confirmations:
            self._notified[confirmation.id] = None
        undecided, _ = undecided_attempt(state.connection)
        if undecided:
            self._notified[undecided.attempt_id] = None
        while len(self._notified) > _MAX_REMEMBERED:
            self._notified.popitem(last=False)
        return new


def notifications_for(
    last: Connection | None, state: TrayState, event: Event | None = None, *, notified: Collection[str] = ()
) -> list[Notification]:
    """
    Return the notifications for a change.

    Args:
        last: The last known connection. None if this is the first one, which is not news.
        state: The current state.
        event: The event that led to it, if one did.
        notified: Ids of the pairings, questions, and sign-ins that the user was already notified of.
    """
    new = [_access_request(pairing) for pairing in state.pairings if not _is_known(pairing, notified)]
    new += [_question(it) for it in state.confirmations if it.id not in notified]
    undecided, question = undecided_attempt(state.connection)
    if undecided and question and undecided.attempt_id not in notified:
        new.append(Notification(question.title, f"{question.detail} To decide, open the menu of the icon."))
    if last is not None and state.connection is not None:
        new += _connection_changes(last, state.connection)
    if event is not None and isinstance(event.data, RevokedApp):
        new += _revocation(event.data)
    return new


def _is_known(pairing: Pairing, notified: Collection[str]) -> bool:
    """Return whether the user was notified of a request, or of the same one that the app has replaced by it."""
    return pairing.id in notified or (pairing.repeated and pairing.replaces in notified)


def _access_request(pairing: Pairing) -> Notification:
    # The verified identity comes first and the claimed name last, so that no claim can precede what is verified.
    identity, bridge = pairing.identity, f"{VIA_BRIDGE} " if pairing.via_bridge else ""
    title = request_title(identity.shown, identity.warnings if identity.kind == "native" else ())
    who = "" if title.startswith(identity.shown) else f"{shorten(identity.shown, MAX_SHOWN)}. "
    return Notification(
        title,
        f"{who}Code: {pairing.user_code}. {bridge}To decide, open the menu of the icon. "
        f"The app calls itself {quoted(pairing.claimed_name)}.",
    )


def _question(it: Confirmation) -> Notification:
    identity = it.identity
    shown = identity.shown_without_process or identity.shown
    title = confirmation_title(shown, identity.warnings if identity.kind == "native" else ())
    who = "" if title.startswith(shown) else f"{shorten(shown, MAX_SHOWN)}. "
    return Notification(
        title,
        f"{who}{shorten(it.title, _MAX_QUESTION)} To decide, open the menu of the icon. "
        f"The app calls itself {quoted(it.claimed_name)}.",
    )


def _connection_changes(last: Connection, now: Connection) -> Iterator[Notification]:
    if now.state == "connected" and _what_is_connected(last) != _what_is_connected(now):
        email = now.account.email if now.account else "your account"
        yield Notification("Connected to Upstash", ". ".join((f"Account: {email}", *connection_facts(now))))
    if now.state in _ACTION_NEEDED and now.state != last.state:
        message = CONNECTION[now.state]
        yield Notification(now.title or message.title, now.detail or message.text)
    failed = _failed_attempt(now)
    if failed is not None and failed != _failed_attempt(last):
        message = of_attempt("failed", failed.reason or None)
        yield Notification(failed.title or message.title, failed.detail or message.detail)


def _what_is_connected(connection: Connection) -> tuple[object, ...]:
    return (connection.state, connection.account, connection.access, connection.method)


def _failed_attempt(connection: Connection) -> Attempt | None:
    """Return the failed attempt. None if none failed, or if that is what the user decided."""
    attempt = connection.attempt
    if attempt is None or attempt.state != "failed" or attempt.reason in {"cancelled", "replacement_declined"}:
        return None
    return attempt


def _revocation(revoked: RevokedApp) -> Iterator[Notification]:
    if revoked.reason in _REVOKED:
        title, body = _REVOKED[revoked.reason]
        yield Notification(title, f"{body} App: {quoted(revoked.name)}.")
