"""
Idempotency keys: the same key twice is one database.

After the IETF draft "The Idempotency-Key HTTP Header Field", scoped to the caller, for 24 hours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.broker.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    OutcomeUnknown,
    RequestInProgress,
)
from upstash_helper.broker.models import Database

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

LIFETIME: Final = 86_400.0
MOST: Final = 4096
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A key, and whose it is: two callers may choose the same one."""

    caller: str
    key: str


def parse(caller: str, header: str | None) -> IdempotencyKey:
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
    return IdempotencyKey(caller, key)


class Record(msgspec.Struct, kw_only=True):
    """What is known of one keyed request."""

    fingerprint: bytes
    expires: float
    sent_at: float
    state: Literal["running", "unknown", "done"] = "running"
    result: Database | None = None


class IdempotencyRecords:
    """The keyed requests of the last 24 hours, for this run of the daemon."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[IdempotencyKey, Record] = {}

    def begin(self, key: IdempotencyKey, fingerprint: bytes) -> Record:
        """
        Return the record of this request: new (``running``), or the one of an earlier, same request.

        Raises:
            IdempotencyKeyReused: If the key came with another request before.
            RequestInProgress: If the same request is being carried out.
        """
        self._prune()
        known = self._records.get(key)
        if known is None:
            record = Record(
                fingerprint=fingerprint, expires=self._clock.monotonic() + LIFETIME, sent_at=self._clock.time()
            )
            self._records[key] = record
            return record
        if known.fingerprint != fingerprint:
            message = "This Idempotency-Key was used with another request. Take a new key for a new request."
            raise IdempotencyKeyReused(message)
        if known.state == "running":
            message = "The same request is being carried out. Ask again with the same key for its result."
            raise RequestInProgress(message, retry_after=1)
        return known

    def forget(self, key: IdempotencyKey) -> None:
        """Drop the record of a request that surely had no effect, so that it can be sent again."""
        self._records.pop(key, None)

    def _prune(self) -> None:
        now = self._clock.monotonic()
        for key in [key for key, record in self._records.items() if record.expires <= now]:
            del self._records[key]
        if len(self._records) >= MOST:
            settled = next((key for key, record in self._records.items() if record.state == "done"), None)
            if settled is None:
                message = "Too many requests with an unknown outcome are kept. Restart the helper."
                raise OutcomeUnknown(message)
            del self._records[settled]
