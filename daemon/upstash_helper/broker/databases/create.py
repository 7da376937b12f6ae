"""Making a database, once for one idempotency key, whatever breaks on the way."""

from __future__ import annotations

import hashlib
import logging
import re
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.databases.operations import DatabaseChanged, find
from upstash_helper.broker.errors import (
    HelperError,
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    InvalidRequest,
    OutcomeUnknown,
    RequestInProgress,
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

LIFETIME: Final = 86_400.0
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def parse(caller: str, header: str | None) -> CreateKey:
    """
    Read the header's value: a structured-field string in quotes (RFC 9651) or the bare key, which are the same key.

    Raises:
        IdempotencyKeyRequired: If there is none.
        IdempotencyKeyInvalid: If it is empty, longer than 255 characters or not visible ASCII.
    """
    if header is None:
        message = "Send an Idempotency-Key header (a fresh UUID): a repeated request then makes no second database."
        raise IdempotencyKeyRequired(message)
    key = header.strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not _KEY.fullmatch(key):
        message = "The Idempotency-Key must be 1 to 255 visible ASCII characters, for example a UUID."
        raise IdempotencyKeyInvalid(message)
    return CreateKey(caller, key)


class RequestsInProgress:
    """The keyed requests that this run of the daemon is carrying out, or has sent."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._fingerprints: dict[CreateKey, bytes] = {}
        self._sent: dict[CreateKey, float] = {}

    def begin(self, key: CreateKey, fingerprint: bytes) -> None:
        """
        Carry out a request; ``end`` follows.

        Raises:
            IdempotencyKeyReused: If another request with this key is being carried out.
            RequestInProgress: If the same one is.
        """
        running = self._fingerprints.get(key)
        if running is None:
            self._fingerprints[key] = fingerprint
            return
        check_same(running, fingerprint)
        message = "The same request is being carried out. Ask again with the same key for its result."
        raise RequestInProgress(message, retry_after=1)

    def end(self, key: CreateKey) -> None:
        """Note that it has been carried out, or given up."""
        self._fingerprints.pop(key, None)

    def sent(self, key: CreateKey) -> None:
        """Note that it is about to be sent."""
        now = self._clock.monotonic()
        for old in [known for known, at in self._sent.items() if now - at > LIFETIME]:
            del self._sent[old]
        self._sent[key] = now

    def age(self, key: CreateKey, record: CreateRecord) -> float:
        """
        Return how many seconds ago a request was sent: by the clock that never jumps, or for one of an earlier run of
        the daemon by the wall clock, the only one that went on.
        """
        sent = self._sent.get(key)
        if sent is not None:
            return self._clock.monotonic() - sent
        return max(0.0, self._clock.time() - record.sent_at)


def check_same(known: bytes, fingerprint: bytes) -> None:
    """
    See that a key comes with the request that it came with before.

    Raises:
        IdempotencyKeyReused: If it does not.
    """
    if known != fingerprint:
        message = "This Idempotency-Key was used with another request. Take a new key for a new request."
        raise IdempotencyKeyReused(message)


logger = logging.getLogger(__name__)

CLOCK_SKEW: Final = 120.0
"""How far Upstash's clock may be behind ours when a database is recognized by its creation time."""
SETTLE_SECONDS: Final = 120.0
"""A request whose database is not there after this long was never carried out: the answer is waited for 30 s."""

# Beyond a key's lifetime, so that a wall clock that jumps makes no key of yesterday look new.
_KEPT_SECONDS: Final = 8 * 86_400.0


class CreateDatabase:
    """
    Upstash's own create is not idempotent and costs money: a retry after a lost answer would make a second database.

    So a request is written down before it is sent. One whose outcome is not known, for an answer was lost or the daemon
    died, is looked for in the account before anything is sent again.
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
        Return the database, and whether it was made by an earlier request with the same key.

        The work goes on when the caller goes away; the same key finds its result later.

        Raises:
            InvalidRequest: If the regions cannot go together.
            IdempotencyKeyReused: If the key came with another request before.
            RequestInProgress: If the same request is being carried out.
            OutcomeUnknown: If the answer was lost and the database cannot be told from others.
            LedgerUnavailable: If it could not be written down; nothing was sent then.
            LedgerFull: As LedgerUnavailable.
            HelperError: As ``Connection.call`` and ``DatabasesApi.create``; nothing was made then.
        """
        check_regions(new)
        account = (await self._connection.usable()).email or ""
        fingerprint = hashlib.sha256(account.encode() + b"\0" + msgspec.json.encode(new)).digest()
        self._running.begin(key, fingerprint)
        return await self._background.finish(self._once(new, key, fingerprint, caller.creator_key))

    async def _once(
        self, new: NewDatabase, key: CreateKey, fingerprint: bytes, owner: str | None
    ) -> tuple[Database, bool]:
        try:
            record = await self._journal.find(key)
            if record is None or self._running.age(key, record) >= LIFETIME:
                return await self._send(new, key, fingerprint, owner), False
            check_same(record.fingerprint, fingerprint)
            if record.result is not None:
                return record.result, True
            return await self._resume(new, key, record, owner), True
        finally:
            self._running.end(key)

    async def _send(self, new: NewDatabase, key: CreateKey, fingerprint: bytes, owner: str | None) -> Database:
        now = self._clock.time()
        record = CreateRecord(fingerprint=fingerprint, name=new.name, sent_at=now)
        await self._journal.begin(key, record, forget_before=now - _KEPT_SECONDS)
        self._running.sent(key)
        try:
            database = await self._connection.call(lambda credential: self._api.create(credential, new))
        except OutcomeUnknown:
            return await self._found(key, record, owner)
        except HelperError:
            # Refused or never sent: nothing was made, so the key is free for another try.
            await self._forget(key)
            raise
        return await self._made(key, database, owner)

    async def _found(self, key: CreateKey, record: CreateRecord, owner: str | None) -> Database:
        try:
            return await self._recognize(key, record, owner)
        except _NothingMade:
            raise _unknown(record) from None  # a moment ago it was sent: too early to be sure

    async def _resume(self, new: NewDatabase, key: CreateKey, record: CreateRecord, owner: str | None) -> Database:
        """Find what an earlier request made; if that was nothing, and nothing is to be expected, make it now."""
        try:
            return await self._recognize(key, record, owner)
        except _NothingMade:
            return await self._send(new, key, record.fingerprint, owner)

    async def _recognize(self, key: CreateKey, record: CreateRecord, owner: str | None) -> Database:
        """Find the database that a request with a lost answer made, if it made one and there is just one such."""
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
        made = [database for database in alike if database.id not in claimed]
        if len(made) == 1:
            return await self._made(key, made[0], owner)
        if made:
            raise _unknown(record)
        left = SETTLE_SECONDS - self._running.age(key, record)
        if left > 0:
            raise _unknown(record, retry_after=left)
        raise _NothingMade

    async def _made(self, key: CreateKey, database: Database, owner: str | None) -> Database:
        self._databases.forget_list()
        try:
            await self._journal.done(key, database, owner=owner)
        except HelperError as error:
            # It is there, and the key finds it by its name.
            logger.warning("result_not_noted", extra={"database": database.id, "error": error.code})
        changed = DatabaseChanged("created", database.id, database.name)
        self._events.publish("database", changed, needs="databases:read")
        return database

    async def _forget(self, key: CreateKey) -> None:
        try:
            await self._journal.forget(key)
        except HelperError as error:
            logger.warning("refusal_not_noted", extra={"error": error.code})


class _NothingMade(Exception):
    """A request was surely not carried out."""


def _unknown(record: CreateRecord, *, retry_after: float | None = None) -> OutcomeUnknown:
    message = (
        f"Whether Upstash made the database {record.name!r} is not known: its answer was lost. Look at the list of "
        "databases. Asking again with the same Idempotency-Key makes no second one: it finds the database, or makes it "
        "once it is sure that there is none. If several of that name are there, only you can tell which one it is."
    )
    return OutcomeUnknown(message, retry_after=retry_after)


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
