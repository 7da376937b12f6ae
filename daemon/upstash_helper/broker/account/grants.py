"""
The grant of the open sign-in: its access tokens, and its end.

Access tokens are kept in memory, and renewed shortly before they expire or after Upstash refused one.

Upstash replaces the refresh token each time, and ends the whole grant if an old one is used. Therefore only one refresh
runs at a time, and its order is fixed:

1. The server is reached, without the token: what fails here costs nothing.
2. The stored grant is marked ``refreshing``. If the store cannot be written now, no token is used up.
3. The refresh token is sent, once.
4. The new refresh token is stored. Only then is the new access token used.

After a kill between 2 and 4 the mark is found, and the token, which may have been used up, is not sent again. After a
failure of the network or of Upstash, the mark is removed, and a later call tries again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.broker.errors import (
    HelperError,
    NotConnected,
    ReconnectRequired,
    StoreLocked,
    StoreUnavailable,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from upstash_helper.broker.identity import CURRENT_CALLER
from upstash_helper.broker.ports import AuthorizationFailed

if TYPE_CHECKING:
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import Credential, Grant, GrantState, Secret, TokenSet
    from upstash_helper.broker.ports import Clock, GrantServer
    from upstash_helper.protocol.literals import FailureReason

logger = logging.getLogger(__name__)

EARLY_SECONDS: Final = 300.0
"""
A token is renewed this long before it expires, so that it does not expire during a call. One that is valid for a
shorter time is renewed after half of it, not at each call.
"""
DEFAULT_LIFETIME: Final = 3600.0
"""Of an access token whose lifetime the server does not name."""
PAUSE_SECONDS: Final = 5.0
"""After a failure, no other refresh is tried for this long, or as long as Upstash asks for, up to a limit."""
MAX_PAUSE_SECONDS: Final = 300.0

ENDED: Final = "Upstash has ended this sign-in: it was revoked in the Upstash console, or has expired. Connect again."
INTERRUPTED: Final = (
    "The helper was stopped while it was renewing the sign-in, and cannot tell whether Upstash still accepts it. "
    "Connect again."
)
CHANGED: Final = "The connected account was changed or disconnected during this request."
REGISTRATION_LOST: Final = (
    "Upstash no longer recognizes this installation of upstash-helper. Connect again, which also registers it again."
)


class _AccessToken(NamedTuple):
    of: Credential
    secret: Secret
    renewal: float
    """Monotonic time from which it is to be renewed."""
    expires: float
    """Monotonic time at which it expires."""


class _Unsaved(NamedTuple):
    """A new refresh token that could not be stored yet. Its access token is not used before."""

    replaces: Secret
    grant: Grant
    credential: Credential
    tokens: TokenSet


class Grants:
    """Provides a grant's credential with an access token, and revokes grants that are no longer used."""

    def __init__(
        self,
        *,
        server: GrantServer,
        credentials: CredentialCache,
        turn: asyncio.Lock,
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            server: The authorization server of the open sign-in.
            credentials: The connected account's credential.
            turn: The lock to hold while changing the credential.
            background: Where a refresh runs, since several callers may wait for it.
            clock: The clock. Lifetimes are counted by the monotonic one: the date may be wrong.
        """
        self._server = server
        self._credentials = credentials
        self._turn = turn
        self._background = background
        self._clock = clock
        self._token: _AccessToken | None = None
        self._unsaved: _Unsaved | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._ended: Secret | None = None
        """A refresh token that is no longer accepted, even if that could not be stored."""
        self._unanswered: Secret | None = None
        """A refresh token whose last refresh failed in this process, so that it may be tried again."""
        self._failure: HelperError | None = None
        """Without a traceback, whose frames would keep the tokens."""
        self._paused_until = 0.0

    def adopt(self, credential: Credential, tokens: TokenSet) -> None:
        """Use the access token of a sign-in whose grant has just been stored."""
        lifetime = DEFAULT_LIFETIME if tokens.expires_in is None else tokens.expires_in
        expires = self._clock.monotonic() + lifetime
        self._token = _AccessToken(
            credential, tokens.access_token, renewal=expires - min(EARLY_SECONDS, lifetime / 2), expires=expires
        )
        self._failure = None

    def ended(self, credential: Credential) -> str | None:
        """Return why a grant can no longer be used, or None if that is not known."""
        grant = credential.grant
        if grant is None:
            return None
        if grant.state == "ended" or grant.refresh_token == self._ended:
            return ENDED
        is_running = self._refreshing is not None and not self._refreshing.done()
        return INTERRUPTED if self._was_interrupted(grant) and not is_running else None

    def _was_interrupted(self, grant: Grant) -> bool:
        """Return whether an earlier process was stopped while it refreshed the grant."""
        known = (self._unanswered, None if self._unsaved is None else self._unsaved.replaces)
        return grant.state == "refreshing" and grant.refresh_token not in known

    def leave(self, before: Credential | None, after: Credential | None) -> None:
        """
        Revoke the grant of ``before``, unless ``after`` goes on with it.

        A new sign-in of the same user with the same client replaces the grant at Upstash, also if it is for another
        team. To revoke the old one could then end the new one.
        """
        grant = None if before is None else before.grant
        if before is None or grant is None:
            return
        if self._token_of(before) is not None:
            self._token = None
        if self._unsaved is not None and self._unsaved.replaces == grant.refresh_token:
            grant, self._unsaved = self._unsaved.grant, None
        if grant.state != "ended" and not _is_replaced(before, after):
            self._background.start(self._server.revoke_grant(grant))

    async def authorize(self, credential: Credential) -> Credential:
        """
        Return a credential with which calls can be made now. For an API key, that is ``credential`` itself.

        Raises:
            ReconnectRequired: If the grant has ended.
            StoreLocked: If a new refresh token could not be stored now.
            StoreUnavailable: Like StoreLocked.
            HelperError: ``UpstreamUnavailable``, ``UpstreamTimeout``, or ``UpstreamRateLimited`` if the token cannot be
                renewed now.
        """
        if credential.grant is None:
            return credential
        token, now = self._token_of(credential), self._clock.monotonic()
        if token is not None and now < token.renewal:
            return _with(credential, token)
        try:
            return await self._renewed(credential)
        except (UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited, StoreLocked, StoreUnavailable):
            if token is not None and now < token.expires:
                return _with(credential, token)  # for the last minutes of its life
            raise

    async def renew(self, refused: Credential) -> Credential:
        """
        Return a credential with another access token than that of ``refused``, which Upstash does not accept.

        Raises:
            HelperError: Like ``authorize``.
        """
        token = self._token_of(refused)
        if token is not None and token.secret != refused.access_token:
            return _with(token.of, token)  # it was renewed in the meantime
        if token is not None:
            self._token = None
        return await self._renewed(refused)

    def _token_of(self, credential: Credential) -> _AccessToken | None:
        token = self._token
        return token if token is not None and token.of.is_same_connection(credential) else None

    async def _renewed(self, earlier: Credential) -> Credential:
        if not earlier.is_same_connection(await self._credentials.get()):
            raise NotConnected(CHANGED)
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._background.begin(self._refresh())
        await asyncio.shield(self._refreshing)
        credential = await self._credentials.get()
        if credential is None or not credential.is_same_connection(earlier):
            raise NotConnected(CHANGED)  # a call must not go on with another account
        token = self._token_of(credential)
        if token is None:
            raise UpstreamUnavailable("Upstash no longer accepts a token that it has just issued. Try again.")
        return _with(credential, token)

    # --- the refresh --------------------------------------------------------------------------------------------------

    async def _refresh(self) -> None:
        CURRENT_CALLER.set("")  # its result is for all callers
        wait = self._paused_until - self._clock.monotonic()
        if self._failure is not None and wait > 0:
            raise type(self._failure)(self._failure.detail, retry_after=wait)
        self._failure = None
        try:
            async with self._turn:
                await self._refresh_in_turn()
        except (UpstreamUnavailable, UpstreamTimeout, UpstreamRateLimited) as error:
            self._failure = type(error)(error.detail)
            pause = min(max(error.retry_after or 0.0, PAUSE_SECONDS), MAX_PAUSE_SECONDS)
            self._paused_until = self._clock.monotonic() + pause
            raise

    async def _refresh_in_turn(self) -> None:
        credential = await self._credentials.get()
        if credential is None or credential.grant is None:
            raise NotConnected
        grant = credential.grant
        token = self._token_of(credential)
        if token is not None and self._clock.monotonic() < token.renewal:
            return  # of a sign-in that was finished meanwhile
        if self._unsaved is not None and self._unsaved.replaces == grant.refresh_token:
            await self._store(self._unsaved)
            return
        if grant.state == "ended" or grant.refresh_token == self._ended:
            raise ReconnectRequired(ENDED)
        if self._was_interrupted(grant):
            raise ReconnectRequired(INTERRUPTED)

        try:
            # Without a network, the grant is not marked: a daemon that is stopped while it waits must not lose it.
            await self._server.reach(grant)
        except AuthorizationFailed as failure:
            logger.warning("access_token_not_renewed", extra={"reason": failure.reason})
            raise _as_helper_error(failure) from None
        if not await self._credentials.renew(_in_state(credential, grant, "refreshing")):
            raise NotConnected
        try:
            tokens = await self._server.refresh(grant)
        except AuthorizationFailed as failure:
            await self._failed(credential, grant, failure)
            return
        except BaseException:
            self._unanswered = grant.refresh_token
            raise
        new = msgspec.structs.replace(grant, refresh_token=tokens.refresh_token or grant.refresh_token, state="live")
        self._unsaved = _Unsaved(grant.refresh_token, new, msgspec.structs.replace(credential, grant=new), tokens)
        await self._store(self._unsaved)

    async def _store(self, unsaved: _Unsaved) -> None:
        is_connected = await self._credentials.renew(unsaved.credential)
        self._unsaved = None
        if not is_connected:
            # Disconnected meanwhile. That call revokes the grant as well, with the token that it knows.
            self._background.start(self._server.revoke_grant(unsaved.grant))
            raise NotConnected
        self.adopt(unsaved.credential, unsaved.tokens)
        logger.info("access_token_renewed")

    async def _failed(self, credential: Credential, grant: Grant, failure: AuthorizationFailed) -> None:
        ended = failure.reason == "invalid_grant"
        if ended:
            self._ended, self._token = grant.refresh_token, None
        else:
            self._unanswered = grant.refresh_token
        try:
            await self._credentials.renew(_in_state(credential, grant, "ended" if ended else "live"))
        except (StoreLocked, StoreUnavailable):
            logger.warning("grant_state_not_stored")
        logger.warning("access_token_not_renewed", extra={"reason": failure.reason})
        raise _as_helper_error(failure) from None


def _is_replaced(before: Credential, after: Credential | None) -> bool:
    old, new = before.grant, None if after is None else after.grant
    if after is None or old is None or new is None:
        return False
    is_same_user = before.account[0] == after.account[0]
    return is_same_user and (old.issuer, old.client_id) == (new.issuer, new.client_id)


def _with(credential: Credential, token: _AccessToken) -> Credential:
    return msgspec.structs.replace(credential, access_token=token.secret)


def _in_state(credential: Credential, grant: Grant, state: GrantState) -> Credential:
    return msgspec.structs.replace(credential, grant=msgspec.structs.replace(grant, state=state))


_KINDS: Final[dict[FailureReason, type[HelperError]]] = {
    "rate_limited": UpstreamRateLimited,
    "timeout": UpstreamTimeout,
}


def as_upstream_error(failure: AuthorizationFailed) -> HelperError:
    """Return the error for an authorization server that cannot be used now."""
    from upstash_helper.protocol.messages import FAILURES

    kind = _KINDS.get(failure.reason, UpstreamUnavailable)
    return kind(failure.detail or FAILURES[failure.reason].text, retry_after=failure.retry_after)


def _as_helper_error(failure: AuthorizationFailed) -> HelperError:
    if failure.reason == "invalid_grant":
        return ReconnectRequired(ENDED)
    if failure.reason == "registration_lost":
        return ReconnectRequired(REGISTRATION_LOST)
    if failure.reason == "issuer_mismatch":
        detail = f"The sign-in cannot be renewed. {failure.detail} Restore the setting, or connect again."
        return ReconnectRequired(detail)
    error = as_upstream_error(failure)
    detail = f"The sign-in at Upstash could not be renewed. {error.detail}"
    return type(error)(detail, retry_after=error.retry_after)
