"""An app's access: requesting it from the user, and using and renewing the token that it gets."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
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
from upstash_helper.client.token_store import SecretToken
from upstash_helper.client.transport import Deadline
from upstash_helper.protocol import wire_apps
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX

if TYPE_CHECKING:
    from upstash_helper.client.events import Event
    from upstash_helper.client.locate import DaemonLocation
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.wire_apps import NewToken, PairingRequest, StartedPairing, TokenInfo

T = TypeVar("T")

OnCode = Callable[[str, datetime], object]
"""Called with the code that the user also sees in the prompt, and the time (UTC) at which the request expires."""

# RFC 6750, section 2.1. Anything else in a store is not a token, and must not get into a header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class AppClient(DaemonClient):
    """The API for apps. Before it sends a token, it checks that the server is the daemon."""

    def __init__(
        self, base_url: str, token: str | None, *, start_command: str = START_COMMAND, proves: bool = True
    ) -> None:
        """
        Args:
            base_url: Such as ``http://127.0.0.1:3000``.
            token: The app's token, or a pairing's ``poll_secret``; None for calls that need none.
            start_command: Command that error messages suggest if the daemon is not running.
            proves: Whether the server must prove that it knows the token; see ``Transport``.

        Raises:
            ValueError: If ``base_url`` is not a loopback address.
        """
        super().__init__(base_url, token, start_command=start_command, verify_server=True, proves=proves)

    def start_pairing(self, request: wire_apps.PairingRequest) -> wire_apps.StartedPairing:
        """Request access."""
        return self._ask("POST", "/v1/pairings", wire_apps.StartedPairing, body=request)

    def pairing(self, pairing_id: str) -> wire_apps.PairingStatus:
        """Return the state of a pairing. The client's token has to be its ``poll_secret``."""
        return self._ask("GET", _pairing(pairing_id), wire_apps.PairingStatus)

    def fetch_token(self, pairing_id: str) -> wire_apps.NewToken:
        """Return the app's token, which works once. The client's token has to be the pairing's ``poll_secret``."""
        return self._ask("POST", f"{_pairing(pairing_id)}/token", wire_apps.NewToken)

    def withdraw_pairing(self, pairing_id: str) -> None:
        """Withdraw a request. The client's token has to be the pairing's ``poll_secret``."""
        self._send("DELETE", _pairing(pairing_id))

    def token(self) -> wire_apps.TokenInfo:
        """Return the properties of the token."""
        return self._ask("GET", "/v1/token", wire_apps.TokenInfo)

    def rotate_token(self) -> wire_apps.NewToken:
        """Return a new token. The old one stops working."""
        return self._ask("POST", "/v1/token/rotate", wire_apps.NewToken)

    def revoke_token(self) -> None:
        """Revoke the token."""
        self._send("DELETE", "/v1/token")


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"


# --- requesting access ------------------------------------------------------------------------------------------------


def print_code(user_code: str, expires_at: datetime) -> None:
    """Print the code and the command for deciding to stderr."""
    until = expires_at.astimezone().strftime("%H:%M:%S")
    # As for ``locate.find``: the variable says which daemon this program uses.
    profile = os.environ.get(f"{ENV_PREFIX}PROFILE", DEFAULT_PROFILE)
    option = "" if profile == DEFAULT_PROFILE else f"--profile {shlex.quote(profile)} "
    say(
        f"This program requests access to your Upstash account. Code: {user_code}. To approve it, run this by {until}:"
        f" upstash-helper {option}approvals approve"
    )


def say(text: str) -> None:
    """Print a line to stderr. An app without one, such as one with a window, works without it."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # the disk is full, or the app has closed it
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def request_access(
    request: PairingRequest, *, connect: Callable[[str | None], AppClient], on_code: OnCode, deadline: Deadline
) -> NewToken:
    """
    Request access, show the code, wait for the user's decision, and return the token.

    Args:
        request: The requested access.
        connect: Creates a client with a token, or without one.
        on_code: Shows the code.
        deadline: For the whole process.

    Raises:
        PairingRefused: See its subclasses.
        WaitTimedOut: If the user has not decided by the deadline.
        ClientError: Like ``DaemonClient``.
    """
    started = _start_pairing(request, connect(None), deadline)
    on_code(started.user_code, datetime.fromisoformat(started.expires_at))
    client = connect(started.poll_secret)
    try:
        while client.pairing(started.id).state == "pending":
            if not deadline.wait(started.interval):
                raise WaitTimedOut(
                    f"You did not decide on the request with the code {started.user_code} in time. Start this program"
                    " again. To list its request: upstash-helper approvals list"
                )
    except (KeyboardInterrupt, WaitTimedOut):
        # This run will not fetch the token. Withdrawing closes the prompt and lets the next run request access.
        with contextlib.suppress(ClientError):
            client.withdraw_pairing(started.id)
        raise
    return client.fetch_token(started.id)  # raises if the request was not approved


def _start_pairing(request: PairingRequest, client: AppClient, deadline: Deadline) -> StartedPairing:
    while True:
        try:
            return client.start_pairing(request)
        except (PairingPending, TooManyPairings) as refusal:
            # Without a timeout, waiting silently for minutes would be unexpected. The error says how long it would be.
            if refusal.retry_after is None or deadline.left is None or not deadline.wait(refusal.retry_after):
                raise


# --- using the token --------------------------------------------------------------------------------------------------


class AppSession:
    """
    Makes calls with the app's token and keeps the token store up to date.

    Threads may share a session, and processes may share a store: after one of them has rotated the token, the others
    read the new one from the store.
    """

    def __init__(self, daemon: DaemonLocation, store: TokenStore) -> None:
        """
        Args:
            daemon: The daemon's location.
            store: Stores the token.
        """
        self._daemon = daemon
        self._store = store
        self._lock = threading.RLock()
        self._token: SecretToken | None = None

    @property
    def base_url(self) -> str:
        """The daemon's address."""
        return self._daemon.base_url

    def client(self, token: str | None) -> AppClient:
        """Return a client with ``token``."""
        daemon = self._daemon
        return AppClient(daemon.base_url, token, start_command=daemon.start_command, proves=daemon.proves)

    def resume(self) -> TokenInfo | None:
        """
        Load the stored token. Return its properties, or None if there is no valid one.

        Raises:
            TokenStoreUnavailable: If the store cannot be read.
            ClientError: Like ``DaemonClient``.
        """
        with self._lock:
            self._token = self._load()
        if self._token is None:
            return None
        try:
            return self.run(AppClient.token)
        except TokenRevoked:
            self._token = None
            return None

    def run(self, call: Callable[[AppClient], T]) -> T:
        """
        Return the result of ``call``, which gets a client. If the token is rejected and there is a newer one, it is
        called again with that.

        Raises:
            SignedOut: If there is no token.
            TokenRevoked: If the token is rejected. It has been removed from the store then.
            ClientError: Like ``DaemonClient``.
        """
        token = self._require_token()
        try:
            return call(self.client(token.value))
        except TokenRevoked:
            newer = self._newer_token(token)
            if newer is None:
                raise
        return call(self.client(newer.value))

    def events(self, *, last_event_id: str, timeout: float | None) -> Iterator[Event]:
        """
        Yield events; raises as ``run``. After a rotation, it continues after the last event with the new token.

        Args:
            last_event_id: Resume after this event.
            timeout: Seconds after which to stop.
        """
        deadline = Deadline(timeout)
        while True:
            token = self._require_token()
            try:
                for event in self.client(token.value).events(last_event_id=last_event_id, timeout=deadline.left):
                    last_event_id = event.id or last_event_id
                    yield event
            except TokenRevoked:
                if self._newer_token(token) is None:
                    raise
            else:
                return

    def set_token(self, new: NewToken) -> None:
        """
        Store and use a new token. The previous one, which was granted separately, is revoked.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. It is revoked then, since nothing would know it any more.
        """
        with self._lock:
            before, self._token = self._token, SecretToken(value=new.token)
            try:
                self._store.save(new.token)
            except TokenStoreUnavailable:
                self._token = before
                self._revoke(new.token)
                raise
        if before is not None:
            self._revoke(before.value)

    def rotate(self) -> None:
        """
        Replace the token by a new one, and store it.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. This session uses it nevertheless.
            ClientError: Like ``run``.
        """
        # Threads whose calls are rejected with the old token wait for this lock, and then find the new one.
        with self._lock:
            new = self.run(AppClient.rotate_token)
            self._token = SecretToken(value=new.token)
            self._store.save(new.token)

    def sign_out(self) -> None:
        """
        Revoke the token and remove it from the store. Does nothing if there is none.

        Raises:
            TokenStoreUnavailable: If it cannot be removed from the store. It is revoked nevertheless.
            ClientError: Like ``DaemonClient``. The token is kept then.
        """
        with contextlib.suppress(TokenRevoked, SignedOut):
            self.run(AppClient.revoke_token)
        with self._lock:
            self._token = None
            self._store.delete()

    def _require_token(self) -> SecretToken:
        token = self._token
        if token is None:
            raise SignedOut("This client has signed out. Request access again with Helper.pair(…).")
        return token

    def _load(self) -> SecretToken | None:
        token = self._store.load()
        return SecretToken(value=token) if token is not None and _TOKEN.fullmatch(token) else None

    def _newer_token(self, rejected: SecretToken) -> SecretToken | None:
        """Return the token with which another thread or process has replaced ``rejected``. Delete it if none has."""
        with self._lock:
            if self._token is not rejected:
                return self._token
            stored = self._load()
            if stored is None or stored == rejected:
                self._store.delete()
                return None
            self._token = stored
            return stored

    def _revoke(self, token: str) -> None:
        with contextlib.suppress(ClientError):
            self.client(token).revoke_token()
