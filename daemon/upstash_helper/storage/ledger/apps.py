"""Apps with access, access requests (pairings), and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.ledger import JUST_USED, App, AppTimes, Block, Decision, Pairing
from upstash_helper.protocol.literals import Scope
from upstash_helper.storage.ledger.rows import RunTransaction, as_json, decode_row, identity_columns, with_identity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from upstash_helper.storage.ledger.elapsed import ElapsedTime

_SAVE_APP: Final = """
    INSERT OR REPLACE INTO apps (
        id, name, identity_kind, identity_name, identity_program, identity_pid, identity_warnings,
        identity_others, scopes, all_databases, audience, folders, digest,
        created_at, last_used_at, expires_at, mismatches, used_elapsed, ends_elapsed
    ) VALUES (
        :id, :name, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :scopes, :all_databases, :audience, :folders, :digest,
        :created_at, :last_used_at, :expires_at, :mismatches, :used_elapsed, :ends_elapsed
    )
"""
_SAVE_PAIRING: Final = """
    INSERT OR REPLACE INTO pairings (
        id, digest, user_code, identity_kind, identity_name, identity_program, identity_pid, identity_warnings,
        identity_others, name, scopes, reason, audience,
        created_at, expires_at, decision
    ) VALUES (
        :id, :digest, :user_code, :identity_kind, :identity_name, :identity_program, :identity_pid, :identity_warnings,
        :identity_others, :name, :scopes,
        :reason, :audience, :created_at, :expires_at, :decision
    )
"""
# Replaces a row with the same id, and a row with the same key. A block of a site differs from one of the identity only
# in its key; earlier versions, which know no blocks of sites, apply it to the identity.
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

    def __init__(self, run: RunTransaction, elapsed: ElapsedTime) -> None:
        self._run = run
        self._elapsed = elapsed

    async def load(self) -> tuple[App, ...]:
        """Return all apps, oldest first. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> tuple[App, ...]:
            return tuple(_app(row) for row in connection.execute("SELECT * FROM apps ORDER BY created_at, id"))

        return await self._run(job)

    async def times(self) -> Mapping[str, AppTimes]:
        """Return the times of all apps, by id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> dict[str, AppTimes]:
            now, rows = self._elapsed.now(connection), connection.execute("SELECT * FROM apps")
            return {
                row["id"]: AppTimes(
                    max(0.0, now - row["used_elapsed"]),
                    None if row["ends_elapsed"] is None else row["ends_elapsed"] - now,
                )
                for row in rows
            }

        return await self._run(job)

    async def save(self, app: App, times: AppTimes = JUST_USED) -> None:
        """Store ``app``, replacing the one with its id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            now = self._elapsed.now(connection)
            self._elapsed.save(connection)
            columns = msgspec.structs.asdict(app) | identity_columns(app.identity)
            columns |= {"scopes": as_json(app.scopes), "folders": as_json(app.folders)}
            columns["used_elapsed"] = now - times.idle
            columns["ends_elapsed"] = None if times.left is None else now + times.left
            connection.execute(_SAVE_APP, columns)

        await self._run(job)

    async def remove(self, app_id: str) -> None:
        """Delete an app, and its refresh tokens. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM oauth_tokens WHERE app_id = ?", (app_id,))
            connection.execute("DELETE FROM apps WHERE id = ?", (app_id,))

        await self._run(job)


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

    async def forget(self, pairing_ids: tuple[str, ...]) -> None:
        """Delete these pairings. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM pairings WHERE id = ?", [(pairing_id,) for pairing_id in pairing_ids])

        await self._run(job)

    async def block(self, block: Block) -> None:
        """Store ``block``, replacing the one with its key. Raises what the port allows."""
        columns = {"id": block.id, "identity_key": block.key, "blocked_at": block.blocked_at}
        columns |= identity_columns(block.identity)
        await self._run(lambda connection: connection.execute(_SAVE_BLOCK, columns))

    async def unblock(self, block_id: str) -> None:
        """Delete a block. Raises what the port allows."""
        await self._run(lambda connection: connection.execute("DELETE FROM blocks WHERE id = ?", (block_id,)))


def _app(row: sqlite3.Row) -> App:
    columns = with_identity(row)
    columns["scopes"] = msgspec.json.decode(columns["scopes"], type=tuple[Scope, ...])
    columns["folders"] = msgspec.json.decode(columns["folders"], type=tuple[str, ...])
    columns["all_databases"] = bool(columns["all_databases"])
    return decode_row(columns, App)


def _pairing(row: sqlite3.Row) -> Pairing:
    columns = with_identity(row)
    columns["scopes"] = msgspec.json.decode(columns["scopes"], type=tuple[Scope, ...])
    columns["decision"] = msgspec.json.decode(columns["decision"], type=Decision)
    return decode_row(columns, Pairing)


def _block(row: sqlite3.Row) -> Block:
    return decode_row(with_identity(row) | {"site": Block.site_of(row["identity_key"])}, Block)
