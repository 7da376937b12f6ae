"""What the user is told without having asked: pure but for the memory of what was told already."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.wire_apps import RevokedApp
from upstash_helper_tray.text import quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from upstash_helper.client.events import Event
    from upstash_helper.protocol.wire import Connection
    from upstash_helper.protocol.wire_apps import Pairing
    from upstash_helper_tray.state import View

_REMEMBERED: Final = 1000

_NEEDS_A_HAND: Final = {
    "reconnect_required": ("Connect to Upstash again", "Upstash no longer takes the API key."),
    "needs_email": ("Upstash needs your e-mail", "Give the e-mail of your account: upstash-helper connect --email"),
    "keyring_locked": ("The keyring is locked", "Unlock it, so that upstash-helper can read the API key."),
    "keyring_unavailable": ("The keyring cannot be used", "upstash-helper cannot read the API key."),
    "port_conflict": ("Another program is in the way", "A sign-in to Upstash could not come back."),
}  # fmt: skip

_REVOKED: Final = {
    "misused": "Its access was ended: its token was used from where it does not belong.",
    "expired": "Its access has run out. It can ask anew.",
}


@dataclass(frozen=True)
class Notice:
    """A notification: plain text."""

    title: str
    body: str


class Herald:
    """Knows what was told, so that nothing is told twice because the daemon was away in between."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, None] = OrderedDict()
        self._last: Connection | None = None

    def news(self, view: View, event: Event | None = None) -> list[Notice]:
        """Return what there is to tell about ``view``, which ``event`` led to if one did."""
        found = notices(self._last, view, event, told=self._told)
        self._last = view.connection or self._last
        for pairing in view.pairings:
            self._told[pairing.id] = None
        while len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return found


def notices(
    last: Connection | None, view: View, event: Event | None = None, *, told: Collection[str] = ()
) -> list[Notice]:
    """
    Return what there is to tell.

    Args:
        last: The connection as it was known last; None: this is the first that is known of it, and no news.
        view: What is so now.
        event: What led to it, if something did.
        told: The ids of the pairings that were told.
    """
    found = [_asks(pairing) for pairing in view.pairings if pairing.id not in told]
    if last is not None and view.connection is not None:
        found += _of_connection(last, view.connection)
    if event is not None and isinstance(event.data, RevokedApp):
        found += _of_revoked(event.data)
    return found


def _asks(pairing: Pairing) -> Notice:
    # What is vouched for comes first and the claimed name last: nothing that it says can stand before what is true.
    return Notice(
        f"{pairing.identity.shown} asks to use your Upstash account",
        f"It shows the code {pairing.user_code}. To decide, open the menu of the icon. "
        f"It calls itself {quoted(pairing.claimed_name)}.",
    )


def _of_connection(last: Connection, now: Connection) -> Iterator[Notice]:
    if now.state == "connected" and (last.state, last.account) != (now.state, now.account):
        email = now.account.email if now.account else "your account"
        yield Notice("Connected to Upstash", f"The account is {email}.")
    if now.state in _NEEDS_A_HAND and now.state != last.state:
        title, body = _NEEDS_A_HAND[now.state]
        yield Notice(title, now.detail if isinstance(now.detail, str) else body)
    if (failed := _failure(now)) is not None and failed != _failure(last):
        yield Notice("The sign-in to Upstash failed", failed[1])


def _failure(connection: Connection) -> tuple[str, str] | None:
    """Return which attempt failed, and why; None where none did, or the user gave it up."""
    attempt = connection.attempt
    if attempt is None or attempt.state != "failed" or attempt.reason == "cancelled":
        return None
    return attempt.attempt_id, attempt.detail if isinstance(attempt.detail, str) else "Start again."


def _of_revoked(revoked: RevokedApp) -> Iterator[Notice]:
    if (why := _REVOKED.get(revoked.reason)) is not None:
        yield Notice("An app is let in no longer", f"{why} It is called {quoted(revoked.name)}.")
