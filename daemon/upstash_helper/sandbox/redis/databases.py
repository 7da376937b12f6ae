"""The databases of all accounts. Each has a record, a folder, and a server that starts when it is first used."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import Any

import msgspec

from upstash_helper.sandbox.accounts import Owner
from upstash_helper.sandbox.errors import PortInUse, RequestError, ServerError
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.records import MEMORY_LIMITS, DatabaseRecord, DatabaseRecords, NewDatabase
from upstash_helper.sandbox.redis.resp import Connection, Reply
from upstash_helper.sandbox.redis.servers import (
    NO_ADDRESS,
    DatabaseServer,
    Passwords,
    Role,
    ServerConfig,
    User,
    ports_to_try,
)
from upstash_helper.system import open_files

MAX_DATABASES = 100
"""Per account or team. Each database in use is a process."""


Commands = list[list[bytes]]
Replies = list[Reply]


class Database:
    """One database: its record, its server, and its folder."""

    def __init__(self, record: DatabaseRecord, server: DatabaseServer, folder: Path) -> None:
        self.record = record
        self.server = server
        self.folder = folder
        self.lock = asyncio.Lock()
        """Held during a change, so that changes are made one at a time."""


class Databases:
    """Creates, finds, changes, and deletes databases."""

    def __init__(
        self,
        *,
        host: str,
        folder: Folder,
        records: DatabaseRecords,
        new_server: Callable[[str], DatabaseServer],
        report: Callable[[str], None],
    ) -> None:
        """
        Args:
            host: The address that the servers listen on.
            folder: The data folder.
            records: The databases' records.
            new_server: Creates the server of the database with this ID, without starting it.
            report: Shows a message to the person who runs the sandbox.
        """
        self._host = host
        self._folder = folder
        self._records = records
        self._new_server = new_server
        self._report = report
        self._databases: dict[str, Database] = {}

    @property
    def tls_ca(self) -> Path:
        """The certificate that clients of databases with TLS must trust."""
        return self._folder.ca_certificate

    # --- all databases ---

    async def start(self) -> None:
        """
        Listen on the ports of all databases. Their servers start later, when they are first used.

        A database without a port stays listed; its next use gives it one.
        """
        for record in self._records.databases():
            self._databases[record.id] = self._new_database(record)

        async def start_one(database: Database) -> None:
            port = database.record.port
            try:
                await self._listen(database)
            except ServerError as error:
                self._report(f"The database {database.record.name} did not start: {error}")
            if database.record.port != port:
                self._records.put(database.record)

        await asyncio.gather(*map(start_one, self._databases.values()))
        self._remove_orphaned_folders()

    async def stop(self) -> None:
        """Stop all servers after they have saved their data."""
        await asyncio.gather(*(database.server.stop() for database in self._databases.values()))

    # --- lookup ---

    def list(self, owner: Owner) -> list[Database]:
        """Return the owner's databases, oldest first."""
        return [database for database in self._databases.values() if database.record.account_id == owner.id]

    def count(self, owner_id: str) -> int:
        """Return how many databases an account or team has."""
        return sum(database.record.account_id == owner_id for database in self._databases.values())

    def require_room(self, owner_id: str) -> None:
        """
        Check that an account or team can have one more database.

        Raises:
            RequestError: If it has the maximum number.
        """
        if self.count(owner_id) >= MAX_DATABASES:
            raise RequestError(400, f"database limit reached: an account can have at most {MAX_DATABASES} databases")

    def get(self, owner: Owner, database_id: str) -> Database:
        """
        Return one of the owner's databases.

        Raises:
            RequestError: With 404 if the owner has no database with this ID.
        """
        database = self._databases.get(database_id)
        if database is None or database.record.account_id != owner.id:
            raise RequestError(404, "database not found")
        return database

    def by_token(self, token: str) -> tuple[Database, Role] | None:
        """Return the database that a REST token belongs to, and the token's role; or None."""
        for database in self._databases.values():
            if _equal(token, database.record.rest_token):
                return database, "default"
            if _equal(token, database.record.read_only_rest_token):
                return database, "default_ro"
        return None

    def by_id(self, database_id: str) -> Database | None:
        """Return a database of any owner, or None."""
        return self._databases.get(database_id)

    # --- creating and deleting ---

    async def create(self, owner: Owner, new: NewDatabase) -> Database:
        """
        Create a database, to which clients can connect.

        Raises:
            RequestError: If the read regions are invalid, or the owner has the maximum number of databases.
        """
        self.require_room(owner.id)
        record = DatabaseRecord(
            id=str(uuid.uuid4()),
            account_id=owner.id,
            email=owner.email,
            name=new.name,
            platform=new.platform,
            plan=new.plan,
            primary_region=new.primary_region,
            read_regions=validate_read_regions(new.primary_region, new.read_regions),
            budget=new.budget,
            created_at=int(time.time()),
            port=0,
            tls=new.tls,
            eviction=new.eviction,
            **new_secrets(),
        )
        database = self._new_database(record)
        try:
            await self._listen(database)
        except BaseException:
            # Also if cancelled: nothing else has a reference to this server.
            await self._remove(database)
            raise
        self._records.put(database.record)
        self._databases[record.id] = database
        return database

    async def delete(self, database: Database) -> None:
        """Stop the server, and delete its files and backups."""
        del self._databases[database.record.id]
        async with database.lock:
            self._records.remove(database.record.id)
            await self._remove(database)

    # --- changing ---

    @asynccontextmanager
    async def change(self, database: Database, **changes: Any) -> AsyncIterator[Database]:
        """
        Run the body while no other change is made, then apply ``changes`` to the record if it succeeded.

        Raises:
            RequestError: With 404 if the database was deleted in the meantime.
        """
        async with database.lock:
            if database.record.id not in self._databases:
                raise RequestError(404, "database not found")
            if not database.server.listening:
                # It did not start with the sandbox.
                await self._listen(database)
            yield database
            database.record = msgspec.structs.replace(database.record, **changes)
            self._records.put(database.record)

    async def connect(self, database: Database, user: Role | User) -> Connection:
        """
        Return a new connection to the database's server.

        Raises:
            WrongPassword: If the server does not accept the user's password.
        """
        await self._require_listening(database)
        if isinstance(user, User):
            return await database.server.connect_as(user)
        return await database.server.connect(user)

    async def run(
        self, database: Database, user: Role | User, commands: Commands, source: bytes = NO_ADDRESS
    ) -> Replies:
        """Run commands as clients send them, and return their replies in order. See ``DatabaseServer``."""
        await self._require_listening(database)
        return await database.server.run(user, commands, source)

    async def _require_listening(self, database: Database) -> None:
        if not database.server.listening:
            async with self.change(database):
                pass

    def _new_database(self, record: DatabaseRecord) -> Database:
        database = Database(record, self._new_server(record.id), self._folder.database(record.id))
        database.server.dialect.rest_token_of = lambda user: rest_token_of(database.record, user)
        return database

    async def _listen(self, database: Database) -> None:
        record = database.record
        reserved = frozenset(other.record.port for other in self._databases.values()) - {record.port}
        for port in ports_to_try(self._host, record.port, avoid=reserved):
            try:
                await database.server.listen(config_of(record, self._host, port))
            except PortInUse:
                continue
            if record.port not in {0, port}:
                self._report(f"Port {record.port} is in use. The database {record.name} uses port {port} from now on.")
            database.record = msgspec.structs.replace(record, port=port)
            return
        raise ServerError("no free port was found")

    @staticmethod
    async def _remove(database: Database) -> None:
        await database.server.kill()
        await asyncio.to_thread(_remove_folder, database.folder)

    def _remove_orphaned_folders(self) -> None:
        """Remove the folders of databases that were being created or deleted when the sandbox crashed."""
        for path in self._folder.databases.iterdir():
            if path.name not in self._databases:
                _remove_folder(path)


def _remove_folder(folder: Path) -> None:
    """Remove the folder of a database. What cannot be removed now is removed at the next start."""
    with contextlib.suppress(OSError):
        open_files.remove_tree(folder)


def config_of(record: DatabaseRecord, host: str, port: int) -> ServerConfig:
    """Return the configuration of a database's server."""
    return ServerConfig(
        host=host,
        port=port,
        passwords=passwords_of(record),
        memory_limit=MEMORY_LIMITS[record.plan],
        eviction=record.eviction,
        tls=record.tls,
    )


def passwords_of(record: DatabaseRecord) -> Passwords:
    """Return the passwords of the two users. As at Upstash, the read-only REST token is the read-only password."""
    return Passwords(default=record.password, read_only=record.read_only_rest_token)


def rest_token_of(record: DatabaseRecord, user: bytes) -> bytes | None:
    """Return the REST token of a user that every database has, or None."""
    return {b"default": record.rest_token.encode(), b"default_ro": record.read_only_rest_token.encode()}.get(user)


def validate_read_regions(primary: str, regions: Sequence[str]) -> tuple[str, ...]:
    """
    Return the read regions if they are valid.

    Raises:
        RequestError: If they contain the primary region or a duplicate.
    """
    if primary in regions:
        raise RequestError(400, "the primary region cannot also be a read region")
    if len(set(regions)) != len(regions):
        raise RequestError(400, "a read region is listed twice")
    return tuple(regions)


def new_secrets() -> Any:
    """Return a new password and new REST tokens, as fields of a ``DatabaseRecord``."""
    return {
        "password": token_hex(16),
        "rest_token": token_urlsafe(40),
        "read_only_rest_token": token_urlsafe(40),
    }


def _equal(token: str, expected: str) -> bool:
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), expected.encode())
