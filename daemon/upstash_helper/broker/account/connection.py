"""The connection to one Upstash account: connecting, its state, using it, disconnecting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from upstash_helper.broker.account.attempts import Attempt, Exchanging, Pending
from upstash_helper.broker.account.callback_lease import CallbackLease
from upstash_helper.broker.account.key_check import KeyCheck
from upstash_helper.broker.account.oauth_flow import OAuthFlow
from upstash_helper.broker.errors import (
    ClientIdMissing,
    EmailRequired,
    NotConnected,
    PortConflict,
    ReconnectRequired,
    StoreLocked,
    UpstreamForbidden,
)
from upstash_helper.broker.models import Credential
from upstash_helper.protocol.literals import ConnectionMethod, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.sign_in import SignIn
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import (
        AuthorizationServer,
        Browser,
        CallbackAddress,
        Clock,
    )

T = TypeVar("T")

# After Upstash has rejected the key, calls fail here for this long before one is sent to Upstash again.
REFUSED_SECONDS: Final = 60.0
_ONLY_THIS: Final = "Upstash refused this request as unauthorized (status 401), although it accepts the stored API key."


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the connection."""

    state: ConnectionState
    detail: str | None = None
    """What is wrong, where more is known than the state."""
    can_sign_in: bool = True
    """False if no OAuth client ID is configured."""
    email: str | None = None
    method: ConnectionMethod | None = None
    since: float | None = None
    key_name: str | None = None
    attempt: Attempt | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a connect that started or joined an attempt."""

    attempt: Pending | Exchanging
    joined: bool
    browser_opened: bool


class Connection:
    """The state of the connection. Changes of the credential are serialized by a lock; reads do not wait for it."""

    def __init__(
        self,
        *,
        credentials: CredentialCache,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        callback: CallbackAddress,
        check: Callable[[Credential], Awaitable[object]],
        tls_hellos: Callable[[], int],
        browser: Browser,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._server = server
        self._callback = callback
        self._browser = browser
        self._events = events
        self._background = background
        self._clock = clock
        self._key_check = KeyCheck(check, background=background, clock=clock)
        self.on_account_left: Callable[[], None] = lambda: None
        """Called when the connected account is disconnected, or replaced by another one."""
        self._account: str | None = None
        self.turn: Final = asyncio.Lock()
        """The lock to hold while changing the credential."""
        self.flow: Final = OAuthFlow(
            server=server,
            sign_in=sign_in,
            turn=self.turn,
            changed=self.changed,
            tls_hellos=tls_hellos,
            background=background,
            clock=clock,
        )
        """The sign-ins."""
        self._lease = CallbackLease(
            callback=callback, pending=lambda: isinstance(self.flow.alive, Pending), background=background
        )
        self._refused: Credential | None = None
        self._refused_at = 0.0
        self._conflict: str | None = None

    # --- state ------------------------------------------------------------------------------------------------------

    async def status(self) -> ConnectionStatus:
        """Return the state. Reads the credential store if that has not happened yet, within the store's deadline."""
        credential = await self._credentials.peek()
        if credential is None:
            self._conflict = await self._callback.conflict()
        attempt = self.flow.latest
        state, detail = self._state(credential)
        if credential is None:
            can_sign_in = self._server is not None
            return ConnectionStatus(state=state, detail=detail, can_sign_in=can_sign_in, attempt=attempt)
        return ConnectionStatus(
            state=state,
            detail=detail,
            email=credential.email,
            method=credential.method,
            since=credential.since,
            key_name=credential.key_name,
            attempt=attempt,
        )

    def _state(self, credential: Credential | None) -> tuple[ConnectionState, str | None]:
        if credential is not None:
            return self._state_of(credential), None
        failure = self._credentials.failure
        if failure is not None:
            return ("keyring_locked" if isinstance(failure, StoreLocked) else "keyring_unavailable"), failure.detail
        if self.flow.alive is not None:
            return "connecting", None
        if self._conflict is not None:
            return "port_conflict", self._conflict
        return "disconnected", None

    def _state_of(self, credential: Credential) -> ConnectionState:
        if credential.email is None:
            return "needs_email"
        return "reconnect_required" if credential is self._refused else "connected"

    # --- signing in -------------------------------------------------------------------------------------------------

    async def connect(self, *, caller: Caller, force: bool, open_browser: bool) -> Started | None:
        """
        Start an attempt, or join the one that is pending. Return None if an account is connected and not ``force``.

        Args:
            caller: Who requests it. The result page shows this to the user.
            force: Start a new sign-in even if an account is connected or another sign-in is pending.
            open_browser: Open the user's browser if an attempt is started.

        Raises:
            ClientIdMissing: If no OAuth client ID is configured.
            PortConflict: If another program could receive the authorization code.
            StoreLocked: If an API key could not be stored now.
            StoreUnavailable: Like StoreLocked.
        """
        credential = await self._credentials.get()
        if not force:
            if credential is not None and self._state_of(credential) == "connected":
                return None
            if (alive := self.flow.alive) is not None:
                return self._join(alive, caller)
        server = self._server
        if server is None:
            raise ClientIdMissing

        async with self._lease.taken() as conflict:
            if conflict is not None:
                raise PortConflict(conflict)
            # Another attempt may have been started meanwhile. There is no await between this check and the start.
            if (alive := self.flow.alive) is not None:
                if not force or isinstance(alive, Exchanging):
                    return self._join(alive, caller)
                self.flow.give_up(alive, "Another sign-in was started.")
            attempt = self.flow.begin(server, caller)
        await self.changed(attempt)

        opened = await self._browser.open(attempt.authorization_url) if open_browser else False
        return Started(attempt=attempt, joined=False, browser_opened=opened)

    def _join(self, alive: Pending | Exchanging, caller: Caller) -> Started:
        self.flow.join(alive, caller)
        return Started(attempt=alive, joined=True, browser_opened=False)

    # --- disconnecting ----------------------------------------------------------------------------------------------

    async def disconnect(self) -> tuple[str | None, bool]:
        """
        Disconnect the account and delete its credential.

        Returns:
            The name of the API key that the user should delete in the console, if the daemon created it; and whether
            the credential store has deleted the credential (otherwise it is deleted before the next read).
        """
        return await self._background.finish(self._disconnect())

    async def _disconnect(self) -> tuple[str | None, bool]:
        if isinstance(alive := self.flow.alive, Pending):
            self.flow.give_up(alive, "The account was disconnected.")
        # At once: a sign-in that is storing a key has the turn for up to half a minute, or the keyring does not answer.
        before = await self._credentials.peek()
        self._credentials.forget()
        await self._lease.update()
        self.on_account_left()
        async with self.turn:
            credential = await self._credentials.peek() or before
            stored = await self._credentials.delete()
        await self.changed()
        return (credential.key_name if credential else None), stored

    # --- using the credential ---------------------------------------------------------------------------------------

    async def call(self, operation: Callable[[Credential], Awaitable[T]]) -> T:
        """
        Run ``operation`` with the credential, and remember if Upstash rejects it.

        One refusal proves nothing, since an app may have chosen the path. It counts only if Upstash also rejects a call
        of our own, and so does a success after a refusal.

        Raises:
            NotConnected: If no account is connected.
            EmailRequired: If its email address is missing.
            ReconnectRequired: If Upstash rejects the key, or rejected it a short time ago.
            UpstreamForbidden: If it rejects only this operation as unauthorized.
            StoreLocked: If the key cannot be read.
            StoreUnavailable: Like StoreLocked.
            HelperError: Errors of ``operation``.
        """
        credential = await self.usable()
        try:
            result = await operation(credential)
        except ReconnectRequired:
            if not self._key_check.is_made_by(operation) and not await self._key_check.rejects(credential):
                raise UpstreamForbidden(_ONLY_THIS) from None
            first = self._refused is not credential
            self._refused, self._refused_at = credential, self._clock.monotonic()
            if first:
                await self.changed()
            raise
        if self._refused is credential and (
            self._key_check.is_made_by(operation) or not await self._key_check.rejects(credential)
        ):
            self._refused = None
            await self.changed()
        return result

    async def usable(self) -> Credential:
        """
        Return the credential if calls can be made with it. The credential stays inside the broker.

        Raises:
            HelperError: The first five errors of ``call``.
        """
        credential = await self._credentials.get()
        if credential is None:
            raise NotConnected
        if credential.email is None:
            raise EmailRequired
        self._account = credential.email
        if credential is self._refused and self._clock.monotonic() - self._refused_at < REFUSED_SECONDS:
            raise ReconnectRequired
        return credential

    # --- events -----------------------------------------------------------------------------------------------------

    async def changed(self, attempt: Attempt | None = None) -> None:
        """Publish the state of the connection, and an attempt if one has changed."""
        if attempt is not None:
            self._events.publish("attempt", attempt)
            await self._lease.update()
        status = await self.status()
        if self._account is not None and status.email != self._account:
            self._account = None
            self.on_account_left()
        self._events.publish("connection", status)
