"""The databases of all accounts: each a record, a folder and a running server."""

from __future__ import annotations

import asyncio
import hmac
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Any

import msgspec
from msgspec import UNSET

from upstash_helper.sandbox.developer_api import wire
from upstash_helper.sandbox.developer_api.accounts import Account
from upstash_helper.sandbox.errors import PortTaken, Refused, ServerFailed
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.records import DatabaseRecord, Records
from upstash_helper.sandbox.redis.resp import Connection
from upstash_helper.sandbox.redis.servers import DatabaseServer, Passwords, Role, Setup, free_ports

MOST_AT_ONCE = 8
"""How many servers are started at the same time."""
MOST_DATABASES = 100
"""How many databases one account may have. Each is a process."""


class Database:
    """One database: what is known of it, and its server."""

    def __init__(self, record: DatabaseRecord, server: DatabaseServer, folder: Path) -> None:
        self.record = record
        self.server = server
        self.folder = folder
        self.lock = asyncio.Lock()
        """Held while something changes: one change after the other."""


class Databases:
    """Makes, finds, changes and deletes databases."""

    def __init__(
        self,
        *,
        host: str,
        folder: Folder,
        records: Records,
        new_server: Callable[[str], DatabaseServer],
        say: Callable[[str], None],
    ) -> None:
        """
        Args:
            host: Where the servers listen.
            folder: Where their data is.
            records: What is remembered.
            new_server: Makes the server of the database with this id, not started yet.
            say: Tells the person who runs the sandbox.
        """
        self._host = host
        self._folder = folder
        self._records = records
        self._new_server = new_server
        self._say = say
        self._databases: dict[str, Database] = {}

    # --- all together ---

    async def start(self) -> None:
        """Start the servers of all databases. One that does not start stays listed, and is started when it is used."""
        gate = asyncio.Semaphore(MOST_AT_ONCE)
        for record in self._records.databases():
            self._databases[record.id] = self._assemble(record)

        async def start_one(database: Database) -> None:
            async with gate:
                try:
                    await self._start_server(database)
                    self._records.put(database.record)
                except ServerFailed as error:
                    self._say(f"The database {database.record.name} did not start: {error}")

        await asyncio.gather(*map(start_one, self._databases.values()))
        self._remove_strays()

    async def stop(self) -> None:
        """Save and stop all servers."""
        await asyncio.gather(*(database.server.stop() for database in self._databases.values()))

    # --- finding ---

    def of(self, account: Account) -> list[Database]:
        """Return the account's databases, oldest first."""
        return [database for database in self._databases.values() if database.record.account_id == account.id]

    def get(self, account: Account, database_id: str) -> Database:
        """
        Return one of the account's databases.

        Raises:
            Refused: With 404 if the account has no such database.
        """
        database = self._databases.get(database_id)
        if database is None or database.record.account_id != account.id:
            raise Refused(404, "database not found")
        return database

    def by_token(self, token: str) -> tuple[Database, Role] | None:
        """Return the database whose REST token this is, and what it may do, or None."""
        for database in self._databases.values():
            if _same(token, database.record.rest_token):
                return database, "default"
            if _same(token, database.record.read_only_rest_token):
                return database, "default_ro"
        return None

    # --- making and deleting ---

    async def create(self, account: Account, wanted: wire.CreateDatabase) -> Database:
        """
        Make a database and start its server.

        Raises:
            Refused: If what is wanted does not go together, or the account has too many.
        """
        if len(self.of(account)) >= MOST_DATABASES:
            raise Refused(400, f"database limit reached: an account can have at most {MOST_DATABASES} databases")
        record = DatabaseRecord(
            id=str(uuid.uuid4()),
            account_id=account.id,
            email=account.email,
            name=_name_of(wanted),
            platform=_platform_of(wanted),
            plan=wanted.plan,
            primary_region=wanted.primary_region,
            read_regions=read_regions(wanted.primary_region, wanted.read_regions),
            budget=wanted.budget,
            created_at=int(time.time()),
            port=0,
            tls=wanted.tls,
            eviction=wanted.eviction,
            **new_secrets(),
        )
        database = self._assemble(record)
        try:
            await self._start_server(database)
        except BaseException:
            # Cancelled too: nobody else knows of this server.
            await self._remove(database)
            raise
        self._records.put(database.record)
        self._databases[record.id] = database
        return database

    async def delete(self, database: Database) -> None:
        """Stop the server, and remove its files and backups."""
        del self._databases[database.record.id]
        async with database.lock:
            self._records.remove(database.record.id)
            await self._remove(database)

    # --- changing ---

    @asynccontextmanager
    async def change(self, database: Database, **changes: Any) -> AsyncIterator[Database]:
        """
        Change the record, once what is done inside has succeeded.

        Raises:
            Refused: With 404 if the database was deleted meanwhile.
        """
        async with database.lock:
            if database.record.id not in self._databases:
                raise Refused(404, "database not found")
            if not database.server.running:
                # Somebody has ended it, or it failed at the start.
                await self._start_server(database)
            yield database
            database.record = msgspec.structs.replace(database.record, **changes)
            self._records.put(database.record)

    async def connect(self, database: Database, role: Role) -> Connection:
        """Return a fresh connection to the database's server."""
        if not database.server.running:
            async with self.change(database):
                pass
        return await database.server.connect(role)

    def _assemble(self, record: DatabaseRecord) -> Database:
        return Database(record, self._new_server(record.id), self._folder.database(record.id))

    async def _start_server(self, database: Database) -> None:
        record = database.record
        taken = frozenset(other.record.port for other in self._databases.values()) - {record.port}
        for port in [*([record.port] if record.port else []), *free_ports(self._host, avoid=taken)]:
            try:
                await database.server.start(setup_of(record, self._host, port))
            except PortTaken:
                continue
            if record.port not in {0, port}:
                self._say(f"Port {record.port} is taken: the database {record.name} is at port {port} from now on.")
            database.record = msgspec.structs.replace(record, port=port)
            return
        raise ServerFailed("no port is free")

    @staticmethod
    async def _remove(database: Database) -> None:
        await database.server.kill()
        await asyncio.to_thread(shutil.rmtree, database.folder, ignore_errors=True)

    def _remove_strays(self) -> None:
        """Remove the folders of databases that were being made or deleted when the sandbox crashed."""
        for path in self._folder.databases.iterdir():
            if path.name not in self._databases:
                shutil.rmtree(path, ignore_errors=True)


def setup_of(record: DatabaseRecord, host: str, port: int) -> Setup:
    """Return how the server of a database is to be."""
    return Setup(
        host=host,
        port=port,
        passwords=passwords_of(record),
        memory_limit=wire.MEMORY_OF[record.plan],
        eviction=record.eviction,
        tls=record.tls,
    )


def passwords_of(record: DatabaseRecord) -> Passwords:
    """Return the passwords of the two users. Reading only is done with the read-only token, as at Upstash."""
    return Passwords(default=record.password, read_only=record.read_only_rest_token)


def read_regions(primary: str, wanted: Sequence[str]) -> tuple[str, ...]:
    """
    Return the read regions that go with a primary region.

    Raises:
        Refused: If the primary region is among them, or one is named twice.
    """
    if primary in wanted:
        raise Refused(400, "the primary region cannot be a read region too")
    if len(set(wanted)) != len(wanted):
        raise Refused(400, "a read region is named twice")
    return tuple(wanted)


def new_secrets() -> Any:
    """Return a new password and new REST tokens."""
    return {
        "password": token_hex(16),
        "rest_token": token_urlsafe(40),
        "read_only_rest_token": token_urlsafe(40),
    }


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode())


def _name_of(wanted: wire.CreateDatabase) -> str:
    name = wanted.database_name or wanted.name
    if name is UNSET or not isinstance(name, str):
        raise Refused(400, "invalid request body: database_name is required")
    return name


def _platform_of(wanted: wire.CreateDatabase) -> Any:
    on_gcp = wanted.primary_region in wire.GCP_REGIONS
    if wanted.platform is UNSET and wanted.region is UNSET:
        raise Refused(400, "invalid request body: platform is required")
    if wanted.platform is not UNSET and (wanted.platform == "gcp") != on_gcp:
        raise Refused(400, f"region {wanted.primary_region} is not a region of platform {wanted.platform}")
    return "gcp" if on_gcp else "aws"
