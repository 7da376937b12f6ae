"""What is remembered of databases and their backups."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from upstash_helper.sandbox.developer_api.wire import Backup, Plan


class DatabaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One database. The API shows its secrets again and again, so they are kept as they are."""

    id: str
    account_id: str
    email: str
    name: str
    platform: Literal["aws", "gcp"]
    plan: Plan
    primary_region: str
    read_regions: tuple[str, ...]
    budget: int
    created_at: int
    port: int
    tls: bool
    eviction: bool
    password: str
    rest_token: str
    read_only_rest_token: str
    auto_upgrade: bool = False
    daily_backup: bool = False
    prod_pack: bool = False
    plan_changed_at: int = 0

    def __repr__(self) -> str:
        return f"DatabaseRecord({self.id})"


class Records:
    """The tables of databases and backups."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def databases(self) -> list[DatabaseRecord]:
        """Return all databases, oldest first."""
        rows = self._connection.execute("SELECT record FROM databases ORDER BY rowid")
        return [msgspec.json.decode(record, type=DatabaseRecord) for (record,) in rows]

    def put(self, record: DatabaseRecord) -> None:
        """Add a database, or replace what is known of it."""
        # Not INSERT OR REPLACE: that deletes the old row, and its backups with it.
        self._connection.execute(
            "INSERT INTO databases VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (record.id, msgspec.json.encode(record)),
        )

    def remove(self, database_id: str) -> None:
        """Forget a database and its backups."""
        self._connection.execute("DELETE FROM databases WHERE id = ?", (database_id,))

    def backups(self, database_id: str) -> list[Backup]:
        """Return the backups of a database, oldest first."""
        rows = self._connection.execute(
            "SELECT record FROM backups WHERE database_id = ? ORDER BY rowid", (database_id,)
        )
        return [msgspec.json.decode(record, type=Backup) for (record,) in rows]

    def add_backup(self, backup: Backup) -> None:
        """Remember a backup."""
        self._connection.execute(
            "INSERT INTO backups VALUES (?, ?, ?)", (backup.backup_id, backup.database_id, msgspec.json.encode(backup))
        )

    def remove_backup(self, backup_id: str) -> None:
        """Forget a backup."""
        self._connection.execute("DELETE FROM backups WHERE id = ?", (backup_id,))
