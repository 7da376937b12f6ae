"""The daemon's link to one Upstash account: connecting, what it is now, disconnecting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.account.attempts import Attempt, ConnectionStatus, Exchanging, Pending, Started
from upstash_helper.broker.account.callback_lease import CallbackLease
from upstash_helper.broker.account.oauth_flow import OAuthFlow
from upstash_helper.broker.errors import (
    ClientIdMissing,
    EmailRequired,
    NotConnected,
    PortConflict,
    ReconnectRequired,
    StoreLocked,
)
from upstash_helper.broker.models import Credential
from upstash_helper.protocol.literals import ConnectionState

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

# After Upstash has refused the key, calls are refused here for this long before one is let through to see.
REFUSED_SECONDS: Final = 60.0


class Connection:
    """The state machine. Everything that changes the credential takes turns; reading it waits for nothing."""

    def __init__(
        self,
        *,
        credentials: CredentialCache,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        callback: CallbackAddress,
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
        self.turn: Final = asyncio.Lock()
        """Held by whoever changes the credential."""
        self.flow: Final = OAuthFlow(
            server=server,
            sign_in=sign_in,
            turn=self.turn,
            changed=self.changed,
            tls_hellos=tls_hellos,
            background=background,
            clock=clock,
        )
        """What becomes of a sign-in."""
        self._reception = CallbackLease(
            callback=callback, awaited=lambda: isinstance(self.flow.alive, Pending), background=background
        )
        self._refused: Credential | None = None
        self._refused_at = 0.0
        self._conflict: str | None = None

    # --- what it is -------------------------------------------------------------------------------------------------

    async def status(self) -> ConnectionStatus:
        """Return the state; the credential store is read if it never was, within the store's deadline."""
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
        Start an attempt, or join the one that is alive. None: an account is connected and ``force`` was not said.

        Args:
            caller: Who wants it; the user is shown that when the sign-in is over.
            force: Sign in anew although an account is connected or another sign-in runs.
            open_browser: Open the user's browser, where an attempt is started.

        Raises:
            ClientIdMissing: If no OAuth client id is configured.
            PortConflict: If another program could receive the authorization code.
            StoreLocked: If the key could not be stored now.
            StoreUnavailable: As StoreLocked.
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

        async with self._reception.opened() as conflict:
            if conflict is not None:
                raise PortConflict(conflict)
            # Others may have started while this one looked: the look at what is alive and the start are one step.
            if (alive := self.flow.alive) is not None:
                if not force or isinstance(alive, Exchanging):
                    return self._join(alive, caller)
                self.flow.give_up(alive, "Another sign-in was started.")
            attempt = self.flow.begin(server, caller)
        await self.changed(attempt)

        opened = await self._browser.open(attempt.authorization_url) if open_browser else False
        return Started(attempt=attempt, joined=False, browser_opened=opened)

    def _join(self, alive: Pending | Exchanging, caller: Caller) -> Started:
        self.flow.joined(alive, caller)
        return Started(attempt=alive, joined=True, browser_opened=False)

    # --- the end ----------------------------------------------------------------------------------------------------

    async def disconnect(self) -> tuple[str | None, bool]:
        """
        Forget the account.

        Returns:
            The name of the API key that the user should delete in the console, if the daemon made it, and whether the
            credential store could be told (else it is told before it is read again).
        """
        return await self._background.finish(self._disconnect())

    async def _disconnect(self) -> tuple[str | None, bool]:
        if isinstance(alive := self.flow.alive, Pending):
            self.flow.give_up(alive, "The account was disconnected.")
            await self._reception.settle()
        async with self.turn:
            credential = await self._credentials.peek()
            stored = await self._credentials.forget()
        await self.changed()
        return (credential.key_name if credential else None), stored

    # --- using it ---------------------------------------------------------------------------------------------------

    async def call(self, operation: Callable[[Credential], Awaitable[T]]) -> T:
        """
        Run ``operation`` with the credential, and take note if Upstash refuses that.

        Raises:
            NotConnected: If no account is connected.
            EmailRequired: If its e-mail is missing.
            ReconnectRequired: If Upstash does not take the key, now or a short while ago.
            StoreLocked: If the key cannot be read.
            StoreUnavailable: As StoreLocked.
            HelperError: What ``operation`` raises.
        """
        credential = await self.usable()
        try:
            result = await operation(credential)
        except ReconnectRequired:
            first = self._refused is not credential
            self._refused, self._refused_at = credential, self._clock.monotonic()
            if first:
                await self.changed()
            raise
        if self._refused is credential:
            self._refused = None
            await self.changed()
        return result

    async def usable(self) -> Credential:
        """
        Return the credential if a call may be made with it. It stays inside the broker.

        Raises:
            HelperError: The first five of ``call``.
        """
        credential = await self._credentials.get()
        if credential is None:
            raise NotConnected
        if credential.email is None:
            raise EmailRequired
        if credential is self._refused and self._clock.monotonic() - self._refused_at < REFUSED_SECONDS:
            raise ReconnectRequired
        return credential

    # --- telling ----------------------------------------------------------------------------------------------------

    async def changed(self, attempt: Attempt | None = None) -> None:
        """Tell the followers what the connection is now, and what became of an attempt."""
        if attempt is not None:
            self._events.publish("attempt", attempt)
            await self._reception.settle()
        self._events.publish("connection", await self.status())
