"""The connection to one Upstash account: connecting, its state, using it, disconnecting."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from upstash_helper.broker.account.attempts import Alive, Attempt, ConfirmationRequired, Exchanging, Pending, question
from upstash_helper.broker.account.browser_windows import BrowserWindows
from upstash_helper.broker.account.callback_lease import CallbackLease
from upstash_helper.broker.account.grants import as_upstream_error
from upstash_helper.broker.account.key_check import KeyCheck
from upstash_helper.broker.account.oauth_flow import OAuthFlow
from upstash_helper.broker.errors import (
    AccessRenewed,
    ClientIdMissing,
    EmailRequired,
    NotConnected,
    OwnerOnly,
    PortConflict,
    ReadOnlyAccess,
    ReconnectRequired,
    StoreLocked,
    StoreUnavailable,
    UpstreamForbidden,
)
from upstash_helper.broker.models import Credential
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.literals import AccountAccess, ConnectionMethod, ConnectionState, SignInFlow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.grants import Grants
    from upstash_helper.broker.account.sign_in import SignIn
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import (
        AuthorizationServer,
        Browser,
        CallbackAddress,
        Clock,
        Notifier,
    )

T = TypeVar("T")

# After Upstash has rejected the key, calls fail here for this long before one is sent to Upstash again.
REFUSED_SECONDS: Final = 60.0
_ONLY_THIS: Final = (
    "Upstash refused this request as unauthorized (status 401), although it accepts the connected account's credential."
)


# A request for access does not wait longer for the keyring, since others wait for it.
STATE_SECONDS: Final = 1.0


class ConnectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the connection."""

    state: ConnectionState
    detail: str | None = None
    """What is wrong, where more is known than the state."""
    sign_in: SignInFlow | None = "open"
    """The flow of the next sign-in. None if the settings allow none."""
    email: str | None = None
    team_id: str | None = None
    """The connected team; None: the personal account."""
    team_role: str | None = None
    access: AccountAccess | None = None
    """What Upstash allows; None if it is not known, as for an API key."""
    method: ConnectionMethod | None = None
    since: float | None = None
    key_name: str | None = None
    grant_name: str | None = None
    """The grant's name in the Upstash console."""
    attempt: Attempt | None = None

    @property
    def can_sign_in(self) -> bool:
        """Whether the settings allow a sign-in."""
        return self.sign_in is not None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a connect that started or joined an attempt."""

    attempt: Alive
    joined: bool
    authorization_url: str = ""
    """The address at which the user signs in, if the caller may have it: it is enough to finish the attempt."""
    browser_opened: bool = False
    browser_wait: float | None = None
    """Seconds until the daemon opens a browser for the caller again, if it did not do so now for that reason."""


class Disconnected(msgspec.Struct, frozen=True, kw_only=True):
    """Result of a disconnect."""

    key_name: str | None
    """The name of the API key that the user should delete in the console, if the daemon created it."""
    grant_name: str | None
    """The name of the grant, as the console lists it if Upstash could not be asked to revoke it."""
    stored: bool
    """Whether the credential store has deleted the credential. Otherwise it is deleted before the next read."""


class Connection:
    """The state of the connection. Changes of the credential are serialized by a lock; reads do not wait for it."""

    def __init__(
        self,
        *,
        credentials: CredentialCache,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        grants: Grants,
        turn: asyncio.Lock,
        callback: CallbackAddress,
        check: Callable[[Credential], Awaitable[object]],
        tls_hellos: Callable[[], int],
        browser: Browser,
        notifier: Notifier,
        has_access: Callable[[Caller], bool],
        sites: Sites,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._server = server
        self._callback = callback
        self._browser = browser
        self._windows = BrowserWindows(sites=sites, clock=clock)
        self._notifier = notifier
        self._events = events
        self._background = background
        self._clock = clock
        self._grants = grants
        self._key_check = KeyCheck(check, background=background, clock=clock)
        self.on_account_left: Callable[[], None] = lambda: None
        """Called when the connected account is disconnected, or replaced by another one."""
        self._account: tuple[str | None, str | None] | None = None
        self.turn: Final = turn
        """The lock to hold while changing the credential."""
        self.flow: Final = OAuthFlow(
            server=server,
            sign_in=sign_in,
            credentials=credentials,
            turn=self.turn,
            changed=self.changed,
            ask=self._ask,
            left=grants.leave,
            has_access=has_access,
            sites=sites,
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
        self._refused_for = ""
        self._conflict: str | None = None

    # --- state ------------------------------------------------------------------------------------------------------

    async def status(self, *, prompt: bool = True) -> ConnectionStatus:
        """
        Return the state. Reads the credential store if that has not happened yet, within the store's deadline.

        Args:
            prompt: Whether the user may be asked for the keyring's password, or for access to the entry.
        """
        credential = await self._credentials.peek(prompt=prompt)
        uses_callback_port = self._server is None or self._server.uses_callback_port
        if credential is None:
            self._conflict = await self._callback.conflict() if uses_callback_port else None
        attempt = self.flow.latest
        state, detail = self._state(credential)
        flow: SignInFlow | None = None if self._server is None else "partner" if uses_callback_port else "open"
        if credential is None:
            return ConnectionStatus(state=state, detail=detail, sign_in=flow, attempt=attempt)
        grant = credential.grant
        return ConnectionStatus(
            state=state,
            detail=detail,
            sign_in=flow,
            email=credential.email,
            team_id=credential.team_id,
            team_role=None if grant is None else grant.team_role,
            access=None if grant is None else "read_only" if grant.read_only else "full",
            method=credential.method,
            since=credential.since,
            key_name=credential.key_name,
            grant_name=None if grant is None else grant.client_name,
            attempt=attempt,
        )

    def _state(self, credential: Credential | None) -> tuple[ConnectionState, str | None]:
        if credential is not None:
            refused_for = self._refused_for if credential is self._refused else ""
            return self._state_of(credential), self._grants.ended(credential) or refused_for or None
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
        is_over = credential is self._refused or self._grants.ended(credential) is not None
        return "reconnect_required" if is_over else "connected"

    async def is_sign_in_needed(self) -> bool:
        """
        Return whether apps need a sign-in before they can use an account. False if that is not known within a second,
        for example because the keyring is locked.
        """
        try:
            async with asyncio.timeout(STATE_SECONDS):
                credential = await self._credentials.get()
        except (StoreLocked, StoreUnavailable, TimeoutError):
            return False
        return credential is None or self._state_of(credential) == "reconnect_required"

    # --- signing in -------------------------------------------------------------------------------------------------

    async def connect(self, *, caller: Caller, force: bool, open_browser: bool) -> Started | None:
        """
        Start an attempt, or join the one that is alive. Return None if an account is connected and not ``force``.

        The user finishes no attempt whose address an app knows: if an app's attempt is pending when the user connects,
        it continues as the user's own, with a new address.

        Args:
            caller: Who requests it. The result page shows this to the user.
            force: Start a new sign-in even if an account is connected or another sign-in is pending.
            open_browser: Open the user's browser if an attempt is started. For apps that happens at most once a minute.

        Raises:
            OwnerOnly: If an app requests ``force``.
            ClientIdMissing: If the settings allow no sign-in.
            UpstreamUnavailable: If Upstash's authorization server cannot be used now.
            UpstreamTimeout: Like UpstreamUnavailable.
            UpstreamRateLimited: Like UpstreamUnavailable.
            PortConflict: If another program could receive the authorization code.
            StoreLocked: If an API key could not be stored now.
            StoreUnavailable: Like StoreLocked.
        """
        if force and not caller.is_owner:
            raise OwnerOnly("Only the user's own tools can use force. Leave it out to connect an account.")
        credential = await self._credentials.get()
        if credential is not None and self._state_of(credential) == "connected" and not force:
            return None
        if (joined := self._joined(caller, force=force)) is not None:
            return joined
        server = self._server
        if server is None:
            raise ClientIdMissing
        try:
            await server.prepare()
        except AuthorizationFailed as error:
            raise as_upstream_error(error) from None

        lease = self._lease.taken() if server.uses_callback_port else contextlib.nullcontext()
        async with lease as conflict:
            if conflict is not None:
                raise PortConflict(conflict)
            # Another attempt may have been started meanwhile. There is no await between this check and the start.
            if (joined := self._joined(caller, force=force)) is not None:
                return joined
            attempt = self._begin(server, caller, force=force)
        await self.changed(attempt)

        started = Started(attempt=attempt, joined=False, authorization_url=attempt.authorization_url)
        if not open_browser:
            return started
        wait = self._windows.take(caller)
        if wait > 0:
            return msgspec.structs.replace(started, browser_wait=wait)
        opened = await self._browser.open(attempt.authorization_url)
        return msgspec.structs.replace(started, browser_opened=opened)

    def _joined(self, caller: Caller, *, force: bool) -> Started | None:
        """Join the attempt that is alive. Return None if there is none, or if ``caller`` starts another one."""
        alive = self.flow.alive
        if alive is None or (force and not isinstance(alive, Exchanging)):
            return None
        is_own = self.flow.is_starter(alive.id, caller)
        if isinstance(alive, Pending) and caller.is_owner and not is_own:
            return None
        self.flow.join(alive, caller)
        url = alive.authorization_url if isinstance(alive, Pending) and is_own else ""
        return Started(attempt=alive, joined=True, authorization_url=url)

    def _begin(self, server: AuthorizationServer, caller: Caller, *, force: bool) -> Pending:
        alive = self.flow.alive
        if isinstance(alive, Pending) and not force:
            return self.flow.begin(server, caller, taken_over=alive)
        if isinstance(alive, Pending | ConfirmationRequired):
            self.flow.give_up(alive, "Another sign-in was started.")
        return self.flow.begin(server, caller)

    async def _ask(self, waiting: ConfirmationRequired) -> None:
        asked = question(waiting)
        await self._notifier.show(title=asked.title, body=asked.text)

    # --- disconnecting ----------------------------------------------------------------------------------------------

    async def disconnect(self) -> Disconnected:
        """Disconnect the account, delete its credential, and revoke its grant."""
        return await self._background.finish(self._disconnect())

    async def _disconnect(self) -> Disconnected:
        if isinstance(alive := self.flow.alive, Pending | ConfirmationRequired):
            self.flow.give_up(alive, "The account was disconnected.")
        # At once: a sign-in that is storing a key has the turn for up to half a minute, or the keyring does not answer.
        before = await self._credentials.peek()
        self._credentials.forget()
        await self._lease.update()
        self.on_account_left()
        async with self.turn:
            credential = await self._credentials.peek() or before
            stored = await self._credentials.delete()
        self._grants.leave(credential, None)
        await self.changed()
        grant = credential.grant if credential else None
        return Disconnected(
            key_name=credential.key_name if credential else None,
            grant_name=grant.client_name if grant else None,
            stored=stored,
        )

    # --- using the credential ---------------------------------------------------------------------------------------

    async def call(
        self,
        operation: Callable[[Credential], Awaitable[T]],
        *,
        changes: bool = False,
        repeatable: Callable[[], bool] = lambda: True,
    ) -> T:
        """
        Run ``operation`` with the credential, and remember if Upstash rejects it.

        One refusal proves nothing, since an app may have chosen the path: it counts only if Upstash also rejects a call
        of our own. Likewise, a success after a refusal counts only if Upstash accepts such a call. If Upstash rejects a
        grant's access token, that is renewed, and the operation is run once more.

        Args:
            operation: The operation.
            changes: Whether it changes anything, so that it is refused if the user has allowed reading only.
            repeatable: Returns whether it can be run once more after Upstash has refused it.

        Raises:
            NotConnected: If no account is connected.
            EmailRequired: If its email address is missing.
            ReconnectRequired: If Upstash rejects the credential, or rejected it a short time ago.
            ReadOnlyAccess: If the operation changes something, and the credential allows reading only.
            UpstreamForbidden: If Upstash rejects only this operation as unauthorized.
            AccessRenewed: If the access token has been renewed, but the operation cannot be repeated.
            StoreLocked: If the credential cannot be read, or a renewed one not be stored.
            StoreUnavailable: Like StoreLocked.
            HelperError: Errors of ``operation``, and those of ``Grants.authorize``.
        """
        credential = await self.usable()
        if changes and credential.is_read_only:
            raise ReadOnlyAccess
        authorized = await self._authorized(self._grants.authorize(credential))
        try:
            result = await operation(authorized)
        except ReconnectRequired:
            await self._check_rejected(authorized, operation)
            if authorized.grant is None:
                await self._refuse(credential)
                raise
        else:
            await self._accepted(credential, authorized, operation)
            return result

        renewed = await self._authorized(self._grants.renew(authorized))
        if not repeatable():
            raise AccessRenewed
        try:
            return await operation(renewed)
        except ReconnectRequired:
            await self._check_rejected(renewed, operation)
            await self._refuse(await self._credentials.peek())
            raise

    async def _authorized(self, authorizing: Awaitable[Credential]) -> Credential:
        try:
            return await authorizing
        except ReconnectRequired as error:
            await self._refuse(await self._credentials.peek(), error.detail)
            raise

    async def _check_rejected(self, authorized: Credential, operation: object) -> None:
        """Raise UpstreamForbidden if Upstash accepts the credential and has rejected only this operation."""
        if not self._key_check.is_made_by(operation) and not await self._key_check.rejects(authorized):
            raise UpstreamForbidden(_ONLY_THIS) from None

    async def _refuse(self, credential: Credential | None, reason: str = "") -> None:
        first = self._refused is not credential
        self._refused, self._refused_at, self._refused_for = credential, self._clock.monotonic(), reason
        if first:
            await self.changed()

    async def _accepted(self, credential: Credential, authorized: Credential, operation: object) -> None:
        if self._refused is credential and (
            self._key_check.is_made_by(operation) or not await self._key_check.rejects(authorized)
        ):
            self._refused = None
            await self.changed()

    async def usable(self) -> Credential:
        """
        Return the credential if calls can be made with it. The credential stays inside the broker.

        Raises:
            NotConnected: Like ``call``, and so are the others.
            EmailRequired: If its email address is missing.
            ReconnectRequired: If Upstash rejects it.
            StoreLocked: If it cannot be read.
            StoreUnavailable: Like StoreLocked.
        """
        credential = await self._credentials.get()
        if credential is None:
            raise NotConnected
        if credential.email is None:
            raise EmailRequired
        self._account = credential.account
        ended = self._grants.ended(credential)
        if ended is not None:
            raise ReconnectRequired(ended)
        if credential is self._refused and self._clock.monotonic() - self._refused_at < REFUSED_SECONDS:
            raise ReconnectRequired(self._refused_for)
        return credential

    # --- events -----------------------------------------------------------------------------------------------------

    async def changed(self, attempt: Attempt | None = None) -> None:
        """Publish the state of the connection, and an attempt if one has changed."""
        if attempt is not None:
            self._events.publish("attempt", attempt)
            await self._lease.update()
        status = await self.status()
        if self._account is not None and (status.email and status.email.casefold(), status.team_id) != self._account:
            self._account = None
            self.on_account_left()
        self._events.publish("connection", status)
