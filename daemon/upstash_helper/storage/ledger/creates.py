"""The journal of requests that create databases, and which app created which database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.ledger import CreateKey, CreateRecord
from upstash_helper.broker.models import Database
from upstash_helper.storage.ledger.rows import RunTransaction, as_json, decode_row

if TYPE_CHECKING:
    import sqlite3

    from upstash_helper.storage.ledger.elapsed import ElapsedTime

_FIND: Final = "SELECT fingerprint, name, sent_at, state, result FROM creates WHERE caller = ? AND key = ?"
_BEGIN: Final = """
    INSERT OR REPLACE INTO creates (
        caller, key, fingerprint, name, sent_at, state, database_id, result, sent_elapsed
    ) VALUES (
        :caller, :key, :fingerprint, :name, :sent_at, :state, :database_id, :result, :sent_elapsed
    )
"""
_DONE: Final = "UPDATE creates SET state = 'done', database_id = ?, result = ? WHERE caller = ? AND key = ?"
_OWN: Final = "INSERT OR REPLACE INTO creations (database_id, owner, account) VALUES (?, ?, ?)"

_BATCH: Final = 500
"""Values in one query. SQLite before 3.32 allows 999."""


class SqliteCreateJournal:
    """The ``CreateJournal`` port."""

    def __init__(self, run: RunTransaction, elapsed: ElapsedTime) -> None:
        self._run = run
        self._elapsed = elapsed

    async def find(self, key: CreateKey) -> CreateRecord | None:
        """Return the record of ``key``, or None. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> CreateRecord | None:
            row = connection.execute(_FIND, (key.caller, key.key)).fetchone()
            return None if row is None else _record(row)

        return await self._run(job)

    async def begin(self, key: CreateKey, record: CreateRecord, *, keep_seconds: float) -> None:
        """Record that a request is about to be sent. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            now, result = self._elapsed.now(connection), record.result
            self._elapsed.save(connection)
            columns = msgspec.structs.asdict(record) | msgspec.structs.asdict(key)
            columns["database_id"] = None if result is None else result.id
            columns["result"] = None if result is None else as_json(result)
            columns["sent_elapsed"] = now
            connection.execute("DELETE FROM creates WHERE sent_elapsed < ?", (now - keep_seconds,))
            connection.execute(_BEGIN, columns)

        await self._run(job)

    async def done(self, key: CreateKey, database: Database, *, owner: str | None, account: str = "") -> None:
        """Record the created database and its owner. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_DONE, (database.id, as_json(database), key.caller, key.key))
            if owner is not None:
                connection.execute(_OWN, (database.id, owner, account))

        await self._run(job)

    async def forget(self, key: CreateKey) -> None:
        """Delete the record of a request that certainly had no effect. Raises what the port allows."""
        query = "DELETE FROM creates WHERE caller = ? AND key = ?"
        await self._run(lambda connection: connection.execute(query, (key.caller, key.key)))

    async def claimed(self, database_ids: tuple[str, ...]) -> frozenset[str]:
        """Return which of the databases are the result of a recorded request. Raises what the port allows."""
        if not database_ids:
            return frozenset()

        def job(connection: sqlite3.Connection) -> frozenset[str]:
            starts = range(0, len(database_ids), _BATCH)
            return frozenset[str]().union(
                *(_claimed(connection, database_ids[start : start + _BATCH]) for start in starts)
            )

        return await self._run(job)

    async def creator(self, database_id: str, *, account: str = "") -> str | None:
        """Return the app that created the database in ``account``, or None. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> str | None:
            query = "SELECT owner FROM creations WHERE database_id = ? AND account IN ('', ?)"
            row = connection.execute(query, (database_id, account)).fetchone()
            return None if row is None else row["owner"]

        return await self._run(job)


def _claimed(connection: sqlite3.Connection, database_ids: tuple[str, ...]) -> frozenset[str]:
    placeholders = ", ".join("?" * len(database_ids))
    query = f"SELECT DISTINCT database_id FROM creates WHERE state = 'done' AND database_id IN ({placeholders})"  # noqa: S608 - question marks only
    return frozenset(row["database_id"] for row in connection.execute(query, database_ids))


def _record(row: sqlite3.Row) -> CreateRecord:
    columns = dict(row)
    if columns["result"] is not None:
        columns["result"] = msgspec.json.decode(columns["result"], type=Database)
    return decode_row(columns, CreateRecord)
