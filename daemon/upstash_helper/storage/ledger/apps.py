"""Apps with access, access requests (pairings), and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.ledger import App, Block, Decision, Pairing
from upstash_helper.protocol.literals import Scope
from upstash_helper.storage.ledger.rows import RunTransaction, as_json, decode_row, identity_columns, with_identity

if TYPE_CHECKING:
    import sqlite3

_SAVE_APP: Final = """
    INSERT OR REPLACE INTO apps (
        id, name, identity_kind, identity_name, identity_program, identity_pid, identity_warnings,
        identity_others, scopes, all_databases, digest,
        created_at, last_used_at, expires_at, mismatches
    ) VALUES (
        :id, :name, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :scopes, :all_databases, :digest,
        :created_at, :last_used_at, :expires_at, :mismatches
    )
"""
_SAVE_PAIRING: Final = """
    INSERT OR REPLACE INTO pairings (
        id, digest, user_code, identity_kind, identity_name, identity_program, identity_pid, identity_warnings,
        identity_others, name, scopes, reason,
        created_at, expires_at, decision
    ) VALUES (
        :id, :digest, :user_code, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :name, :scopes,
        :reason, :created_at, :expires_at, :decision
    )
"""
# Replaces a row with the same id, and a row with the same identity.
_SAVE_BLOCK: Final = """
    INSERT OR REPLACE INTO blocks (
        id, identity_key, identity_kind, identity_name, identity_program, identity_pid, identity_warnings,
        identity_others, blocked_at
    ) VALUES (
        :id, :identity_key, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :blocked_at
    )
"""


class SqliteAppRecords:
    """The ``AppRecords`` port."""

    def __init__(self, run: RunTransaction) -> None:
        self._run = run

    async def load(self) -> tuple[App, ...]:
        """Return all apps, oldest first. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> tuple[App, ...]:
            return tuple(_app(row) for row in connection.execute("SELECT * FROM apps ORDER BY created_at, id"))

        return await self._run(job)

    async def save(self, app: App) -> None:
        """Store ``app``, replacing the one with its id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            columns = msgspec.structs.asdict(app) | identity_columns(app.identity) | {"scopes": as_json(app.scopes)}
            connection.execute(_SAVE_APP, columns)

        await self._run(job)

    async def remove(self, app_id: str) -> None:
        """Delete an app. Raises what the port allows."""
        await self._run(lambda connection: connection.execute("DELETE FROM apps WHERE id = ?", (app_id,)))


class SqlitePairingRecords:
    """The ``PairingRecords`` port."""

    def __init__(self, run: RunTransaction) -> None:
        self._run = run

    async def load(self) -> tuple[tuple[Pairing, ...], tuple[Block, ...]]:
        """Return all pairings and all blocks, each oldest first. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> tuple[tuple[Pairing, ...], tuple[Block, ...]]:
            pairings = connection.execute("SELECT * FROM pairings ORDER BY created_at, id")
            blocks = connection.execute("SELECT * FROM blocks ORDER BY blocked_at, id")
            return tuple(map(_pairing, pairings)), tuple(map(_block, blocks))

        return await self._run(job)

    async def save(self, pairing: Pairing) -> None:
        """Store ``pairing``, replacing the one with its id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            columns = msgspec.structs.asdict(pairing) | identity_columns(pairing.identity)
            columns |= {"scopes": as_json(pairing.scopes), "decision": as_json(pairing.decision)}
            connection.execute(_SAVE_PAIRING, columns)

        await self._run(job)

    async def forget(self, expired_before: float) -> None:
        """Delete the pairings that expired before this Unix time. Raises what the port allows."""
        query = "DELETE FROM pairings WHERE expires_at < ?"
        await self._run(lambda connection: connection.execute(query, (expired_before,)))

    async def block(self, block: Block) -> None:
        """Store ``block``, replacing the one with its identity. Raises what the port allows."""
        columns = {"id": block.id, "identity_key": block.identity.key, "blocked_at": block.blocked_at}
        columns |= identity_columns(block.identity)
        await self._run(lambda connection: connection.execute(_SAVE_BLOCK, columns))

    async def unblock(self, block_id: str) -> None:
        """Delete a block. Raises what the port allows."""
        await self._run(lambda connection: connection.execute("DELETE FROM blocks WHERE id = ?", (block_id,)))


def _app(row: sqlite3.Row) -> App:
    columns = with_identity(row)
    columns["scopes"] = msgspec.json.decode(columns["scopes"], type=tuple[Scope, ...])
    columns["all_databases"] = bool(columns["all_databases"])
    return decode_row(columns, App)


def _pairing(row: sqlite3.Row) -> Pairing:
    columns = with_identity(row)
    columns["scopes"] = msgspec.json.decode(columns["scopes"], type=tuple[Scope, ...])
    columns["decision"] = msgspec.json.decode(columns["decision"], type=Decision)
    return decode_row(columns, Pairing)


def _block(row: sqlite3.Row) -> Block:
    return decode_row(with_identity(row), Block)
