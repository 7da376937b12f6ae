"""What the sandbox stores about databases and their backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal

import msgspec

Platform = Literal["aws", "gcp"]
Plan = Literal[
    "free", "payg", "fixed_250mb", "fixed_1gb", "fixed_5gb", "fixed_10gb", "fixed_50gb", "fixed_100gb", "fixed_500gb"
]

MIB = 1024 * 1024
MEMORY_LIMITS: dict[Plan, int] = {
    "free": 256 * MIB,
    "payg": 3072 * MIB,
    "fixed_250mb": 250 * MIB,
    "fixed_1gb": 1024 * MIB,
    "fixed_5gb": 5 * 1024 * MIB,
    "fixed_10gb": 10 * 1024 * MIB,
    "fixed_50gb": 50 * 1024 * MIB,
    "fixed_100gb": 100 * 1024 * MIB,
    "fixed_500gb": 500 * 1024 * MIB,
}
"""The maximum size of the data on each plan, in bytes."""
MAX_REQUEST_BYTES = 10 * MIB
"""The maximum size of a command, and of a request to the REST API, on every plan."""
MAX_RECORD_BYTES = 100 * MIB
"""The maximum size of a key's value."""


class NewDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A database to create."""

    name: str
    platform: Platform
    plan: Plan
    primary_region: str
    read_regions: Sequence[str]
    budget: int
    eviction: bool
    tls: bool


class DatabaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One database. Its secrets are stored in plaintext, because the API returns them on every read."""

    id: str
    account_id: str
    """The account or team that it belongs to."""
    email: str
    name: str
    platform: Platform
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


class Backup(msgspec.Struct, kw_only=True):
    """A backup of a database. The Developer API returns it with the same fields."""

    database_id: str
    customer_id: str
    name: str
    backup_id: str
    creation_time: int
    state: Literal["pending", "completed", "failed"]
    backup_size: int
    daily_backup: str = "false"
    hourly_backup: str = "false"
    internal_backup_tag: str = ""


class DatabaseRecords:
    """The tables of databases and backups."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def databases(self) -> list[DatabaseRecord]:
        """Return all databases, oldest first."""
        rows = self._connection.execute("SELECT record FROM databases ORDER BY rowid")
        return [msgspec.json.decode(record, type=DatabaseRecord) for (record,) in rows]

    def put(self, record: DatabaseRecord) -> None:
        """Add a database, or replace its record."""
        # Not INSERT OR REPLACE: it would delete the old row, and the database's backups with it.
        self._connection.execute(
            "INSERT INTO databases VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
            (record.id, msgspec.json.encode(record)),
        )

    def remove(self, database_id: str) -> None:
        """Remove a database and its backups."""
        self._connection.execute("DELETE FROM databases WHERE id = ?", (database_id,))

    def backups(self, database_id: str) -> list[Backup]:
        """Return the backups of a database, oldest first."""
        rows = self._connection.execute(
            "SELECT record FROM backups WHERE database_id = ? ORDER BY rowid", (database_id,)
        )
        return [msgspec.json.decode(record, type=Backup) for (record,) in rows]

    def add_backup(self, backup: Backup) -> None:
        """Add a backup."""
        self._connection.execute(
            "INSERT INTO backups VALUES (?, ?, ?)", (backup.backup_id, backup.database_id, msgspec.json.encode(backup))
        )

    def remove_backup(self, backup_id: str) -> None:
        """Remove a backup."""
        self._connection.execute("DELETE FROM backups WHERE id = ?", (backup_id,))
