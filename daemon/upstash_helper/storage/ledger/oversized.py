"""
Copies what is kept of a ledger whose audit an earlier version has let grow.

The first format keeps 100,000 entries of any length, which can be half a gigabyte. Checking, copying, and migrating all
of that takes longer than a call may take. So only what the current version keeps is read, which is a small part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger.audit import (
    MAX_APP_ENTRIES,
    MAX_APPS_ENTRIES,
    MAX_NO_TOKEN_ENTRIES,
    MAX_OWNER_ENTRIES,
)
from upstash_helper.storage.ledger.schema import APPLICATION_ID, MIGRATIONS, transaction

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

LARGE: Final = 32 * 1024 * 1024
"""Bytes. A smaller file is checked, copied, and migrated as it is: that takes less than a second."""
FORMAT: Final = 1
"""The format that is copied. Later ones limit the audit."""

_OTHER_TABLES: Final = ("apps", "pairings", "blocks", "creates", "creations")
# Its version keeps as many. A file with more has not been pruned yet.
_MOST_ENTRIES: Final = 100_000
# The same as the migration to the second format, but for each entry it reads little more than its ID.
_COPY_AUDIT: Final = """
    WITH shared AS (
        SELECT id, CASE
            WHEN app_id = 'owner' OR action IN ('app.let_in', 'app.sign_out', 'token.misused') THEN 'owner'
            WHEN app_id GLOB 'pairing:*' THEN 'none'
            ELSE app_id
        END AS share
        FROM old.audit WHERE id > (SELECT max(id) FROM old.audit) - :most
    ),
    placed AS (SELECT id, share, row_number() OVER (PARTITION BY share ORDER BY id DESC) AS place FROM shared),
    fair AS (
        SELECT id, share IN ('owner', 'none') AS is_reserved,
            row_number() OVER (PARTITION BY share IN ('owner', 'none') ORDER BY id DESC) AS number
        FROM placed WHERE place <= CASE share WHEN 'owner' THEN :owner WHEN 'none' THEN :none ELSE :app END
    )
    INSERT INTO main.audit (id, at, last_at, count, app_id, app_name, identity, action, target, result)
    SELECT id, at, last_at, count, app_id, substr(app_name, 1, 64), substr(identity, 1, 300), action,
        substr(target, 1, 200), result
    FROM old.audit WHERE id IN (SELECT id FROM fair WHERE is_reserved OR number <= :apps)
"""


def is_oversized(connection: sqlite3.Connection, path: Path) -> bool:
    """
    Return whether what is kept of a ledger has to be copied.

    Args:
        connection: To its file.
        path: The file.

    Raises:
        sqlite3.Error: If it cannot be read.
    """
    if path.stat().st_size < LARGE:
        return False
    read = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return read == [APPLICATION_ID, FORMAT]


def copy_kept(source: str, target: sqlite3.Connection) -> None:
    """
    Copy what is kept of a ledger to an empty database, which has the same format then.

    Args:
        source: The URI of the ledger's file. It is not changed.
        target: The connection to the empty database.

    Raises:
        sqlite3.Error: If the file cannot be read, or the copy cannot be written.
    """
    limits = {
        "most": _MOST_ENTRIES,
        "owner": MAX_OWNER_ENTRIES,
        "none": MAX_NO_TOKEN_ENTRIES,
        "app": MAX_APP_ENTRIES,
        "apps": MAX_APPS_ENTRIES,
    }
    target.execute("ATTACH ? AS old", (source,))
    with transaction(target):
        for statement in MIGRATIONS[FORMAT - 1]:
            target.execute(statement)
        for table in _OTHER_TABLES:
            target.execute(f"INSERT INTO main.{table} SELECT * FROM old.{table}")  # noqa: S608 - a name from above
        target.execute(_COPY_AUDIT, limits)
        target.execute(f"PRAGMA main.application_id = {APPLICATION_ID}")
        target.execute(f"PRAGMA main.user_version = {FORMAT}")
    target.execute("DETACH old")
