"""From an authorization code to a stored API key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.errors import HelperError, ReconnectRequired, StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential
from upstash_helper.broker.ports import AuthorizationFailed, KeyNameTaken

if TYPE_CHECKING:
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import IssuedKey, Secret, TokenSet
    from upstash_helper.broker.ports import AuthorizationServer, Clock, DatabasesApi, KeyIssuer
    from upstash_helper.protocol.literals import FailureReason

logger = logging.getLogger(__name__)

# The pattern of Upstash's guideline is APPNAME_API_KEY_<unix time>.
KEY_NAME: Final = "UPSTASH_HELPER_API_KEY_{time}"

# Names are unique in an account. Two machines, or one that connects twice, can meet in the same second.
NAMES_TRIED: Final = 5


class SignIn:
    """Exchange the code, make a key, store it, find out whose it is; then give the OAuth tokens back."""

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

    async def __call__(self, *, code: Secret, code_verifier: Secret) -> Credential:
        """
        Return the credential that is stored now. Its e-mail is None if none could be found or proved.

        Raises:
            AuthorizationFailed: With a reason; what was stored before still is.
        """
        if self._server is None:
            raise AuthorizationFailed("invalid_client", "No OAuth client ID is configured.")
        tokens = await self._server.exchange(code=code, code_verifier=code_verifier)
        try:
            # Whose key it is, is asked before the key is made: from then on nothing slow stands before the store.
            emails = await self._server.email_of(tokens)
            issued, name = await self._issue(tokens.access_token)
            return await self._keep(issued, name, emails)
        finally:
            self._background.start(self._give_back(self._server, tokens))

    async def _issue(self, access_token: Secret) -> tuple[IssuedKey, str]:
        """Make a key named after the present second, or after one of the next if the account has that name."""
        second = int(self._clock.time())
        last = second + NAMES_TRIED - 1
        while True:
            name = KEY_NAME.format(time=second)
            try:
                return await self._keys.issue(access_token=access_token, name=name), name
            except KeyNameTaken:
                if second == last:
                    raise
                logger.info("api_key_name_taken", extra={"key_name": name})
            second += 1

    async def _keep(self, issued: IssuedKey, name: str, emails: tuple[str, ...]) -> Credential:
        candidates = tuple(dict.fromkeys((issued.email, *emails) if issued.email else emails))
        credential = Credential(
            email=candidates[0] if candidates else None,
            api_key=issued.api_key,
            method="oauth",
            since=self._clock.time(),
            key_name=name,
        )
        await self._store(credential)

        email = await self._proved(credential, candidates)
        if email != credential.email:
            credential = msgspec.structs.replace(credential, email=email)
            await self._store(credential)
        return credential

    async def _store(self, credential: Credential) -> None:
        try:
            await self._credentials.put(credential)
        except (StoreLocked, StoreUnavailable) as error:
            detail = (
                f"The API key {credential.key_name} was made at Upstash but could not be stored: {error.detail} "
                "Delete that key in the Upstash console (Account > Management API) and connect again."
            )
            reason: FailureReason = "keyring_locked" if isinstance(error, StoreLocked) else "keyring_unavailable"
            raise AuthorizationFailed(reason, detail) from None
        except BaseException:
            # Cancelled or crashed between making and storing: the user must at least be able to find the orphan.
            logger.error("api_key_not_stored", extra={"key_name": credential.key_name})  # noqa: TRY400 - no traceback
            raise

    async def _proved(self, credential: Credential, candidates: tuple[str, ...]) -> str | None:
        """Return the e-mail that Upstash takes with the key; the first one if Upstash cannot be asked now."""
        for email in candidates:
            try:
                await self._api.list(msgspec.structs.replace(credential, email=email))
            except ReconnectRequired:
                continue
            except HelperError:
                # A sign-in is not undone by a hiccup: the tokens vouch for the e-mail, the next call will tell.
                return email
            return email
        return None

    async def _give_back(self, server: AuthorizationServer, tokens: TokenSet) -> None:
        await server.revoke(tokens)
