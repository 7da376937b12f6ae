"""The open sign-in's way from an authorization code to a stored grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.broker.account.sign_in import SignedIn
from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Grant
from upstash_helper.broker.ports import AuthorizationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.grants import Grants
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import GrantInfo, Registration, Secret, TokenSet
    from upstash_helper.broker.ports import Clock, GrantServer


class GrantSignIn:
    """
    The open sign-in's ``SignIn``: exchanges the code for OAuth tokens, asks Upstash whose they are, and stores the
    refresh token.
    """

    def __init__(
        self,
        *,
        server: GrantServer,
        credentials: CredentialCache,
        grants: Grants,
        background: Background,
        clock: Clock,
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._grants = grants
        self._background = background
        self._clock = clock

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> SignedIn:
        """Exchange the code, and find out which account and access the user chose."""
        tokens = await self._server.exchange(code=code, code_verifier=code_verifier)
        try:
            return await self._identified(tokens)
        except BaseException:
            self._background.start(self._server.revoke(tokens))
            raise

    async def finish(
        self, signed_in: SignedIn, *, email: str | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> Credential:
        """Store the grant. Upstash has already named its account."""
        if not wanted():
            self.discard(signed_in)
            raise AuthorizationFailed("cancelled", "The app that started this sign-in no longer has access.")
        if email is not None and email.casefold() not in {known.casefold() for known in signed_in.emails}:
            self.discard(signed_in)
            raise AuthorizationFailed("account_not_confirmed")
        credential = Credential(email=signed_in.email, grant=signed_in.grant, method="grant", since=self._clock.time())
        try:
            await self._credentials.put(credential)
        except (StoreLocked, StoreUnavailable) as error:
            self.discard(signed_in)
            locked = isinstance(error, StoreLocked)
            detail = f"You signed in, but the sign-in could not be stored, so it was ended: {error.detail}"
            raise AuthorizationFailed("keyring_locked" if locked else "keyring_unavailable", detail) from None
        except BaseException:
            self.discard(signed_in)
            raise
        self._grants.adopt(credential, signed_in.tokens)
        return credential

    def discard(self, signed_in: SignedIn) -> None:
        """Revoke the grant of a sign-in that is not finished, with the client that it was given to."""
        if signed_in.grant is not None:
            self._background.start(self._server.revoke_grant(signed_in.grant))

    async def _identified(self, tokens: TokenSet) -> SignedIn:
        registration = self._server.registration
        if registration is None or tokens.refresh_token is None:
            raise AuthorizationFailed("registration_lost")
        info = await self._server.info_of(tokens.access_token)
        if info.blocked:
            raise AuthorizationFailed("unauthorized", "Upstash has blocked this account.")
        emails = await self._server.email_of(tokens) if info.email is None else (info.email,)
        if not emails:
            raise AuthorizationFailed("invalid_response", "Upstash did not say which account you have signed in to.")
        grant = _grant(tokens.refresh_token, info, registration=registration)
        return SignedIn(tokens=tokens, emails=emails, grant=grant)


def _grant(refresh_token: Secret, info: GrantInfo, *, registration: Registration) -> Grant:
    return Grant(
        refresh_token=refresh_token,
        issuer=registration.issuer,
        client_id=registration.client_id,
        client_name=registration.client_name,
        team_id=info.team_id,
        team_role=info.team_role,
        read_only=info.read_only,
    )
