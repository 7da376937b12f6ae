"""Creating a database exactly once per idempotency key, whatever fails on the way."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.broker.databases.operations import DatabaseChanged, explain_unknown_regions, find_region
from upstash_helper.broker.errors import (
    HelperError,
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    InvalidRequest,
    OutcomeUnknown,
    RequestInProgress,
    UpstreamRejected,
)
from upstash_helper.broker.ledger import CreateKey, CreateRecord

if TYPE_CHECKING:
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.databases.operations import Databases
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import CreateJournal
    from upstash_helper.broker.models import Database, NewDatabase
    from upstash_helper.broker.ports import Clock, DatabasesApi

logger = logging.getLogger(__name__)

LIFETIME: Final = 86_400.0
"""How long an idempotency key is valid, in seconds."""
CLOCK_SKEW: Final = 120.0
"""How far Upstash's clock may be behind this machine's when a database is recognized by its creation time."""
SETTLE_SECONDS: Final = 120.0
"""If a request's database does not exist after this time, it was never created. (Responses time out after 30 s.)"""

# Longer than a key's lifetime, and than what a wrong clock at a start can add to the ledger's count of seconds.
_KEPT_SECONDS: Final = 8 * 86_400.0

# How long a run lasts before the wall clock is believed that a key of an earlier run has expired.
_SURE_AFTER_SECONDS: Final = 3600.0

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def parse(caller: str, header: str | None) -> CreateKey:
    """
    Parse the Idempotency-Key header: a quoted structured-field string (RFC 9651) or the bare key, which are equivalent.

    Raises:
        IdempotencyKeyRequired: If there is no key.
        IdempotencyKeyInvalid: If the key is empty, longer than 255 characters, or not visible ASCII.
    """
    if header is None:
        raise IdempotencyKeyRequired
    key = header.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        raise IdempotencyKeyInvalid
    return CreateKey(caller, key)


class RequestsInProgress:
    """The create requests that this run of the daemon is processing or has sent, by idempotency key."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._fingerprints: dict[CreateKey, bytes] = {}
        self._sent: dict[CreateKey, float] = {}

    def begin(self, key: CreateKey, fingerprint: bytes) -> None:
        """
        Start a request. ``end`` must follow.

        Raises:
            IdempotencyKeyReused: If another request with this key is being processed.
            RequestInProgress: If the same request is being processed.
        """
        running = self._fingerprints.get(key)
        if running is None:
            self._fingerprints[key] = fingerprint
            return
        check_same(running, fingerprint)
        raise RequestInProgress(retry_after=1)

    def end(self, key: CreateKey) -> None:
        """Record that a request has been completed or abandoned."""
        self._fingerprints.pop(key, None)

    def sent(self, key: CreateKey) -> None:
        """Record that a request is about to be sent."""
        now = self._clock.monotonic()
        for old in [known for known, at in self._sent.items() if now - at > LIFETIME]:
            del self._sent[old]
        self._sent[key] = now

    def age(self, key: CreateKey, record: CreateRecord) -> float:
        """
        Return how many seconds ago a request was sent: by the monotonic clock, or by the wall clock for a request of an
        earlier run of the daemon. The wall clock may be wrong, and to repeat a request could cost money: in the first
        hour of a run, a request of an earlier run is not older than a key's lifetime.
        """
        now, sent = self._clock.monotonic(), self._sent.get(key)
        if sent is not None:
            return now - sent
        age = max(0.0, self._clock.time() - record.sent_at)
        return min(age, LIFETIME - _SURE_AFTER_SECONDS + now - self._began)


def check_same(known: bytes, fingerprint: bytes) -> None:
    """
    Check that a key is used with the same request as before.

    Raises:
        IdempotencyKeyReused: If it is not.
    """
    if known != fingerprint:
        raise IdempotencyKeyReused


class CreateDatabase:
    """
    Creates a database exactly once.

    Upstash's call is not idempotent and can cost money: a retry after a lost response would create a second database.
    So a request is recorded before it is sent. If its outcome is unknown, because the response was lost or the daemon
    crashed, the database is looked up in the account before anything is sent again.
    """

    def __init__(
        self,
        *,
        connection: Connection,
        databases: Databases,
        api: DatabasesApi,
        journal: CreateJournal,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._connection = connection
        self._databases = databases
        self._api = api
        self._journal = journal
        self._events = events
        self._background = background
        self._clock = clock
        self._running = RequestsInProgress(clock=clock)

    async def __call__(self, new: NewDatabase, key: CreateKey, caller: Caller) -> tuple[Database, bool]:
        """
        Return the database, and whether an earlier request with the same key created it.

        The work continues if the caller disconnects; a request with the same key returns its result later.

        Raises:
            InvalidRequest: If the regions do not fit together.
            IdempotencyKeyReused: If the key was used with another request.
            RequestInProgress: If the same request is being processed.
            OutcomeUnknown: If the response was lost and the database cannot be identified.
            LedgerUnavailable: If the request could not be recorded. Nothing was sent then.
            LedgerFull: Like LedgerUnavailable.
            HelperError: Like ``Connection.call`` and ``DatabasesApi.create``. Nothing was created then.
        """
        check_regions(new)
        credential = await self._connection.usable()
        account = credential.account_name or ""
        creator = _Creator(caller.creator_key, credential.account_key)
        fingerprint = hashlib.sha256(account.encode() + b"\0" + msgspec.json.encode(new)).digest()
        self._running.begin(key, fingerprint)
        return await self._background.finish(self._once(new, key, fingerprint, creator))

    async def _once(
        self, new: NewDatabase, key: CreateKey, fingerprint: bytes, creator: _Creator
    ) -> tuple[Database, bool]:
        try:
            record = await self._journal.find(key)
            if record is None or self._running.age(key, record) >= LIFETIME:
                return await self._send(new, key, fingerprint, creator), False
            check_same(record.fingerprint, fingerprint)
            if record.result is not None:
                return record.result, True
            return await self._resume(new, key, record, creator), True
        finally:
            self._running.end(key)

    async def _send(self, new: NewDatabase, key: CreateKey, fingerprint: bytes, creator: _Creator) -> Database:
        now = self._clock.time()
        record = CreateRecord(fingerprint=fingerprint, name=new.name, sent_at=now)
        await self._journal.begin(key, record, keep_seconds=_KEPT_SECONDS)
        self._running.sent(key)
        try:
            database = await self._connection.call(lambda credential: self._api.create(credential, new), changes=True)
        except OutcomeUnknown:
            return await self._found(key, record, creator)
        except HelperError as error:
            # Rejected or never sent: nothing was created, so the key can be used again.
            await self._forget(key)
            if isinstance(error, UpstreamRejected):
                raise explain_unknown_regions(error, (new.primary_region, *new.read_regions)) from None
            raise
        return await self._created(key, database, creator)

    async def _found(self, key: CreateKey, record: CreateRecord, creator: _Creator) -> Database:
        try:
            return await self._recognize(key, record, creator)
        except _NothingCreated:
            raise _unknown(record) from None  # it was sent a moment ago, so it is too early to be sure

    async def _resume(self, new: NewDatabase, key: CreateKey, record: CreateRecord, creator: _Creator) -> Database:
        """Return the database that an earlier request created; if it certainly created none, create it now."""
        try:
            return await self._recognize(key, record, creator)
        except _NothingCreated:
            return await self._send(new, key, record.fingerprint, creator)

    async def _recognize(self, key: CreateKey, record: CreateRecord, creator: _Creator) -> Database:
        """Return the database that a request with a lost response created, if exactly one matches."""
        try:
            databases = await self._databases.list(refresh=True)
        except HelperError as error:
            raise _unknown(record, retry_after=error.retry_after) from error
        alike = tuple(
            database
            for database in databases
            if database.name == record.name and database.created_at >= record.sent_at - CLOCK_SKEW
        )
        claimed = await self._journal.claimed(tuple(database.id for database in alike))
        created = [database for database in alike if database.id not in claimed]
        if len(created) == 1:
            return await self._created(key, created[0], creator)
        if created:
            raise _unknown(record)
        left = SETTLE_SECONDS - self._running.age(key, record)
        if left > 0:
            raise _unknown(record, retry_after=left)
        raise _NothingCreated

    async def _created(self, key: CreateKey, database: Database, creator: _Creator) -> Database:
        self._databases.forget_list()
        try:
            await self._journal.done(key, database, owner=creator.owner, account=creator.account)
        except HelperError as error:
            # The database exists, and a request with the same key finds it by name.
            logger.warning("result_not_recorded", extra={"database": database.id, "error": error.code})
        changed = DatabaseChanged("created", database.id, database.name)
        self._events.publish("database", changed, needs="databases:read")
        return database

    async def _forget(self, key: CreateKey) -> None:
        try:
            await self._journal.forget(key)
        except HelperError as error:
            logger.warning("refusal_not_recorded", extra={"error": error.code})


class _Creator(NamedTuple):
    owner: str | None
    """The app's ``creator_key``; None for the user's own tools."""
    account: str
    """The account that it creates the database in."""


class _NothingCreated(Exception):
    """A request certainly had no effect."""


def _unknown(record: CreateRecord, *, retry_after: float | None = None) -> OutcomeUnknown:
    return OutcomeUnknown(name=record.name, retry_after=retry_after)


def check_regions(new: NewDatabase) -> None:
    """
    Reject regions that Upstash would reject, with a pointer to the wrong field.

    Raises:
        InvalidRequest: If the regions do not fit together.
    """
    primary = find_region(new.primary_region)
    if primary is not None and new.platform is not None and primary.platform != new.platform:
        message = f"{new.primary_region!r} is a region of {primary.platform}, not of {new.platform}."
        raise InvalidRequest(message, pointer="/primary_region")
    if new.primary_region in new.read_regions:
        message = "The primary region also serves reads. Leave it out of read_regions."
        raise InvalidRequest(message, pointer="/read_regions")
    for index, region_id in enumerate(new.read_regions):
        region = find_region(region_id)
        if region is not None and not region.read:
            message = f"{region_id!r} cannot be a read region."
            raise InvalidRequest(message, pointer=f"/read_regions/{index}")
        if region_id in new.read_regions[:index]:
            message = f"{region_id!r} is listed twice."
            raise InvalidRequest(message, pointer=f"/read_regions/{index}")
