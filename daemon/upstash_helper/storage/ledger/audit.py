"""Which app did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER
from upstash_helper.broker.ledger import AuditEntry, AuditQuery
from upstash_helper.storage.ledger.rows import Run, record

if TYPE_CHECKING:
    import sqlite3

MOST: Final = 100_000
"""Entries that are kept, about 20 MB."""

_LATEST: Final = "SELECT * FROM audit WHERE app_id = ? ORDER BY id DESC LIMIT 1"
_RAISE: Final = "UPDATE audit SET count = count + ?, last_at = max(last_at, ?) WHERE id = ?"
_ADD: Final = """
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    VALUES (:at, :last_at, :count, :app_id, :app_name, :identity, :action, :target, :result)
"""
_SETTLE: Final = "UPDATE audit SET target = ?, result = ? WHERE id = ?"

_LARGEST_ID: Final = 2**63 - 1
_PAGE: Final = """
    SELECT * FROM audit WHERE id < :before AND last_at >= :since ORDER BY id DESC LIMIT :limit
"""
# Two walks along an index, each of which ends after a page; a plain OR would sort all that an app ever did.
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

    def __init__(self, run: Run) -> None:
        self._run = run

    async def add(self, entry: AuditEntry, *, merge_since: float | None = None, forget_before: float) -> int:
        """Write ``entry`` down and return its id; raise as the port says."""

        def job(connection: sqlite3.Connection) -> int:
            entry_id = None if merge_since is None else _merged(connection, entry, merge_since)
            if entry_id is None:
                entry_id = _added(connection, entry)
            _forget(connection, forget_before, entry_id)
            return entry_id

        return await self._run(job)

    async def settle(self, entry_id: int, *, target: str, result: str) -> None:
        """Give the entry its target and result; raise as the port says."""
        await self._run(lambda connection: connection.execute(_SETTLE, (target, result, entry_id)))

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return the entries that ``query`` asks for, the newest first; raise as the port says."""
        values = {
            "app": query.app,
            # An app may call itself what it likes; only the owner's tools are found by the owner's id.
            "name": None if query.app == OWNER.id else query.app,
            "before": _LARGEST_ID if query.before_id is None else query.before_id,
            "since": float("-inf") if query.since is None else query.since,
            "limit": query.limit,
        }
        page = _PAGE if query.app is None else _PAGE_OF_AN_APP

        def job(connection: sqlite3.Connection) -> tuple[AuditEntry, ...]:
            return tuple(record(dict(row), AuditEntry) for row in connection.execute(page, values))

        return await self._run(job)


def _merged(connection: sqlite3.Connection, entry: AuditEntry, since: float) -> int | None:
    row = connection.execute(_LATEST, (entry.app_id,)).fetchone()
    if row is None:
        return None
    latest = record(dict(row), AuditEntry)
    if latest.last_at < since or _likeness(latest) != _likeness(entry):
        return None
    connection.execute(_RAISE, (entry.count, entry.last_at, latest.id))
    return latest.id


def _likeness(entry: AuditEntry) -> tuple[str, ...]:
    return entry.identity, entry.action, entry.target, entry.result


def _added(connection: sqlite3.Connection, entry: AuditEntry) -> int:
    entry_id = connection.execute(_ADD, msgspec.structs.asdict(entry)).lastrowid
    if entry_id is None:  # sqlite3 has one for every INSERT
        raise AssertionError
    return entry_id


def _forget(connection: sqlite3.Connection, before: float, newest_id: int) -> None:
    # Each is one look into an index when there is nothing to forget. Ids have no gaps but at the old end, mostly, and a
    # gap means that less is kept.
    connection.execute("DELETE FROM audit WHERE last_at < ? AND id != ?", (before, newest_id))
    connection.execute("DELETE FROM audit WHERE id <= ?", (newest_id - MOST,))
