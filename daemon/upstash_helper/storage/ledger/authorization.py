"""The clients of the authorization server, and their refresh tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.authorization_records import Client, RefreshToken
from upstash_helper.storage.ledger.rows import RunTransaction, as_json, decode_row, identity_columns, with_identity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_SAVE_CLIENT: Final = """
    INSERT OR REPLACE INTO oauth_clients (
        id, name, identity_kind, identity_name, identity_program, identity_pid, identity_warnings, identity_others,
        redirect_uris, created_at, used_at
    ) VALUES (
        :id, :name, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :redirect_uris, :created_at, :used_at
    )
"""
_SAVE_FAMILY: Final = """
    INSERT OR REPLACE INTO oauth_tokens (family, digest, client_id, app_id, resource, created_at)
    VALUES (:family, :digest, :client_id, :app_id, :resource, :created_at)
"""
_FORGET_FAMILY: Final = "DELETE FROM oauth_tokens WHERE family = ?"
# Those of an app that is gone were left behind by a version that did not know this table.
_FORGET_ORPHANS: Final = "DELETE FROM oauth_tokens WHERE app_id NOT IN (SELECT id FROM apps)"


class SqliteAuthorizationRecords:
    """The ``AuthorizationRecords`` port."""

    def __init__(self, run: RunTransaction) -> None:
        self._run = run

    async def load(self) -> tuple[tuple[Client, ...], tuple[RefreshToken, ...]]:
        """Return all clients and all refresh tokens of existing apps. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> tuple[tuple[Client, ...], tuple[RefreshToken, ...]]:
            connection.execute(_FORGET_ORPHANS)
            clients = connection.execute("SELECT * FROM oauth_clients ORDER BY created_at, id")
            tokens = connection.execute("SELECT * FROM oauth_tokens ORDER BY created_at, family")
            return tuple(map(_client, clients)), tuple(decode_row(dict(row), RefreshToken) for row in tokens)

        return await self._run(job)

    async def save_client(self, client: Client, *, forget: Iterable[str] = ()) -> None:
        """Store ``client``, and delete others. Raises what the port allows."""
        forgotten = [(client_id,) for client_id in forget]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM oauth_clients WHERE id = ?", forgotten)
            columns = msgspec.structs.asdict(client) | identity_columns(client.identity)
            connection.execute(_SAVE_CLIENT, columns | {"redirect_uris": as_json(client.redirect_uris)})

        await self._run(job)

    async def save_token(self, token: RefreshToken, *, forget: Iterable[str] = ()) -> None:
        """Store ``token``, and delete other families. Raises what the port allows."""
        forgotten = [(family,) for family in forget]

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany(_FORGET_FAMILY, forgotten)
            connection.execute(_SAVE_FAMILY, msgspec.structs.asdict(token))

        await self._run(job)

    async def forget_tokens(self, families: Iterable[str]) -> None:
        """Delete these families. Raises what the port allows."""
        forgotten = [(family,) for family in families]
        await self._run(lambda connection: connection.executemany(_FORGET_FAMILY, forgotten))


def _client(row: sqlite3.Row) -> Client:
    columns = with_identity(row)
    columns["redirect_uris"] = msgspec.json.decode(columns["redirect_uris"])
    return decode_row(columns, Client)
