"""
``Upstash-Sync-Token``, with which a client reads its own writes.

At Upstash, a response's token is the state of the replica that answered, and a request with it waits for a replica that
has this state. A database of the sandbox has no replicas, so every request sees all writes that were answered before
it. Clients send the last token back. Nothing needs to wait for it, so any value is accepted.
"""

from __future__ import annotations

import itertools
import time

HEADER = "Upstash-Sync-Token"
_DIGITS = "0123456789abcdefghijklmnopqrstuv"


class SyncTokens:
    """Issues tokens. Each is larger than the one before, also after a restart."""

    def __init__(self) -> None:
        self._numbers = itertools.count(time.time_ns() // 1000)

    def headers(self) -> dict[str, str]:
        """Return the header of a response."""
        return {HEADER: _base32(next(self._numbers))}


def _base32(number: int) -> str:
    """Return a number in Upstash's format: base 32, in lower case."""
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _DIGITS[digit] + digits
    return digits or "0"
