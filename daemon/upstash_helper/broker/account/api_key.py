"""Connecting with an API key that the user enters, without the OAuth flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from upstash_helper.broker.errors import CredentialRefused, EmailNotNeeded, ReconnectRequired
from upstash_helper.broker.models import Credential

if TYPE_CHECKING:
    from upstash_helper.broker.account.connection import Connection, ConnectionStatus
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.grants import Grants
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import Secret
    from upstash_helper.broker.ports import Clock, DatabasesApi


class ApiKeySignIn:
    """Stores a pair of email address and API key after one call to Upstash has verified it."""

    def __init__(
        self,
        *,
        connection: Connection,
        credentials: CredentialCache,
        grants: Grants,
        api: DatabasesApi,
        background: Background,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._grants = grants
        self._api = api
        self._background = background
        self._clock = clock

    async def use(self, *, email: str, api_key: Secret) -> ConnectionStatus:
        """
        Connect with a key that the user created in the Upstash console.

        Raises:
            CredentialRefused: If Upstash rejects the pair. Nothing is changed.
            StoreLocked: If the pair could not be stored.
            StoreUnavailable: Like StoreLocked.
            HelperError: Like ``DatabasesApi.list`` if the pair could not be verified.
        """
        credential = Credential(email=email, api_key=api_key, method="api_key", since=self._clock.time())
        return await self._background.finish(self._verify_and_store(credential))

    async def give_email(self, email: str) -> ConnectionStatus:
        """
        Add the email address to a stored key whose account is unknown.

        Raises:
            EmailNotNeeded: If no email address is missing.
            CredentialRefused: If Upstash rejects it together with the key.
            HelperError: Like ``use``.
        """
        credential = await self._credentials.get()
        if credential is None or credential.email is not None:
            raise EmailNotNeeded("" if credential else "No account is connected. Connect one: upstash-helper connect")
        return await self._background.finish(self._verify_and_store(msgspec.structs.replace(credential, email=email)))

    async def _verify_and_store(self, credential: Credential) -> ConnectionStatus:
        async with self._connection.turn:
            try:
                await self._api.list(credential)
            except ReconnectRequired:
                raise CredentialRefused from None
            before = await self._credentials.peek()
            await self._credentials.put(credential)
            self._grants.leave(before, credential)
        await self._connection.flow.end_outdated_question(credential)
        await self._connection.changed()
        return await self._connection.status()
