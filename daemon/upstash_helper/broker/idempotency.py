"""
Idempotency keys: the same key twice is one database.

After the IETF draft "The Idempotency-Key HTTP Header Field", scoped to the caller, for 24 hours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    RequestInProgress,
)
from upstash_helper.broker.ledger import CreateKey

if TYPE_CHECKING:
    from upstash_helper.broker.ledger import CreateRecord
    from upstash_helper.broker.ports import Clock

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


class Running:
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
