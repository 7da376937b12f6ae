"""The ledger's tables, and the way from older ones to them."""

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
"""The statements that lead from one version to the next."""

# In the file's header (PRAGMA application_id): "UHlg".
APPLICATION_ID: Final = 0x55486C67

# A step that was released is never changed: the next version is one more step.
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
        # AUTOINCREMENT: an id that was forgotten is not given again, and the largest one is the newest.
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
)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is done within, or undo all of it."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # not after some errors, which undo it by themselves
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection, migrations: tuple[Migration, ...], name: str) -> None:
    """
    Go on only with a sound ledger of a version that is known, or an empty database. Nothing is changed.

    Args:
        connection: To the database.
        migrations: Those that are known.
        name: What the database is called in a sentence.

    Raises:
        LedgerDamaged: If it is not sound, or no ledger.
        LedgerRefused: If it is of a later version.
        sqlite3.Error: If it cannot be read.
    """
    tables = _number(connection, "SELECT count(*) FROM sqlite_master")
    version = _number(connection, "PRAGMA user_version")
    if (tables or version) and (not version or _number(connection, "PRAGMA application_id") != APPLICATION_ID):
        raise LedgerDamaged
    if version > len(migrations):
        message = (
            f"{name} was written by a newer version of upstash-helper (its format is {version}, and this version knows "
            f"{len(migrations)}). Install the newer version again, or move the file away: apps must then ask to be let in "
            f"anew.{_way_back(name, len(migrations))}"
        )
        raise LedgerRefused(message)
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise LedgerDamaged


def _way_back(name: str, version: int) -> str:
    copy = backup.path_of(Path(name), version)
    if not copy.is_file():
        return ""
    return f" Or put {copy} in its place: what this version knew, the apps that you have revoked since among it."


def migrate(connection: sqlite3.Connection, migrations: tuple[Migration, ...], path: Path | None) -> None:
    """
    Take what steps are missing, all of them or none; of an older file a copy is made before, and kept.

    Args:
        connection: To a database that passed ``check``.
        migrations: All of them.
        path: The database's file; None for memory.

    Raises:
        LedgerRefused: If it cannot be done. The file is then as it was.
        OSError: If there is no room for the copy.
        sqlite3.Error: If the disk is full or fails; the file is then as it was.
    """
    version = _number(connection, "PRAGMA user_version")
    if version == len(migrations):
        return
    if path is None or version == 0:
        _take(connection, migrations, version)
        return
    copy = backup.make(connection, path, version)
    try:
        _take(connection, migrations, version)
    except Exception as error:
        if error_kind(error, path) not in {"other", "damaged"}:
            raise  # a full disk and the like: SQLite has undone all
        if isinstance(error, _Escaped):
            backup.restore(connection, copy)
        _log.error("ledger_migration_failed", extra={"error": type(error).__name__})
        message = (
            f"{path} could not be brought from format {version} to {len(migrations)}, which this version of upstash-helper "
            "needs. It is as it was before: install the version before again, and report this, please."
        )
        raise LedgerRefused(message) from None
    backup.prune(path)


class _Escaped(Exception):
    """A step has ended the transaction that it is a part of, so that undoing it does not undo all."""


def _take(connection: sqlite3.Connection, migrations: tuple[Migration, ...], version: int) -> None:
    with transaction(connection):
        for step in migrations[version:]:
            for statement in step:
                connection.execute(statement)
                if not connection.in_transaction:
                    raise _Escaped
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        # What is not sound is not committed.
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise LedgerDamaged


def _number(connection: sqlite3.Connection, query: str) -> int:
    number: int = connection.execute(query).fetchone()[0]
    return number
