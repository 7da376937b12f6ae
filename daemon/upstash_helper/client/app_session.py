"""An app's token at work: the client that carries it, and the store that keeps it, in step with each other."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.client.app_calls import AppClient
from upstash_helper.client.deadline import Deadline
from upstash_helper.client.errors import SignedOut, TokenRevoked, TokenStoreUnavailable
from upstash_helper.client.token_store import Held
from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from upstash_helper.client.events import Event
    from upstash_helper.client.locate import Whereabouts
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.wire_apps import NewToken, TokenInfo

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
