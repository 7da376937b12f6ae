"""Backups: the server's snapshot files, stored next to its data."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.records import Backup, DatabaseRecords
from upstash_helper.system import open_files


class Backups:
    """Creates, restores, and deletes backups."""

    def __init__(self, *, databases: Databases, records: DatabaseRecords) -> None:
        self._databases = databases
        self._records = records

    def list(self, database: Database) -> list[Backup]:
        """Return the backups of a database, oldest first."""
        return self._records.backups(database.record.id)

    async def create(self, database: Database, name: str) -> Backup:
        """Back up the database's current data."""
        backup_id = str(uuid.uuid4())
        async with self._databases.change(database):
            file = _file(database, backup_id)
            file.parent.mkdir(mode=0o700, exist_ok=True)
            await database.server.snapshot(file)
            backup = Backup(
                database_id=database.record.id,
                customer_id=database.record.email,
                name=name,
                backup_id=backup_id,
                creation_time=int(time.time()),
                state="completed",
                backup_size=(await asyncio.to_thread(file.stat)).st_size,
            )
            self._records.add_backup(backup)
        return backup

    async def restore(self, database: Database, backup_id: str) -> Backup:
        """
        Replace the database's data with a backup's.

        Raises:
            RequestError: With 404 if the backup does not exist.
        """
        async with self._databases.change(database):
            backup = self._get(database, backup_id)
            await database.server.restore(_file(database, backup_id))
        return backup

    async def delete(self, database: Database, backup_id: str) -> Backup:
        """
        Delete a backup.

        Raises:
            RequestError: With 404 if the backup does not exist.
        """
        async with database.lock:
            backup = self._get(database, backup_id)
            self._records.remove_backup(backup_id)
            await asyncio.to_thread(open_files.remove, _file(database, backup_id))
        return backup

    def _get(self, database: Database, backup_id: str) -> Backup:
        for backup in self.list(database):
            if backup.backup_id == backup_id:
                return backup
        raise RequestError(404, "backup not found")


def _file(database: Database, backup_id: str) -> Path:
    return database.folder / "backups" / f"{backup_id}.rdb"
