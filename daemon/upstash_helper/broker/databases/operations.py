"""The account's databases: listing, reading, changing, and deleting. For creating, see ``create``."""

from __future__ import annotations

import asyncio
from pathlib import PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec

from upstash_helper.broker.errors import (
    HelperError,
    NotTheCreator,
    PartlyApplied,
    PreconditionFailed,
    UpstreamRejected,
)
from upstash_helper.broker.identity import CURRENT_CALLER
from upstash_helper.broker.models import Change, Database, DatabaseSecrets, ResetPassword, SetReadRegions
from upstash_helper.protocol.literals import DatabaseEvent, Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import CreateJournal
    from upstash_helper.broker.ports import Clock, DatabasesApi


class Region(msgspec.Struct, frozen=True):
    """A region in which databases can be created."""

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


def explain_unknown_regions(error: UpstreamRejected, region_ids: Iterable[str]) -> UpstreamRejected:
    """Return ``error`` with the closest known region for the first that is not known."""
    from difflib import get_close_matches

    unknown = next((one for one in region_ids if find_region(one) is None), None)
    if unknown is None:
        return error
    match = get_close_matches(unknown, _BY_ID, n=1)
    hint = f'Did you mean "{match[0]}"?' if match else f"Known regions: {', '.join(_BY_ID)}."
    detail = f'{error.detail} The region "{unknown}" is not known. {hint}'
    return UpstreamRejected(detail, retry_after=error.retry_after)


def find_region(region_id: str) -> Region | None:
    """Return the region with this ID, or None if it is unknown."""
    return _BY_ID.get(region_id)


# Long enough for a page that sends requests in bursts, short enough to show changes made in the console soon.
LIST_SECONDS: Final = 5.0


class DatabaseChanged(msgspec.Struct, frozen=True):
    """An event: a database was created, changed, or deleted through the daemon."""

    change: DatabaseEvent
    id: str
    name: str | None


class DatabaseAccess(msgspec.Struct, frozen=True):
    """A database with its connection credentials."""

    database: Database
    secrets: DatabaseSecrets

    @property
    def redis_url(self) -> str:
        """URL for Redis clients (schemes ``redis`` and ``rediss``)."""
        database = self.database
        scheme = "rediss" if database.tls else "redis"
        password = quote(self.secrets.password.reveal(), safe="")
        host = f"[{database.host}]" if ":" in database.host else database.host
        return f"{scheme}://default:{password}@{host}:{database.port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that Upstash's clients and most Redis clients read."""
        variables = {
            "UPSTASH_REDIS_REST_URL": self.database.rest_url,
            "UPSTASH_REDIS_REST_TOKEN": self.secrets.rest_token.reveal(),
            "REDIS_URL": self.redis_url,
        }
        if self.secrets.ca_file is not None:
            # Windows accepts slashes, and readers of .env files differ in how they read backslashes.
            variables["REDIS_CA_FILE"] = PurePath(self.secrets.ca_file).as_posix()
        return variables


class Databases:
    """Lists are cached briefly, and concurrent callers share one fetch. Writes run to completion."""

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
        Return the databases, sorted by name.

        Args:
            refresh: Bypass the cache.

        Raises:
            HelperError: Like ``Connection.call`` and ``DatabasesApi.list``.
        """
        # The cache belongs to the credential, so that another account never sees it.
        credential = await self._connection.usable()
        fresh = self._clock.monotonic() - self._cached_at < LIST_SECONDS
        if self._cached is not None and self._cached_for is credential and fresh and not refresh:
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
        CURRENT_CALLER.set("")  # its result is for all callers
        databases = await self._connection.call(self._api.list)
        ordered = tuple(sorted(databases, key=lambda database: (database.name.casefold(), database.id)))
        if self._fetch is asyncio.current_task():
            # A write that happened meanwhile has discarded this fetch, which may have read an earlier state.
            self._cached, self._cached_at = ordered, self._clock.monotonic()
        return ordered

    def forget_list(self) -> None:
        """Discard the cached list after a write."""
        self._cached = self._fetch = None

    async def get(self, database_id: str) -> Database:
        """
        Return one database.

        Raises:
            DatabaseNotFound: If the account has none with this ID.
            HelperError: Like ``list``.
        """
        return (await self.access(database_id)).database

    async def access(self, database_id: str) -> DatabaseAccess:
        """
        Return one database with its secrets.

        Raises:
            DatabaseNotFound: If the account has none with this ID.
            HelperError: Like ``list``.
        """
        database, secrets = await self._connection.call(lambda credential: self._api.get(credential, database_id))
        return DatabaseAccess(database, secrets)

    async def change(
        self, database_id: str, changes: Sequence[tuple[str, Change]], *, unchanged: Callable[[Database], bool] | None
    ) -> Database:
        """
        Apply the changes in order, and return the changed database.

        Args:
            database_id: The database.
            changes: Pairs of field name and change.
            unchanged: Returns whether the database is as the caller last saw it (``If-Match``).

        Raises:
            PreconditionFailed: If the database has changed. Nothing is changed then.
            PartlyApplied: If a change failed after another was made.
            HelperError: Like ``list``, and what ``DatabasesApi.change`` raises.
        """
        return await self._background.finish(self._change(database_id, changes, unchanged))

    async def _change(
        self, database_id: str, changes: Sequence[tuple[str, Change]], unchanged: Callable[[Database], bool] | None
    ) -> Database:
        await self._check_unchanged(database_id, unchanged)
        applied: list[str] = []
        try:
            for field, change in changes:
                await self._apply(database_id, change)
                applied.append(field)
        except HelperError as error:
            if not applied:
                raise
            message = f"Changed: {', '.join(applied)}. The next change failed: {error.detail}"
            raise PartlyApplied(message, applied=tuple(applied), cause=error) from error
        finally:
            if applied:
                self.forget_list()
                self._events.publish("database", DatabaseChanged("changed", database_id, None), needs="databases:read")
        return await self.get(database_id)

    async def _apply(self, database_id: str, change: Change) -> None:
        try:
            await self._connection.call(
                lambda credential: self._api.change(credential, database_id, change), changes=True
            )
        except UpstreamRejected as error:
            regions = change.read_regions if isinstance(change, SetReadRegions) else ()
            raise explain_unknown_regions(error, regions) from None

    async def reset_password(self, database_id: str) -> Database:
        """
        Create a new password and new tokens for the database. The old ones stop working.

        Raises:
            HelperError: Like ``change``.
        """
        return await self.change(database_id, [("password", ResetPassword())], unchanged=None)

    async def delete(self, database_id: str, *, unchanged: Callable[[Database], bool] | None) -> None:
        """
        Delete the database and its data.

        Raises:
            PreconditionFailed: If the database has changed since the caller last saw it.
            HelperError: Like ``list``, and what ``DatabasesApi.delete`` raises.
        """
        await self._background.finish(self._delete(database_id, unchanged))

    async def _delete(self, database_id: str, unchanged: Callable[[Database], bool] | None) -> None:
        await self._check_unchanged(database_id, unchanged)
        await self._connection.call(lambda credential: self._api.delete(credential, database_id), changes=True)
        self.forget_list()
        self._events.publish("database", DatabaseChanged("deleted", database_id, None), needs="databases:read")

    async def _check_unchanged(self, database_id: str, unchanged: Callable[[Database], bool] | None) -> None:
        if unchanged is None:
            return
        # A part of the change, so it is refused like that if the user has allowed reading only.
        database, _ = await self._connection.call(
            lambda credential: self._api.get(credential, database_id), changes=True
        )
        if not unchanged(database):
            raise PreconditionFailed


class ReadCredentials:
    """Reads credentials: an app may read those of its own databases, and all others only if the user allowed that."""

    def __init__(
        self, *, connection: Connection, databases: Databases, journal: CreateJournal, exchanges: Exchanges
    ) -> None:
        self._connection = connection
        self._databases = databases
        self._journal = journal
        self._exchanges = exchanges

    async def __call__(self, database_id: str, caller: Caller) -> DatabaseAccess:
        """
        Return a database with its secrets.

        Raises:
            NotTheCreator: If ``caller`` is an app that did not create it in the connected account. Upstash is not
                called then.
            AccessEnded: If the caller's access ends meanwhile.
            NotConnected: Also if the account is disconnected or replaced meanwhile.
            DatabaseNotFound: If the account has none with this ID.
            LedgerUnavailable: If the creator cannot be looked up.
            HelperError: Like ``Databases.access``.
        """
        async with self._exchanges.begin(caller):
            await self.check(database_id, caller)
            return await self._databases.access(database_id)

    async def check(self, database_id: str, caller: Caller, *, refusal: str = "") -> None:
        """
        Check that ``caller`` may read a database's credentials.

        Args:
            database_id: The database.
            caller: The caller.
            refusal: The error message for an app that did not create it, if it is not about credentials.

        Raises:
            NotTheCreator: Like a call, and so are the others.
            LedgerUnavailable: If the creator cannot be looked up.
            HelperError: Like ``Connection.usable``.
        """
        if not (caller.is_owner or caller.all_databases or await self.is_creator(database_id, caller)):
            raise NotTheCreator(refusal)

    async def is_creator(self, database_id: str, caller: Caller) -> bool:
        """
        Return whether ``caller`` created a database of the connected account.

        Raises:
            LedgerUnavailable: If the creator cannot be looked up.
            HelperError: Like ``Connection.usable``.
        """
        account = (await self._connection.usable()).account_key
        creator = await self._journal.creator(database_id, account=account)
        return creator is not None and creator == caller.creator_key
