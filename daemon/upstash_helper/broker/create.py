"""Making a database, once for one idempotency key."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.databases import DatabaseChanged
from upstash_helper.broker.errors import HelperError, InvalidRequest, OutcomeUnknown
from upstash_helper.broker.regions import find

if TYPE_CHECKING:
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.connection import Connection
    from upstash_helper.broker.databases import Databases
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.idempotency import IdempotencyKey, IdempotencyRecords, Record
    from upstash_helper.broker.models import Database, NewDatabase
    from upstash_helper.broker.ports import DatabasesApi

# How far Upstash's clock may be behind ours when a database is recognized by its creation time.
CLOCK_SKEW: Final = 120.0


class CreateDatabase:
    """
    Upstash's own create is not idempotent and costs money: a retry after a lost answer would make a second database.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        databases: Databases,
        api: DatabasesApi,
        records: IdempotencyRecords,
        events: EventBus,
        background: Background,
    ) -> None:
        self._connection = connection
        self._databases = databases
        self._api = api
        self._records = records
        self._events = events
        self._background = background

    async def __call__(self, new: NewDatabase, key: IdempotencyKey) -> tuple[Database, bool]:
        """
        Return the database, and whether it was made by an earlier request with the same key.

        The work goes on when the caller goes away; the same key finds its result later.

        Raises:
            InvalidRequest: If the regions cannot go together.
            IdempotencyKeyReused: If the key came with another request before.
            RequestInProgress: If the same request is being carried out.
            OutcomeUnknown: If the answer was lost and the database cannot be told from others.
            HelperError: As ``Connection.call`` and ``DatabasesApi.create``; nothing was made then.
        """
        check_regions(new)
        fingerprint = hashlib.sha256(msgspec.json.encode(new)).digest()
        record = self._records.begin(key, fingerprint)
        if record.result is not None:
            return record.result, True
        if record.state == "unknown":
            return await self._background.finish(self._recognize(record, new)), True
        return await self._background.finish(self._create(record, new, key)), False

    async def _create(self, record: Record, new: NewDatabase, key: IdempotencyKey) -> Database:
        try:
            database = await self._connection.call(lambda credential: self._api.create(credential, new))
        except OutcomeUnknown:
            record.state = "unknown"
            return await self._recognize(record, new)
        except HelperError:
            # Refused or never sent: nothing was made, so the key is free for another try.
            self._records.forget(key)
            raise
        except BaseException:
            record.state = "unknown"
            raise
        return self._made(record, database)

    async def _recognize(self, record: Record, new: NewDatabase) -> Database:
        """Find the database that a request with a lost answer made, if it made one and there is just one such."""
        unknown = (
            f"Whether Upstash made the database {new.name!r} is not known: its answer was lost. List the databases; if "
            "it is not there after a minute, create it with a new Idempotency-Key."
        )
        try:
            databases = await self._databases.list(refresh=True)
        except HelperError as error:
            raise OutcomeUnknown(unknown, retry_after=error.retry_after) from error
        made = [
            database
            for database in databases
            if database.name == new.name and database.created_at >= record.sent_at - CLOCK_SKEW
        ]
        if len(made) != 1:
            raise OutcomeUnknown(unknown)
        return self._made(record, made[0])

    def _made(self, record: Record, database: Database) -> Database:
        record.state, record.result = "done", database
        self._databases.forget_list()
        self._events.publish("database", DatabaseChanged("created", database.id, database.name))
        return database


def check_regions(new: NewDatabase) -> None:
    """
    Refuse what Upstash would refuse anyway, with the place of the mistake.

    Raises:
        InvalidRequest: With a pointer to the field.
    """
    primary = find(new.primary_region)
    if primary is not None and new.platform is not None and primary.platform != new.platform:
        message = f"{new.primary_region!r} is a region of {primary.platform}, not of {new.platform}."
        raise InvalidRequest(message, pointer="/primary_region")
    if new.primary_region in new.read_regions:
        message = "The primary region serves reads as well: leave it out of read_regions."
        raise InvalidRequest(message, pointer="/read_regions")
    for index, region_id in enumerate(new.read_regions):
        region = find(region_id)
        if region is not None and not region.read:
            message = f"{region_id!r} cannot be a read region."
            raise InvalidRequest(message, pointer=f"/read_regions/{index}")
        if region_id in new.read_regions[:index]:
            message = f"{region_id!r} stands twice."
            raise InvalidRequest(message, pointer=f"/read_regions/{index}")
