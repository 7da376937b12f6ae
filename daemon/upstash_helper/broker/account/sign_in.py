"""Signing in, and the partner flow's way from an authorization code to a stored API key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from upstash_helper.broker.errors import HelperError, ReconnectRequired, StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Grant, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed, KeyNameTaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import IssuedKey, Secret
    from upstash_helper.broker.ports import AuthorizationServer, Clock, DatabasesApi, KeyIssuer
    from upstash_helper.protocol.literals import FailureReason

logger = logging.getLogger(__name__)

# Upstash's guideline asks for names of the form APPNAME_API_KEY_<unix time>.
KEY_NAME: Final = "UPSTASH_HELPER_API_KEY_{time}"

# Names are unique within an account, and two machines can connect in the same second.
NAME_ATTEMPTS: Final = 5

_DELETE: Final = "Delete it in the Upstash console (Account > Management API)."


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A user that has signed in, before anything is stored. Kept in memory only."""

    tokens: TokenSet
    emails: tuple[str, ...]
    """The email addresses that the tokens name, the most trustworthy first."""
    grant: Grant | None = None
    """The grant, if it was the open sign-in."""

    @property
    def email(self) -> str | None:
        """The most trustworthy email address, if there is one."""
        return self.emails[0] if self.emails else None

    @property
    def team_id(self) -> str | None:
        """The team that the user chose, if any."""
        return None if self.grant is None else self.grant.team_id

    def is_for(self, connected: Credential) -> bool:
        """Return whether the user has signed in to the connected account, and has chosen the same team."""
        email, team_id = connected.account
        return email in {known.casefold() for known in self.emails} and self.team_id == team_id


class SignIn(Protocol):
    """
    From an authorization code to a stored credential, in two steps with a possible question in between. The result of
    ``exchange`` must be passed to ``finish`` or ``discard``.
    """

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> SignedIn:
        """
        Exchange the code. Nothing is created or stored yet.

        Raises:
            AuthorizationFailed: With a reason.
        """

    async def finish(
        self, signed_in: SignedIn, *, email: str | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> Credential:
        """
        Return the credential that was stored.

        Args:
            signed_in: The user that has signed in.
            email: Store it only if it belongs to the account with this email address.
            wanted: Called before it is stored: returns whether the app that started the sign-in has access.

        Raises:
            AuthorizationFailed: With a reason. The stored credential is unchanged.
        """

    def discard(self, signed_in: SignedIn) -> None:
        """Revoke the tokens of a sign-in that is not finished."""


class KeySignIn:
    """
    The partner flow's ``SignIn``: exchanges the code for OAuth tokens; then creates an API key, stores it with its
    email address, and revokes the tokens.
    """

    def __init__(
        self,
        *,
        server: AuthorizationServer | None,
        keys: KeyIssuer,
        api: DatabasesApi,
        credentials: CredentialCache,
        background: Background,
        clock: Clock,
    ) -> None:
        self._server = server
        self._keys = keys
        self._api = api
        self._credentials = credentials
        self._background = background
        self._clock = clock

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> SignedIn:
        """
        Exchange the code. Nothing is created or stored yet.

        Raises:
            AuthorizationFailed: With a reason.
        """
        if self._server is None:
            raise AuthorizationFailed("invalid_client", "No OAuth client ID is configured.")
        tokens = await self._server.exchange(code=code, code_verifier=code_verifier)
        try:
            return SignedIn(tokens=tokens, emails=await self._server.email_of(tokens))
        except BaseException:
            self._revoke(tokens)
            raise

    async def finish(
        self, signed_in: SignedIn, *, email: str | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> Credential:
        """
        Return the credential that was stored. Its email address is None if none was found or verified.

        Args:
            signed_in: The user that has signed in.
            email: Store the key only if Upstash confirms that it belongs to the account with this email address.
            wanted: Called before the key is stored: returns whether the app that started the sign-in has access.

        Raises:
            AuthorizationFailed: With a reason. The stored credential is unchanged.
        """
        try:
            issued, name = await self._issue(signed_in.tokens.access_token)
            candidates = (issued.email, *signed_in.emails) if issued.email else signed_in.emails
            if email is not None:
                candidates = (email,)
            credential = Credential(
                email=candidates[0] if candidates else None,
                api_key=issued.api_key,
                method="oauth",
                since=self._clock.time(),
                key_name=name,
            )
            if email is not None:
                await self._confirm(credential)
            if not wanted():
                detail = (
                    f"The app that started this sign-in no longer has access, so the API key {name} was not stored."
                )
                raise AuthorizationFailed("cancelled", f"{detail} {_DELETE}")
            await self._store(credential)
            return credential if email is not None else await self._with_verified_email(credential, candidates)
        finally:
            self._revoke(signed_in.tokens)

    def discard(self, signed_in: SignedIn) -> None:
        """Revoke the tokens of a sign-in that is not finished."""
        self._revoke(signed_in.tokens)

    async def _issue(self, access_token: Secret) -> tuple[IssuedKey, str]:
        """Create a key named after the current second, or one of the following seconds if the name is taken."""
        second = int(self._clock.time())
        last = second + NAME_ATTEMPTS - 1
        while True:
            name = KEY_NAME.format(time=second)
            try:
                return await self._keys.issue(access_token=access_token, name=name), name
            except KeyNameTaken:
                if second == last:
                    raise
                logger.info("api_key_name_taken", extra={"key_name": name})
            second += 1

    async def _with_verified_email(self, credential: Credential, candidates: tuple[str, ...]) -> Credential:
        email = await self._verified_email(credential, tuple(dict.fromkeys(candidates)))
        if email != credential.email:
            credential = msgspec.structs.replace(credential, email=email)
            await self._store(credential)
        return credential

    async def _confirm(self, credential: Credential) -> None:
        """Have Upstash confirm that a new key belongs to the account with its email address. It is not stored yet."""
        try:
            await self._api.list(credential)
        except HelperError as error:
            detail = (
                f"Upstash did not confirm that the API key {credential.key_name} belongs to the account that the "
                f"sign-in named, so the key was not stored. {_DELETE}"
            )
            reason: FailureReason = "account_not_confirmed" if isinstance(error, ReconnectRequired) else "server_error"
            raise AuthorizationFailed(reason, detail) from None
        except BaseException:
            logger.error("api_key_not_stored", extra={"key_name": credential.key_name})  # noqa: TRY400 - no traceback
            raise

    async def _store(self, credential: Credential) -> None:
        try:
            await self._credentials.put(credential)
        except (StoreLocked, StoreUnavailable) as error:
            detail = (
                f"The API key {credential.key_name} was created at Upstash but could not be stored: {error.detail} "
                "Delete this key in the Upstash console (Account > Management API) and connect again."
            )
            reason: FailureReason = "keyring_locked" if isinstance(error, StoreLocked) else "keyring_unavailable"
            raise AuthorizationFailed(reason, detail) from None
        except BaseException:
            # Cancelled or failed between creating and storing the key: the log lets the user find the orphaned key.
            logger.error("api_key_not_stored", extra={"key_name": credential.key_name})  # noqa: TRY400 - no traceback
            raise

    async def _verified_email(self, credential: Credential, candidates: tuple[str, ...]) -> str | None:
        """Return the email address that Upstash accepts with the key; the first one if that cannot be checked now."""
        for email in candidates:
            try:
                await self._api.list(msgspec.structs.replace(credential, email=email))
            except ReconnectRequired:
                continue
            except HelperError:
                # A temporary failure must not undo the sign-in. The address came with the tokens.
                return email
            return email
        return None

    def _revoke(self, tokens: TokenSet) -> None:
        if self._server is not None:
            self._background.start(self._revoked(self._server, tokens))

    async def _revoked(self, server: AuthorizationServer, tokens: TokenSet) -> None:
        await server.revoke(tokens)
