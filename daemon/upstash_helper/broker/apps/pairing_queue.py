"""The pairings of the last minutes and who may not ask, in memory and in step with the ledger."""

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
"""Seconds that the user has for deciding, and then the app for fetching its token."""

# How long a pairing that is over is known, so that its app learns what became of it.
_REMEMBERED_SECONDS: Final = 600.0


class PairingQueue:
    """
    Keeps the pairings. Whoever looks at one or changes one holds ``turn``, and has called ``open`` before.

    How long a pairing lasts is measured by the clock that never jumps; of one of an earlier run of the daemon only the
    wall clock's time is known, and it is never given more than a whole lifetime.
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
        self._is_open = False
        self.turn: Final = asyncio.Lock()

    async def open(self) -> None:
        """
        Read the ledger, once.

        Raises:
            LedgerUnavailable: If it cannot be read.
        """
        if self._is_open:
            return
        pairings, blocks = await self._records.load()
        now = self._clock.time()
        for pairing in pairings:
            self._by_id[pairing.id] = pairing
            self._ends(pairing.id, self._clock.monotonic() + min(pairing.expires_at - now, LIFETIME))
            if isinstance(pairing.decision, Denied):
                self._rate_limiter.denied(pairing.identity)
            elif isinstance(pairing.decision, Approved | Delivered):
                self._rate_limiter.forgive(pairing.identity)
        self._blocks = {block.identity.key: block for block in blocks}
        self._is_open = True

    def get(self, pairing_id: str) -> Pairing | None:
        """Return a pairing, or None if there is none of that id."""
        return self._by_id.get(pairing_id)

    def is_expired(self, pairing: Pairing) -> bool:
        """Return whether the time for the next step has run out."""
        if not isinstance(pairing.decision, Waiting | Approved):
            return False
        return self._clock.monotonic() >= self._deadlines.get(pairing.id, 0.0)

    def waits(self, pairing: Pairing) -> bool:
        """Return whether the user has not decided, and still can."""
        return isinstance(pairing.decision, Waiting) and not self.is_expired(pairing)

    def is_open(self, pairing: Pairing) -> bool:
        """Return whether there is a next step, and time for it: to decide, or to fetch the token."""
        return isinstance(pairing.decision, Waiting | Approved) and not self.is_expired(pairing)

    def open_of(self, key: str) -> tuple[Pairing, ...]:
        """Return the pairings of the identity with this key that are open."""
        return tuple(it for it in self._by_id.values() if it.identity.key == key and self.is_open(it))

    @property
    def waiting(self) -> tuple[Pairing, ...]:
        """The pairings that wait for the user, the oldest first."""
        return tuple(pairing for pairing in self._by_id.values() if self.waits(pairing))

    @property
    def has_open(self) -> bool:
        """Whether one of them still has a next step."""
        return any(self.is_open(pairing) for pairing in self._by_id.values())

    @property
    def remaining(self) -> dict[str, tuple[str, float]]:
        """The pairings that wait, by identity: their ids, and the seconds for which they still do."""
        now = self._clock.monotonic()
        return {pairing.identity.key: (pairing.id, self._deadlines[pairing.id] - now) for pairing in self.waiting}

    async def put(self, pairing: Pairing, *, lasts: float | None = None) -> None:
        """
        Keep ``pairing`` in place of the one of its id.

        Args:
            pairing: The pairing.
            lasts: Seconds for the next step; None: as long as before.

        Raises:
            LedgerUnavailable: Then it is as it was.
            LedgerFull: As LedgerUnavailable.
        """
        await self._records.save(pairing)
        self._by_id[pairing.id] = pairing
        if lasts is not None:
            self._ends(pairing.id, self._clock.monotonic() + lasts)
        self._events.publish("pairing", pairing, owner_only=True)
        await self._prune()

    def _ends(self, pairing_id: str, deadline: float) -> None:
        self._deadlines[pairing_id] = deadline
        if deadline > self._clock.monotonic():
            self._clock.call_at(deadline, lambda: self._expired(pairing_id))

    def _expired(self, pairing_id: str) -> None:
        """Tell those who show the request that its time is over. Whoever asks is told by the clock, without this."""
        pairing = self._by_id.get(pairing_id)
        if pairing is not None and self.is_expired(pairing):
            self._events.publish("pairing", pairing, owner_only=True)

    async def _prune(self) -> None:
        before = self._clock.time() - _REMEMBERED_SECONDS
        # One that is open stays, though the wall clock has jumped.
        old = [it.id for it in self._by_id.values() if it.expires_at < before and not self.is_open(it)]
        if old:
            await self._records.forget(before)
        for pairing_id in old:
            del self._by_id[pairing_id]
            self._deadlines.pop(pairing_id, None)

    # --- who may not ask ----------------------------------------------------------------------------------------------

    def is_blocked(self, key: str) -> bool:
        """Return whether the identity with this key may not ask."""
        return key in self._blocks

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All who may not ask."""
        return tuple(self._blocks.values())

    async def block(self, block: Block) -> None:
        """
        Let an identity ask no more.

        Raises:
            LedgerUnavailable: Then it still may.
            LedgerFull: As LedgerUnavailable.
        """
        await self._records.block(block)
        self._blocks[block.identity.key] = block

    async def unblock(self, block: Block) -> None:
        """
        Let an identity ask again.

        Raises:
            LedgerUnavailable: Then it still may not.
            LedgerFull: As LedgerUnavailable.
        """
        await self._records.unblock(block.id)
        self._blocks.pop(block.identity.key, None)
