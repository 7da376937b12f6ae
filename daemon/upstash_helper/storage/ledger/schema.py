"""The ledger's tables, and migrations from older formats."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger import backup
from upstash_helper.storage.ledger.errors import LedgerDamaged, LedgerRefused, error_kind

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger(__name__)

Migration = tuple[str, ...]
"""The statements that change one version to the next."""

# In the file's header (PRAGMA application_id): "UHlg".
APPLICATION_ID: Final = 0x55486C67

# Never change a migration that was released: append another one.
MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        """
        CREATE TABLE apps (
            id TEXT PRIMARY KEY NOT NULL,
            name TEXT NOT NULL,
            identity_kind TEXT NOT NULL,
            identity_name TEXT NOT NULL,
            identity_program TEXT NOT NULL,
            identity_pid INTEGER,
            scopes TEXT NOT NULL,
            all_databases INTEGER NOT NULL,
            digest BLOB NOT NULL,
            created_at REAL NOT NULL,
            last_used_at REAL NOT NULL,
            expires_at REAL,
            mismatches INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE pairings (
            id TEXT PRIMARY KEY NOT NULL,
            digest BLOB NOT NULL,
            user_code TEXT NOT NULL,
            identity_kind TEXT NOT NULL,
            identity_name TEXT NOT NULL,
            identity_program TEXT NOT NULL,
            identity_pid INTEGER,
            name TEXT NOT NULL,
            scopes TEXT NOT NULL,
            reason TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            decision TEXT NOT NULL
        )
        """,
        "CREATE INDEX pairings_expires_at ON pairings (expires_at)",
        """
        CREATE TABLE blocks (
            id TEXT PRIMARY KEY NOT NULL,
            identity_key TEXT UNIQUE NOT NULL,
            identity_kind TEXT NOT NULL,
            identity_name TEXT NOT NULL,
            identity_program TEXT NOT NULL,
            identity_pid INTEGER,
            blocked_at REAL NOT NULL
        )
        """,
        """
        CREATE TABLE creates (
            caller TEXT NOT NULL,
            key TEXT NOT NULL,
            fingerprint BLOB NOT NULL,
            name TEXT NOT NULL,
            sent_at REAL NOT NULL,
            state TEXT NOT NULL,
            database_id TEXT,
            result TEXT,
            PRIMARY KEY (caller, key)
        )
        """,
        "CREATE INDEX creates_sent_at ON creates (sent_at)",
        "CREATE INDEX creates_database_id ON creates (database_id) WHERE database_id IS NOT NULL",
        "CREATE TABLE creations (database_id TEXT PRIMARY KEY NOT NULL, owner TEXT NOT NULL)",
        # AUTOINCREMENT: ids of deleted rows are not reused, so the largest id is the newest entry.
        """
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            last_at REAL NOT NULL,
            count INTEGER NOT NULL,
            app_id TEXT NOT NULL,
            app_name TEXT NOT NULL,
            identity TEXT NOT NULL,
            action TEXT NOT NULL,
            target TEXT NOT NULL,
            result TEXT NOT NULL
        )
        """,
        "CREATE INDEX audit_app_id ON audit (app_id)",
        "CREATE INDEX audit_app_name ON audit (app_name)",
        "CREATE INDEX audit_last_at ON audit (last_at)",
    ),
    # Ages no longer depend on the machine's clock, and each app has a share of the audit.
    (
        """
        CREATE TABLE elapsed (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            elapsed REAL NOT NULL,
            wall REAL NOT NULL
        )
        """,
        # The count starts at 0 with the last use of any app, so that an app keeps the idle time that it had.
        "INSERT INTO elapsed SELECT 1, 0.0, max(last_used_at) FROM apps HAVING max(last_used_at) IS NOT NULL",
        "ALTER TABLE apps ADD COLUMN used_elapsed REAL NOT NULL DEFAULT 0.0",
        "ALTER TABLE apps ADD COLUMN ends_elapsed REAL",
        """
        UPDATE apps SET
            used_elapsed = last_used_at - (SELECT wall FROM elapsed),
            ends_elapsed = expires_at - (SELECT wall FROM elapsed)
        """,
        "ALTER TABLE creates ADD COLUMN sent_elapsed REAL NOT NULL DEFAULT 0.0",
        "DROP INDEX creates_sent_at",
        "CREATE INDEX creates_sent_elapsed ON creates (sent_elapsed)",
        # Entries of older versions are kept for another 90 days, if there is room for them. What is removed goes first:
        # an older version may have left hundreds of megabytes.
        "DROP INDEX audit_app_name",
        "DROP INDEX audit_last_at",
        "ALTER TABLE audit ADD COLUMN elapsed REAL NOT NULL DEFAULT 0.0",
        "ALTER TABLE audit ADD COLUMN share TEXT NOT NULL DEFAULT ''",
        """
        DELETE FROM audit WHERE id IN (
            SELECT id FROM (
                SELECT id, app_id, row_number() OVER (PARTITION BY app_id ORDER BY id DESC) AS place FROM audit
                WHERE action NOT IN ('app.let_in', 'app.sign_out', 'token.misused')
            )
            WHERE place > CASE app_id WHEN 'owner' THEN 10000 ELSE 2000 END
        )
        """,
        """
        UPDATE audit SET
            share = CASE
                WHEN app_id = 'owner' OR action IN ('app.let_in', 'app.sign_out', 'token.misused') THEN 'owner'
                WHEN app_id LIKE 'pairing:%' THEN 'none'
                ELSE app_id
            END,
            app_name = substr(app_name, 1, 64), identity = substr(identity, 1, 300), target = substr(target, 1, 200)
        """,
        "CREATE INDEX audit_share ON audit (share)",
        "CREATE INDEX audit_elapsed ON audit (elapsed)",
        """
        DELETE FROM audit WHERE share = 'none' AND id NOT IN (
            SELECT id FROM audit WHERE share = 'none' ORDER BY id DESC LIMIT 500
        )
        """,
        """
        DELETE FROM audit WHERE share NOT IN ('owner', 'none') AND id NOT IN (
            SELECT id FROM audit WHERE share NOT IN ('owner', 'none') ORDER BY id DESC LIMIT 6000
        )
        """,
    ),
    # What makes the path of a program doubtful, and which other programs may have sent the request: lists as JSON.
    tuple(
        f"ALTER TABLE {table} ADD COLUMN identity_{column} TEXT NOT NULL DEFAULT '[]'"
        for table in ("apps", "pairings", "blocks")
        for column in ("warnings", "others")
    ),
    # The account in which a database was created; empty: an earlier version did not record it.
    ("ALTER TABLE creations ADD COLUMN account TEXT NOT NULL DEFAULT ''",),
    # Tokens for local agents are accepted at /mcp only. They come with refresh tokens, and their clients register.
    (
        *(f"ALTER TABLE {table} ADD COLUMN audience TEXT NOT NULL DEFAULT 'api'" for table in ("apps", "pairings")),
        """
        CREATE TABLE oauth_clients (
            id TEXT PRIMARY KEY NOT NULL,
            name TEXT NOT NULL,
            identity_kind TEXT NOT NULL,
            identity_name TEXT NOT NULL,
            identity_program TEXT NOT NULL,
            identity_pid INTEGER,
            identity_warnings TEXT NOT NULL,
            identity_others TEXT NOT NULL,
            redirect_uris TEXT NOT NULL,
            created_at REAL NOT NULL,
            used_at REAL NOT NULL
        )
        """,
        """
        CREATE TABLE oauth_tokens (
            family TEXT PRIMARY KEY NOT NULL,
            digest BLOB NOT NULL,
            client_id TEXT NOT NULL,
            app_id TEXT NOT NULL,
            resource TEXT NOT NULL,
            created_at REAL NOT NULL
        )
        """,
        "CREATE INDEX oauth_tokens_app_id ON oauth_tokens (app_id)",
        # The folders in which an agent may write variables, as JSON.
        "ALTER TABLE apps ADD COLUMN folders TEXT NOT NULL DEFAULT '[]'",
    ),
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the changes of the block, or roll them back if it raises."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors roll back on their own
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection, migrations: tuple[Migration, ...], name: str) -> None:
    """
    Check that a database is empty or an intact ledger of a supported version. Nothing is changed.

    Args:
        connection: To the database.
        migrations: The supported versions.
        name: The database's path, for messages.

    Raises:
        LedgerDamaged: If it is damaged, or not a ledger.
        LedgerRefused: If it is of a later version.
        sqlite3.Error: If it cannot be read.
    """
    tables = _number(connection, "SELECT count(*) FROM sqlite_master")
    version = _number(connection, "PRAGMA user_version")
    if (tables or version) and (not version or _number(connection, "PRAGMA application_id") != APPLICATION_ID):
        raise LedgerDamaged
    if version > len(migrations):
        message = (
            f"{name} was written by a newer version of upstash-helper (its format is {version}, and this version "
            f"supports {len(migrations)}). Install the newer version again, or move the file away: apps must then "
            f"request access again.{_downgrade_advice(name, len(migrations))}"
        )
        raise LedgerRefused(message)
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise LedgerDamaged


def _downgrade_advice(name: str, version: int) -> str:
    copy = backup.path_of(Path(name), version)
    if not copy.is_file():
        return ""
    return f" Or replace it with {copy}, the last copy in this format; apps that you have revoked since regain access."


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...], path: Path | None) -> None:
    """
    Apply the missing migrations, all or none. A copy of an older file is made first, and kept.

    Args:
        connection: To a database that passed ``check``.
        migrations: All migrations, from the first version.
        path: The database's file; None for memory.

    Raises:
        LedgerRefused: If a migration fails. The file is unchanged.
        OSError: If there is no space for the copy.
        sqlite3.Error: If the disk is full or fails. The file is unchanged.
    """
    version = _number(connection, "PRAGMA user_version")
    if version == len(migrations):
        return
    if path is None or version == 0:
        _apply(connection, migrations, version)
        return
    copy = backup.make(connection, path, version)
    try:
        _apply(connection, migrations, version)
    except Exception as error:
        if error_kind(error, path) not in {"other", "damaged"}:
            raise  # such as a full disk: SQLite has rolled back
        if isinstance(error, _TransactionEnded):
            backup.restore(connection, copy)
        _log.error("ledger_migration_failed", extra={"error": type(error).__name__})
        message = (
            f"{path} could not be migrated from format {version} to {len(migrations)}, which this version of "
            "upstash-helper needs. It is unchanged: install the previous version again, and please report this."
        )
        raise LedgerRefused(message) from None
    backup.prune(path)


class _TransactionEnded(Exception):
    """A migration has ended its transaction, so that a rollback does not undo all of it."""


def _apply(connection: sqlite3.Connection, migrations: tuple[Migration, ...], version: int) -> None:
    with transaction(connection):
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
                if not connection.in_transaction:
                    raise _TransactionEnded
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        # Do not commit a damaged database.
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise LedgerDamaged


def _number(connection: sqlite3.Connection, query: str) -> int:
    number: int = connection.execute(query).fetchone()[0]
    return number
