"""The clients and refresh tokens in memory, in sync with the ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.authorization_records import AuthorizationRecords, Client, RefreshToken
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock

MAX_UNUSED: Final = 100
"""Maximum clients without access. Beyond it, the program with the most of them loses its oldest."""
MAX_UNUSED_OF_PROGRAM: Final = 10
"""The same for one program. An agent registers once, or each time it signs in."""
UNUSED_SECONDS: Final = 30 * 86_400.0
"""A client without access is forgotten after this time."""
MAX_FAMILIES: Final = 16
"""Maximum refresh tokens of one app: the processes of an agent may each have one."""


class AuthorizationStore:
    """
    Keeps clients and refresh tokens. What gives access is written before it takes effect; what takes access away takes
    effect at once. Callers must have called ``ready``.
    """

    def __init__(
        self, *, records: AuthorizationRecords, apps: AppRegistry, pending: PendingWrites, clock: Clock
    ) -> None:
        """
        Args:
            records: The ledger's tables.
            apps: The apps with access.
            pending: Writes that follow what they record.
            clock: The clock.
        """
        self._records = records
        self._apps = apps
        self._pending = pending
        self._clock = clock
        self._clients: dict[str, Client] = {}
        self._tokens: dict[str, RefreshToken] = {}
        self._loaded = False
        self._loading = asyncio.Lock()

    async def ready(self) -> None:
        """
        Read the ledger, once per run.

        Raises:
            LedgerUnavailable: If it cannot be read.
            LedgerFull: If the disk is full and the ledger cannot be opened.
        """
        await self._apps.ready()
        if self._loaded:
            return
        async with self._loading:
            if not self._loaded:
                tombstones = await self._pending.tombstones()
                clients, tokens = await self._records.load()
                self._clients = {client.id: client for client in clients}
                for token in tokens:
                    if f"oauth-token:{token.family}" in tombstones:
                        self._forget_later(token.family, kept=True)
                    else:
                        self._tokens[token.family] = token
                self._loaded = True

    # --- clients ------------------------------------------------------------------------------------------------------

    def client(self, client_id: str) -> Client | None:
        """Return a client, or None if it is not registered or has been forgotten."""
        client = self._clients.get(client_id)
        return None if client is None or self._is_forgotten(client) else client

    async def add_client(self, client: Client) -> None:
        """
        Store a new client. If there are too many, others without access are forgotten: those that have expired, then
        the oldest of the same program, then the oldest of the program that has the most. So no program can displace a
        client with access, or the clients of a program that has fewer.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        forgotten = self._displaced_by(client)
        await self._records.save_client(client, forget=forgotten)
        self._clients[client.id] = client
        for client_id in forgotten:
            self._clients.pop(client_id, None)

    def used(self, client: Client) -> None:
        """Record that a client was used just now."""
        now = self._clock.time()
        if now - client.used_at >= 60.0 and client.id in self._clients:
            changed = msgspec.structs.replace(client, used_at=now)
            self._clients[client.id] = changed
            self._pending.add(f"oauth-client:{client.id}", lambda: self._records.save_client(changed))

    def _displaced_by(self, new: Client) -> tuple[str, ...]:
        with_access = {token.client_id for token in self._tokens.values() if self._is_live(token)}
        unused = [client for client in self._clients.values() if client.id not in with_access]
        gone = [client for client in unused if self._is_expired(client)]
        unused = [client for client in unused if not self._is_expired(client)]
        own = [client for client in unused if _program(client) == _program(new)]
        if len(own) >= MAX_UNUSED_OF_PROGRAM:
            oldest = min(own, key=_age)
            gone.append(oldest)
            unused.remove(oldest)
        while len(unused) >= MAX_UNUSED:
            programs = [_program(client) for client in unused]
            most = max(set(programs), key=lambda program: (programs.count(program), program))
            oldest = min((client for client in unused if _program(client) == most), key=_age)
            gone.append(oldest)
            unused.remove(oldest)
        return tuple(client.id for client in gone)

    def _is_forgotten(self, client: Client) -> bool:
        return self._is_expired(client) and not any(
            token.client_id == client.id and self._is_live(token) for token in self._tokens.values()
        )

    def _is_expired(self, client: Client) -> bool:
        return self._clock.time() - client.used_at >= UNUSED_SECONDS

    # --- refresh tokens -----------------------------------------------------------------------------------------------

    def token(self, family: str) -> RefreshToken | None:
        """Return the refresh token of a family whose app has access, or None."""
        token = self._tokens.get(family)
        return None if token is None or not self._is_live(token) else token

    def of_client(self, client_id: str) -> tuple[RefreshToken, ...]:
        """Return the refresh tokens of a client, oldest first."""
        return tuple(token for token in self._tokens.values() if token.client_id == client_id)

    def of_app(self, app_id: str) -> tuple[RefreshToken, ...]:
        """Return the refresh tokens of an app, oldest first."""
        return tuple(token for token in self._tokens.values() if token.app_id == app_id)

    async def save_token(self, token: RefreshToken) -> None:
        """
        Store a refresh token, in place of the previous one of its family. An app that has too many loses its oldest.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        ended = [one.family for one in self._tokens.values() if not self._is_live(one)]
        if token.family not in self._tokens:
            ended += [one.family for one in self.of_app(token.app_id)[: -(MAX_FAMILIES - 1)]]
        await self._records.save_token(token, forget=ended)
        self._tokens[token.family] = token
        self._drop(ended)

    def end(self, families: tuple[str, ...]) -> None:
        """End refresh tokens, and the access tokens that they gave. It takes effect at once, and is written later."""
        self._drop(families)
        for family in families:
            self._forget_later(family)

    def _forget_later(self, family: str, *, kept: bool = False) -> None:
        key = f"oauth-token:{family}"
        self._pending.add(key, lambda: self._records.forget_tokens((family,)), tombstone=key, kept=kept)

    def _drop(self, families: list[str] | tuple[str, ...]) -> None:
        for family in families:
            self._tokens.pop(family, None)
            self._apps.end_access_tokens(family)

    def _is_live(self, token: RefreshToken) -> bool:
        return self._apps.is_live(token.app_id)


def _program(client: Client) -> str:
    return client.identity.limits_key


def _age(client: Client) -> float:
    return client.used_at
