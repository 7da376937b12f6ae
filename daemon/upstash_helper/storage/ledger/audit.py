"""The audit: which app did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER
from upstash_helper.broker.ledger import AuditEntry, AuditQuery
from upstash_helper.storage.ledger.rows import RunTransaction, decode_row

if TYPE_CHECKING:
    import sqlite3

MAX_ENTRIES: Final = 100_000
"""About 20 MB."""

_LATEST: Final = "SELECT * FROM audit WHERE app_id = ? ORDER BY id DESC LIMIT 1"
_INCREMENT: Final = "UPDATE audit SET count = count + ?, last_at = max(last_at, ?) WHERE id = ?"
_ADD: Final = """
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    VALUES (:at, :last_at, :count, :app_id, :app_name, :identity, :action, :target, :result)
"""
_SETTLE: Final = "UPDATE audit SET target = ?, result = ? WHERE id = ?"

_LARGEST_ID: Final = 2**63 - 1
_PAGE: Final = """
    SELECT * FROM audit WHERE id < :before AND last_at >= :since ORDER BY id DESC LIMIT :limit
"""
# Two index scans, each limited to a page. A plain OR would sort all entries of the app.
_PAGE_OF_AN_APP: Final = """
    SELECT * FROM audit WHERE id IN (
        SELECT id FROM (
            SELECT id FROM audit WHERE app_id = :app AND id < :before AND last_at >= :since
            ORDER BY id DESC LIMIT :limit
        )
        UNION
        SELECT id FROM (
            SELECT id FROM audit WHERE app_name = :name AND id < :before AND last_at >= :since
            ORDER BY id DESC LIMIT :limit
        )
    )
    ORDER BY id DESC LIMIT :limit
"""


class SqliteAuditRecords:
    """The ``AuditRecords`` port."""

    def __init__(self, run: RunTransaction) -> None:
        self._run = run

    async def add(self, entry: AuditEntry, *, merge_since: float | None = None, forget_before: float) -> int:
        """Store ``entry`` and return its id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> int:
            entry_id = None if merge_since is None else _merge(connection, entry, merge_since)
            if entry_id is None:
                entry_id = _insert(connection, entry)
            _prune(connection, forget_before, entry_id)
            return entry_id

        return await self._run(job)

    async def settle(self, entry_id: int, *, target: str, result: str) -> None:
        """Set the target and result of an entry. Raises what the port allows."""
        await self._run(lambda connection: connection.execute(_SETTLE, (target, result, entry_id)))

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return the entries that match ``query``, newest first. Raises what the port allows."""
        values = {
            "app": query.app,
            # Apps choose their names, and one may use the owner's id: that finds the owner's tools only.
            "name": None if query.app == OWNER.id else query.app,
            "before": _LARGEST_ID if query.before_id is None else query.before_id,
            "since": float("-inf") if query.since is None else query.since,
            "limit": query.limit,
        }
        page = _PAGE if query.app is None else _PAGE_OF_AN_APP

        def job(connection: sqlite3.Connection) -> tuple[AuditEntry, ...]:
            return tuple(decode_row(dict(row), AuditEntry) for row in connection.execute(page, values))

        return await self._run(job)


def _merge(connection: sqlite3.Connection, entry: AuditEntry, since: float) -> int | None:
    row = connection.execute(_LATEST, (entry.app_id,)).fetchone()
    if row is None:
        return None
    latest = decode_row(dict(row), AuditEntry)
    if latest.last_at < since or _merge_key(latest) != _merge_key(entry):
        return None
    connection.execute(_INCREMENT, (entry.count, entry.last_at, latest.id))
    return latest.id


def _merge_key(entry: AuditEntry) -> tuple[str, ...]:
    return entry.identity, entry.action, entry.target, entry.result


def _insert(connection: sqlite3.Connection, entry: AuditEntry) -> int:
    entry_id = connection.execute(_ADD, msgspec.structs.asdict(entry)).lastrowid
    if entry_id is None:  # sqlite3 sets it after every INSERT
        raise AssertionError
    return entry_id


def _prune(connection: sqlite3.Connection, before: float, newest_id: int) -> None:
    # Each is one index lookup if there is nothing to delete. The second assumes that ids have no gaps; with gaps, fewer
    # entries are kept.
    connection.execute("DELETE FROM audit WHERE last_at < ? AND id != ?", (before, newest_id))
    connection.execute("DELETE FROM audit WHERE id <= ?", (newest_id - MAX_ENTRIES,))
