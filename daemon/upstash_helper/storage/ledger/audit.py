"""The audit: which app did what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER
from upstash_helper.broker.ledger import NO_TOKEN_SHARE, OWNER_SHARE, AuditEntry, AuditQuery
from upstash_helper.storage.ledger.rows import RunTransaction, decode_row

if TYPE_CHECKING:
    import sqlite3

    from upstash_helper.storage.ledger.elapsed import ElapsedTime

MAX_OWNER_ENTRIES: Final = 10_000
MAX_APP_ENTRIES: Final = 2_000
"""Of one app."""
MAX_APPS_ENTRIES: Final = 6_000
"""Of all apps together. If there are more, those that have the most lose their oldest ones."""
MAX_NO_TOKEN_ENTRIES: Final = 500
"""With entries of the maximum size, these four limits come to less than 20 MB."""

# How many of an app's newest entries are looked through for one to merge with.
_RECENT: Final = 32
# The entries of all apps are counted at every so many entries only: that reads the whole index.
_COUNTED_EVERY: Final = 64

_NEWEST: Final = "SELECT * FROM audit WHERE app_id = ? AND id != ? ORDER BY id DESC LIMIT ?"
_INCREMENT: Final = """
    UPDATE audit SET count = count + ?, last_at = max(last_at, ?), app_name = ?, identity = ?, target = ? WHERE id = ?
"""
_ADD: Final = """
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result, elapsed, share)
    VALUES (:at, :last_at, :count, :app_id, :app_name, :identity, :action, :target, :result, :elapsed, :share)
"""
_SETTLE: Final = "UPDATE audit SET target = ?, result = ? WHERE id = ?"
_DROP_OLDEST: Final = """
    DELETE FROM audit WHERE share = ? AND id <= (SELECT id FROM audit WHERE share = ? ORDER BY id DESC LIMIT 1 OFFSET ?)
"""
_COUNT_APPS: Final = "SELECT share, count(*) FROM audit WHERE share NOT IN (?, ?) GROUP BY share"

_LARGEST_ID: Final = 2**63 - 1
_PAGE: Final = """
    SELECT * FROM audit WHERE id < :before AND last_at >= :since ORDER BY id DESC LIMIT :limit
"""
# Two scans, each limited to a page. A plain OR would sort all entries of the app.
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

    def __init__(self, run: RunTransaction, elapsed: ElapsedTime) -> None:
        self._run = run
        self._elapsed = elapsed

    async def add(
        self,
        entry: AuditEntry,
        *,
        share: str,
        merge_within: float | None = None,
        merge_any: bool = False,
        keep_seconds: float,
    ) -> int:
        """Store ``entry`` and return its id. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> int:
            now = self._elapsed.now(connection)
            self._elapsed.save(connection)
            entry_id = None
            if merge_within is not None:
                entry_id = _merge(connection, entry, since=now - merge_within, merge_any=merge_any)
            if entry_id is None:
                entry_id = _insert(connection, entry, elapsed=now, share=share)
                _prune(connection, share, entry_id)
            connection.execute("DELETE FROM audit WHERE elapsed < ? AND id != ?", (now - keep_seconds, entry_id))
            return entry_id

        return await self._run(job)

    async def settle(self, entry_id: int, *, target: str, result: str, merge_within: float | None = None) -> None:
        """Set the target and result of an entry, and merge it. Raises what the port allows."""

        def job(connection: sqlite3.Connection) -> None:
            connection.execute(_SETTLE, (target, result, entry_id))
            row = connection.execute("SELECT * FROM audit WHERE id = ?", (entry_id,)).fetchone()
            if merge_within is None or row is None:
                return
            entry, since = decode_row(dict(row), AuditEntry), self._elapsed.now(connection) - merge_within
            if _merge(connection, entry, since=since, merge_any=True) is not None:
                connection.execute("DELETE FROM audit WHERE id = ?", (entry_id,))

        await self._run(job)

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


def _merge(connection: sqlite3.Connection, entry: AuditEntry, *, since: float, merge_any: bool) -> int | None:
    newest = connection.execute(_NEWEST, (entry.app_id, entry.id, _RECENT if merge_any else 1))
    for row in newest:
        known = decode_row(dict(row), AuditEntry)
        alike = (known.action, known.result) == (entry.action, entry.result)
        if row["elapsed"] < since or not alike:
            continue
        rest = [(getattr(known, name), getattr(entry, name)) for name in ("app_name", "identity", "target")]
        if not merge_any and any(one != other for one, other in rest[1:]):
            continue
        values = [one if one == other or not merge_any else "" for one, other in rest]
        connection.execute(_INCREMENT, (entry.count, entry.last_at, *values, known.id))
        return known.id
    return None


def _insert(connection: sqlite3.Connection, entry: AuditEntry, *, elapsed: float, share: str) -> int:
    values = msgspec.structs.asdict(entry) | {"elapsed": elapsed, "share": share}
    entry_id = connection.execute(_ADD, values).lastrowid
    if entry_id is None:  # sqlite3 sets it after every INSERT
        raise AssertionError
    return entry_id


def _prune(connection: sqlite3.Connection, share: str, entry_id: int) -> None:
    limits = {OWNER_SHARE: MAX_OWNER_ENTRIES, NO_TOKEN_SHARE: MAX_NO_TOKEN_ENTRIES}
    connection.execute(_DROP_OLDEST, (share, share, limits.get(share, MAX_APP_ENTRIES)))
    if share in limits or entry_id % _COUNTED_EVERY:
        return
    counts: dict[str, int] = dict(map(tuple, connection.execute(_COUNT_APPS, (OWNER_SHARE, NO_TOKEN_SHARE))))
    if sum(counts.values()) > MAX_APPS_ENTRIES:
        level = _level(sorted(counts.values()), MAX_APPS_ENTRIES)
        for one in (name for name, count in counts.items() if count > level):
            connection.execute(_DROP_OLDEST, (one, one, level))


def _level(counts: list[int], total: int) -> int:
    """Return the largest number that each may keep so that all keep at most ``total``; ``counts`` is sorted."""
    left = total
    for place, count in enumerate(counts):
        fair = left // (len(counts) - place)
        if count > fair:
            return fair
        left -= count
    return max(counts, default=0)
