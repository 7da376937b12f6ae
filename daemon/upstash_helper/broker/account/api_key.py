"""Connecting without signing in: with an API key, and an e-mail, that the user brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from upstash_helper.broker.errors import CredentialRefused, EmailNotNeeded, ReconnectRequired
from upstash_helper.broker.models import Credential

if TYPE_CHECKING:
    from upstash_helper.broker.account.attempts import ConnectionStatus
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import Secret
    from upstash_helper.broker.ports import Clock, DatabasesApi


class ApiKeySignIn:
    """Takes nothing on trust: a pair of e-mail and key is proved by one call before it is stored."""

    def __init__(
        self,
        *,
        connection: Connection,
        credentials: CredentialCache,
        api: DatabasesApi,
        background: Background,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._api = api
        self._background = background
        self._clock = clock

    async def use(self, *, email: str, api_key: Secret) -> ConnectionStatus:
        """
        Connect with a key that the user made in the console.

        Raises:
            CredentialRefused: If Upstash does not take the pair; nothing is changed.
            StoreLocked: If it could not be stored.
            StoreUnavailable: As StoreLocked.
            HelperError: What ``DatabasesApi`` raises if the pair could not be proved.
        """
        credential = Credential(email=email, api_key=api_key, method="api_key", since=self._clock.time())
        return await self._background.finish(self._prove_and_store(credential))

    async def give_email(self, email: str) -> ConnectionStatus:
        """
        Name the account whose key is stored already.

        Raises:
            EmailNotNeeded: If no e-mail is missing.
            CredentialRefused: If Upstash does not take it with the key.
            HelperError: As ``use``.
        """
        credential = await self._credentials.get()
        if credential is None or credential.email is not None:
            message = "No e-mail is missing." if credential else "No account is connected: connect first."
            raise EmailNotNeeded(message)
        return await self._background.finish(self._prove_and_store(msgspec.structs.replace(credential, email=email)))

    async def _prove_and_store(self, credential: Credential) -> ConnectionStatus:
        async with self._connection.turn:
            try:
                await self._api.list(credential)
            except ReconnectRequired:
                message = "Upstash does not take this e-mail and API key together. Check both in the console."
                raise CredentialRefused(message) from None
            await self._credentials.put(credential)
        await self._connection.changed()
        return await self._connection.status()
