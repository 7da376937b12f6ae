"""The account's databases: listing, reading, changing, deleting. Making one is in ``create``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from upstash_helper.broker.errors import HelperError, NotTheCreator, PartlyApplied, PreconditionFailed
from upstash_helper.broker.models import Change, Database, DatabaseSecrets, ResetPassword
from upstash_helper.protocol.literals import DatabaseEvent, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import CreateJournal
    from upstash_helper.broker.ports import Clock, DatabasesApi


class Region(msgspec.Struct, frozen=True):
    """A place where a database can be."""

    id: str
    name: str
    platform: Platform = "aws"
    read: bool = True
    primary: bool = True


REGIONS: Final = (
    Region("us-east-1", "N. Virginia, USA"),
    Region("us-east-2", "Ohio, USA"),
    Region("us-west-1", "N. California, USA"),
    Region("us-west-2", "Oregon, USA"),
    Region("ca-central-1", "Montreal, Canada"),
    Region("eu-central-1", "Frankfurt, Germany"),
    Region("eu-west-1", "Dublin, Ireland"),
    Region("eu-west-2", "London, United Kingdom"),
    Region("sa-east-1", "São Paulo, Brazil"),
    Region("ap-south-1", "Mumbai, India"),
    Region("ap-northeast-1", "Tokyo, Japan"),
    Region("ap-southeast-1", "Singapore"),
    Region("ap-southeast-2", "Sydney, Australia"),
    Region("af-south-1", "Cape Town, South Africa", read=False),
    Region("us-central1", "Iowa, USA", "gcp", read=False),
    Region("us-east4", "N. Virginia, USA", "gcp", read=False),
    Region("europe-west1", "St. Ghislain, Belgium", "gcp", read=False),
    Region("asia-northeast1", "Tokyo, Japan", "gcp", read=False),
)

_BY_ID: Final = {region.id: region for region in REGIONS}


def find(region_id: str) -> Region | None:
    """Return the region, or None if it is not one that is known here."""
    return _BY_ID.get(region_id)


# Long enough for a page that asks in bursts, short enough that a change made in the console is soon seen.
LIST_SECONDS: Final = 5.0


class DatabaseChanged(msgspec.Struct, frozen=True):
    """An event: a database was made, changed or deleted through the daemon."""

    change: DatabaseEvent
    id: str
    name: str | None


class Access(msgspec.Struct, frozen=True):
    """A database with all that a client needs."""

    database: Database
    secrets: DatabaseSecrets

    @property
    def redis_url(self) -> str:
        """The URL for a Redis client (the ``redis`` and ``rediss`` schemes of IANA's registry)."""
        database = self.database
        scheme = "rediss" if database.tls else "redis"
        password = quote(self.secrets.password.reveal(), safe="")
        host = f"[{database.host}]" if ":" in database.host else database.host
        return f"{scheme}://default:{password}@{host}:{database.port}"

    @property
    def env(self) -> dict[str, str]:
        """The variables that Upstash's own clients and most Redis clients read."""
        return {
            "UPSTASH_REDIS_REST_URL": self.database.rest_url,
            "UPSTASH_REDIS_REST_TOKEN": self.secrets.rest_token.reveal(),
            "REDIS_URL": self.redis_url,
        }


class Databases:
    """Reads through a short-lived cache with one fetch for all who wait; writes run to their end."""

    def __init__(
        self,
        *,
        connection: Connection,
        api: DatabasesApi,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._api = api
        self._events = events
        self._background = background
        self._clock = clock
        self._cached: tuple[Database, ...] | None = None
        self._cached_at = 0.0
        self._cached_for: object = None
        self._fetch: asyncio.Task[tuple[Database, ...]] | None = None

    async def list(self, *, refresh: bool = False) -> tuple[Database, ...]:
        """
        Return the databases, by name.

        Args:
            refresh: Ask Upstash although the last answer is young.

        Raises:
            HelperError: As ``Connection.call`` and ``DatabasesApi.list``.
        """
        # The answer belongs to the account that is connected now: another account never sees it.
        credential = await self._connection.usable()
        young = self._clock.monotonic() - self._cached_at < LIST_SECONDS
        if self._cached is not None and self._cached_for is credential and young and not refresh:
            return self._cached
        if self._fetch is None or self._cached_for is not credential:
            self._cached_for = credential
            self._fetch = self._background.begin(self._fetched())
        fetch = self._fetch
        try:
            return await asyncio.shield(fetch)
        finally:
            if self._fetch is fetch and fetch.done():
                self._fetch = None

    async def _fetched(self) -> tuple[Database, ...]:
        databases = await self._connection.call(self._api.list)
        ordered = tuple(sorted(databases, key=lambda database: (database.name.casefold(), database.id)))
        if self._fetch is asyncio.current_task():
            # A write that came in between has dropped this fetch: what it read may be from before the write.
            self._cached, self._cached_at = ordered, self._clock.monotonic()
        return ordered

    def forget_list(self) -> None:
        """Drop the cached answer after a write."""
        self._cached = self._fetch = None

    async def get(self, database_id: str) -> Database:
        """
        Return one database.

        Raises:
            DatabaseNotFound: If the account has none of that id.
            HelperError: As ``list``.
        """
        return (await self.access(database_id)).database

    async def access(self, database_id: str) -> Access:
        """
        Return one database with its secrets.

        Raises:
            DatabaseNotFound: If the account has none of that id.
            HelperError: As ``list``.
        """
        database, secrets = await self._connection.call(lambda credential: self._api.get(credential, database_id))
        return Access(database, secrets)

    async def change(
        self, database_id: str, changes: Sequence[tuple[str, Change]], *, still: Callable[[Database], bool] | None
    ) -> Database:
        """
        Make the changes in order, each named by its field, and return the database as it is then.

        Args:
            database_id: Which database.
            changes: The fields, and what to do for each.
            still: Whether the database is the one that the caller last saw (``If-Match``).

        Raises:
            PreconditionFailed: If it is not; nothing is changed.
            PartlyApplied: If one change failed after another was made.
            HelperError: As ``list``, and what ``DatabasesApi.change`` raises.
        """
        return await self._background.finish(self._change(database_id, changes, still))

    async def _change(
        self, database_id: str, changes: Sequence[tuple[str, Change]], still: Callable[[Database], bool] | None
    ) -> Database:
        await self._check(database_id, still)
        applied: list[str] = []
        try:
            for field, change in changes:
                await self._apply(database_id, change)
                applied.append(field)
        except HelperError as error:
            if not applied:
                raise
            message = f"Changed: {', '.join(applied)}. Then this failed: {error.detail}"
            raise PartlyApplied(message, applied=tuple(applied), cause=error) from error
        finally:
            if applied:
                self.forget_list()
                self._events.publish("database", DatabaseChanged("changed", database_id, None), needs="databases:read")
        return await self.get(database_id)

    async def _apply(self, database_id: str, change: Change) -> None:
        await self._connection.call(lambda credential: self._api.change(credential, database_id, change))

    async def reset_password(self, database_id: str) -> Database:
        """
        Give the database a new password and new tokens; the old ones stop working.

        Raises:
            HelperError: As ``change``.
        """
        return await self.change(database_id, [("password", ResetPassword())], still=None)

    async def delete(self, database_id: str, *, still: Callable[[Database], bool] | None) -> None:
        """
        Delete the database and all that is in it.

        Raises:
            PreconditionFailed: If it is not the one that the caller last saw.
            HelperError: As ``list``, and what ``DatabasesApi.delete`` raises.
        """
        await self._background.finish(self._delete(database_id, still))

    async def _delete(self, database_id: str, still: Callable[[Database], bool] | None) -> None:
        await self._check(database_id, still)
        await self._connection.call(lambda credential: self._api.delete(credential, database_id))
        self.forget_list()
        self._events.publish("database", DatabaseChanged("deleted", database_id, None), needs="databases:read")

    async def _check(self, database_id: str, still: Callable[[Database], bool] | None) -> None:
        if still is not None and not still(await self.get(database_id)):
            message = "The database has changed since it was read. Read it again and decide anew."
            raise PreconditionFailed(message)


class ReadCredentials:
    """An app reads those of databases that it created; of others only if the user granted all of them."""

    def __init__(self, *, databases: Databases, journal: CreateJournal) -> None:
        self._databases = databases
        self._journal = journal

    async def __call__(self, database_id: str, caller: Caller) -> Access:
        """
        Return a database with its secrets.

        Raises:
            NotTheCreator: If ``caller`` is an app that did not create it; Upstash is not asked then.
            DatabaseNotFound: If the account has none of that id.
            LedgerUnavailable: If it is not known who created it.
            HelperError: As ``Databases.access``.
        """
        if not caller.is_owner and not caller.all_databases:
            creator = await self._journal.creator(database_id)
            if creator is None or creator != caller.creator_key:
                message = (
                    "This app may read the credentials of databases that it created, and this is another one. The user "
                    'can allow all of them: ask with a new pairing, and let the user choose "all databases".'
                )
                raise NotTheCreator(message)
        return await self._databases.access(database_id)
