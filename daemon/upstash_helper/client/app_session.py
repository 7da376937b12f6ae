"""An app's token at work: the client that carries it, and the store that keeps it, in step with each other."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import quote

from upstash_helper.client.daemon import START_COMMAND, DaemonClient
from upstash_helper.client.errors import (
    PairingPending,
    SignedOut,
    TokenRevoked,
    TokenStoreUnavailable,
    TooManyPairings,
    WaitTimedOut,
)
from upstash_helper.client.token_store import Held
from upstash_helper.client.transport import Deadline
from upstash_helper.protocol import wire_apps
from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from upstash_helper.client.events import Event
    from upstash_helper.client.locate import Whereabouts
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.wire_apps import NewToken, PairingRequest, StartedPairing, TokenInfo


class AppClient(DaemonClient):
    """The daemon as an app sees it. Nothing is sent to a program that does not say that it is the helper."""

    def __init__(self, base_url: str, token: str | None, *, start_command: str = START_COMMAND) -> None:
        """
        Args:
            base_url: Such as ``http://127.0.0.1:3000``.
            token: The app's token, or a pairing's ``poll_secret``; None for the calls that need none.
            start_command: What to tell the user to run if the daemon is not there.

        Raises:
            ValueError: If ``base_url`` is not on this machine's loopback.
        """
        super().__init__(base_url, token, start_command=start_command, prove=True)

    def ask_pairing(self, wish: wire_apps.PairingRequest) -> wire_apps.StartedPairing:
        """Ask the user to let the app in."""
        return self._ask("POST", "/v1/pairings", wire_apps.StartedPairing, body=wish)

    def pairing(self, pairing_id: str) -> wire_apps.PairingStatus:
        """Return what became of a pairing; the client's token is its ``poll_secret``."""
        return self._ask("GET", _pairing(pairing_id), wire_apps.PairingStatus)

    def fetch_token(self, pairing_id: str) -> wire_apps.NewToken:
        """Return the app's token, which is done once; the client's token is the pairing's ``poll_secret``."""
        return self._ask("POST", f"{_pairing(pairing_id)}/token", wire_apps.NewToken)

    def withdraw_pairing(self, pairing_id: str) -> None:
        """Ask no longer; the client's token is the pairing's ``poll_secret``."""
        self._send("DELETE", _pairing(pairing_id))

    def token(self) -> wire_apps.TokenInfo:
        """Return what the token is."""
        return self._ask("GET", "/v1/token", wire_apps.TokenInfo)

    def rotate_token(self) -> wire_apps.NewToken:
        """Return a new token; the old one stops working."""
        return self._ask("POST", "/v1/token/rotate", wire_apps.NewToken)

    def revoke_token(self) -> None:
        """Sign the app out: its token stops working."""
        self._send("DELETE", "/v1/token")


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"


OnCode = Callable[[str, datetime], object]
"""Is called with the code that the user sees in the prompt too, and with the time (UTC) at which the request ends."""


def print_code(user_code: str, expires_at: datetime) -> None:
    """Show the code on stderr, with what to do."""
    until = expires_at.astimezone().strftime("%H:%M:%S")
    sys.stderr.write(
        f"This program asks to be let in, with the code {user_code}. Decide until {until}:"
        " upstash-helper approvals approve\n"
    )


def ask_user(
    wish: PairingRequest, *, connect: Callable[[str | None], AppClient], on_code: OnCode, deadline: Deadline
) -> NewToken:
    """
    Ask the user, show the code, and wait until there is a decision. Return the token.

    Args:
        wish: What the app asks for.
        connect: Makes a client with a token, or with none.
        on_code: Shows the code.
        deadline: For all of it.

    Raises:
        PairingRefused: As its subclasses say.
        WaitTimedOut: If the user has not decided at the deadline.
        ClientError: As ``DaemonClient``.
    """
    started = _asked(wish, connect(None), deadline)
    on_code(started.user_code, datetime.fromisoformat(started.expires_at))
    client = connect(started.poll_secret)
    try:
        while client.pairing(started.id).state == "pending":
            if not deadline.wait(started.interval):
                raise WaitTimedOut(
                    f"You have not decided in time about the request with the code {started.user_code}. Start this"
                    " program again, and decide: upstash-helper approvals list"
                )
    except (KeyboardInterrupt, WaitTimedOut):
        # Nobody is there any more to take the token: the prompt goes, and the next run may ask at once.
        with contextlib.suppress(ClientError):
            client.withdraw_pairing(started.id)
        raise
    return client.fetch_token(started.id)  # which says why, if there is none


def _asked(wish: PairingRequest, client: AppClient, deadline: Deadline) -> StartedPairing:
    while True:
        try:
            return client.ask_pairing(wish)
        except (PairingPending, TooManyPairings) as refusal:
            # Whoever set no time does not expect minutes of silence: the error says how long it would be.
            if refusal.retry_after is None or deadline.left is None or not deadline.wait(refusal.retry_after):
                raise


T = TypeVar("T")

# RFC 6750, section 2.1. What else a store may hold is no token, and must not get into a header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class AppSession:
    """
    Makes calls with the token. Several threads may use it, and several processes may share the store: when one of them
    has rotated the token, the others take it from there.
    """

    def __init__(self, daemon: Whereabouts, store: TokenStore) -> None:
        """
        Args:
            daemon: Where it is.
            store: Keeps the token.
        """
        self._daemon = daemon
        self._store = store
        self._lock = threading.RLock()
        self._held: Held | None = None

    @property
    def base_url(self) -> str:
        """Where the daemon is."""
        return self._daemon.base_url

    def connect(self, token: str | None) -> AppClient:
        """Return a client with ``token``."""
        return AppClient(self._daemon.base_url, token, start_command=self._daemon.start_command)

    def resume(self) -> TokenInfo | None:
        """
        Take up the stored token. Return what it is, or None if there is none that works.

        Raises:
            TokenStoreUnavailable: If the store cannot be read.
            ClientError: As ``DaemonClient``.
        """
        with self._lock:
            self._held = self._stored()
        if self._held is None:
            return None
        try:
            return self.run(AppClient.token)
        except TokenRevoked:
            self._held = None
            return None

    def run(self, call: Callable[[AppClient], T]) -> T:
        """
        Return what ``call`` returns, which is given a client. It is called a second time if there is a newer token.

        Raises:
            SignedOut: If there is no token any more.
            TokenRevoked: If the token is not taken any more. It is removed from the store then.
            ClientError: As ``DaemonClient``.
        """
        held = self._needed()
        try:
            return call(self.connect(held.value))
        except TokenRevoked:
            newer = self._newer(held)
            if newer is None:
                raise
        return call(self.connect(newer.value))

    def events(self, *, last_event_id: str, timeout: float | None) -> Iterator[Event]:
        """
        Yield what happens; raises as ``run``. With a newer token it goes on after the event that came last.

        Args:
            last_event_id: Go on after this event.
            timeout: Seconds after which to stop.
        """
        deadline = Deadline(timeout)
        while True:
            held = self._needed()
            try:
                for event in self.connect(held.value).events(last_event_id=last_event_id, timeout=deadline.left):
                    last_event_id = event.id or last_event_id
                    yield event
            except TokenRevoked:
                if self._newer(held) is None:
                    raise
            else:
                return

    def adopt(self, new: NewToken) -> None:
        """
        Store a new token and go on with it. One that it replaces is signed out if it was granted separately.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. It is signed out then: nobody would know it any more.
        """
        with self._lock:
            before, self._held = self._held, Held(value=new.token)
            try:
                self._store.save(new.token)
            except TokenStoreUnavailable:
                self._held = before
                self._sign_out(new.token)
                raise
        if before is not None:
            self._sign_out(before.value)

    def rotate(self) -> None:
        """
        Take a new token, and store it.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. This client goes on with it all the same.
            ClientError: As ``run``.
        """
        # Whoever is refused with the old token meanwhile waits here, and finds the new one.
        with self._lock:
            new = self.run(AppClient.rotate_token)
            self._held = Held(value=new.token)
            self._store.save(new.token)

    def sign_out(self) -> None:
        """
        Give the token up, and remove it from the store; nothing happens if there is none.

        Raises:
            TokenStoreUnavailable: If it cannot be removed. It does not work any more all the same.
            ClientError: As ``DaemonClient``; the token is kept then.
        """
        with contextlib.suppress(TokenRevoked, SignedOut):
            self.run(AppClient.revoke_token)
        with self._lock:
            self._held = None
            self._store.delete()

    def _needed(self) -> Held:
        held = self._held
        if held is None:
            raise SignedOut("This client has signed out. Ask to be let in again: Helper.pair(…)")
        return held

    def _stored(self) -> Held | None:
        token = self._store.load()
        return Held(value=token) if token is not None and _TOKEN.fullmatch(token) else None

    def _newer(self, refused: Held) -> Held | None:
        """Return the token that another thread or process has taken instead of ``refused``; if none has, forget it."""
        with self._lock:
            if self._held is not refused:
                return self._held
            stored = self._stored()
            if stored is None or stored == refused:
                self._store.delete()
                return None
            self._held = stored
            return stored

    def _sign_out(self, token: str) -> None:
        with contextlib.suppress(ClientError):
            self.connect(token).revoke_token()
