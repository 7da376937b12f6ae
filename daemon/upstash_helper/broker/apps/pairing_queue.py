"""The pairing queue: the access requests of the last minutes and the blocked identities, in sync with the ledger."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.ledger import Approved, Block, Delivered, Denied, Pairing, Waiting

if TYPE_CHECKING:
    from upstash_helper.broker.apps.rate_limits import PairingRateLimiter
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.ledger import PairingRecords
    from upstash_helper.broker.ports import Clock

LIFETIME: Final = 120.0
"""Seconds for the user to decide, and then for the app to fetch its token."""

# How long a pairing that has ended is kept, so that its app can read the result.
_REMEMBERED_SECONDS: Final = 600.0


class PairingQueue:
    """
    Keeps the pairings. Callers must hold ``lock`` and have called ``load`` before they read or change one.

    Deadlines are monotonic. For a pairing of an earlier run of the daemon, only the wall-clock time is known; it gets
    at most one whole lifetime.
    """

    def __init__(
        self, *, records: PairingRecords, rate_limiter: PairingRateLimiter, events: EventBus, clock: Clock
    ) -> None:
        self._records = records
        self._rate_limiter = rate_limiter
        self._events = events
        self._clock = clock
        self._by_id: dict[str, Pairing] = {}
        self._deadlines: dict[str, float] = {}
        self._blocks: dict[str, Block] = {}
        self._loaded = False
        self.lock: Final = asyncio.Lock()

    async def load(self) -> None:
        """
        Read the ledger, once per run.

        Raises:
            LedgerUnavailable: If it cannot be read.
        """
        if self._loaded:
            return
        pairings, blocks = await self._records.load()
        now = self._clock.time()
        for pairing in pairings:
            self._by_id[pairing.id] = pairing
            self._set_deadline(pairing.id, self._clock.monotonic() + min(pairing.expires_at - now, LIFETIME))
            if isinstance(pairing.decision, Denied):
                self._rate_limiter.record_denial(pairing.identity)
            elif isinstance(pairing.decision, Approved | Delivered):
                self._rate_limiter.clear_denials(pairing.identity)
        self._blocks = {block.identity.key: block for block in blocks}
        self._loaded = True

    def get(self, pairing_id: str) -> Pairing | None:
        """Return a pairing, or None if there is none with this ID."""
        return self._by_id.get(pairing_id)

    @property
    def all(self) -> tuple[Pairing, ...]:
        """All pairings of the last minutes, in any state."""
        return tuple(self._by_id.values())

    def is_expired(self, pairing: Pairing) -> bool:
        """Return whether the time for the next step has run out."""
        if not isinstance(pairing.decision, Waiting | Approved):
            return False
        return self._clock.monotonic() >= self._deadlines.get(pairing.id, 0.0)

    def waits(self, pairing: Pairing) -> bool:
        """Return whether the user has not decided yet and still can."""
        return isinstance(pairing.decision, Waiting) and not self.is_expired(pairing)

    def is_open(self, pairing: Pairing) -> bool:
        """Return whether there is a next step and time for it: to decide, or to fetch the token."""
        return isinstance(pairing.decision, Waiting | Approved) and not self.is_expired(pairing)

    def open_of(self, key: str) -> tuple[Pairing, ...]:
        """Return the open pairings of the identity with this key."""
        return tuple(it for it in self._by_id.values() if it.identity.key == key and self.is_open(it))

    @property
    def waiting(self) -> tuple[Pairing, ...]:
        """The pairings that wait for the user's decision, the oldest first."""
        return tuple(pairing for pairing in self._by_id.values() if self.waits(pairing))

    @property
    def has_open(self) -> bool:
        """Whether any pairing is open."""
        return any(self.is_open(pairing) for pairing in self._by_id.values())

    @property
    def remaining(self) -> dict[str, tuple[str, float]]:
        """The waiting pairings by identity key: their IDs and the seconds until they expire."""
        now = self._clock.monotonic()
        return {pairing.identity.key: (pairing.id, self._deadlines[pairing.id] - now) for pairing in self.waiting}

    async def put(self, pairing: Pairing, *, lasts: float | None = None) -> None:
        """
        Store ``pairing``, replacing one with the same ID.

        Args:
            pairing: The pairing.
            lasts: Seconds for the next step; None to keep the deadline.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._records.save(pairing)
        self._by_id[pairing.id] = pairing
        if lasts is not None:
            self._set_deadline(pairing.id, self._clock.monotonic() + lasts)
        self._events.publish("pairing", pairing, owner_only=True)
        await self._prune()

    def _set_deadline(self, pairing_id: str, deadline: float) -> None:
        self._deadlines[pairing_id] = deadline
        if deadline > self._clock.monotonic():
            self._clock.call_at(deadline, lambda: self._publish_expiry(pairing_id))

    def _publish_expiry(self, pairing_id: str) -> None:
        """Publish that the time of a request is over. Reads compute this from the clock and need no event."""
        pairing = self._by_id.get(pairing_id)
        if pairing is not None and self.is_expired(pairing):
            self._events.publish("pairing", pairing, owner_only=True)

    async def _prune(self) -> None:
        before = self._clock.time() - _REMEMBERED_SECONDS
        # Open pairings are kept even if the wall clock has jumped.
        old = [it.id for it in self._by_id.values() if it.expires_at < before and not self.is_open(it)]
        if old:
            await self._records.forget(before)
        for pairing_id in old:
            del self._by_id[pairing_id]
            self._deadlines.pop(pairing_id, None)

    # --- blocked identities -------------------------------------------------------------------------------------------

    def is_blocked(self, key: str) -> bool:
        """Return whether the identity with this key is blocked."""
        return key in self._blocks

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks."""
        return tuple(self._blocks.values())

    async def block(self, block: Block) -> None:
        """
        Block an identity.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._records.block(block)
        self._blocks[block.identity.key] = block

    async def unblock(self, block: Block) -> None:
        """
        Remove a block.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._records.unblock(block.id)
        self._blocks.pop(block.identity.key, None)
