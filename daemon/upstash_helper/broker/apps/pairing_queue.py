"""The pairing queue: the access requests of the last hour and the blocks, in sync with the ledger."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.pairing_limits import HOUR, LIFETIME
from upstash_helper.broker.errors import PairingDecided
from upstash_helper.broker.ledger import Approved, Block, Denied, Pairing, Waiting, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Container

    from upstash_helper.broker.apps.pairing_limits import PairingRateLimiter
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import PairingRecords
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock

# How long a pairing that has ended is kept: its app can read the result, and its prompt counts after a restart, too.
_REMEMBERED_SECONDS: Final = HOUR


class PairingQueue:
    """
    Keeps the pairings. Callers must have called ``load`` before they read or change one, and hold ``lock`` for what is
    written before it takes effect (``put``, ``unblock``). What takes a right away (``end``, ``block``) takes effect at
    once, without the lock, and is written as soon as possible.

    Deadlines are monotonic. For a pairing of an earlier run of the daemon, only the wall-clock time is known; it gets
    at most one whole lifetime.
    """

    def __init__(
        self,
        *,
        records: PairingRecords,
        sites: Sites,
        pending: PendingWrites,
        rate_limiter: PairingRateLimiter,
        events: EventBus,
        clock: Clock,
    ) -> None:
        self._records = records
        self._sites = sites
        self._pending = pending
        self._rate_limiter = rate_limiter
        self._events = events
        self._clock = clock
        self._by_id: dict[str, Pairing] = {}
        self._deadlines: dict[str, float] = {}
        self._blocks: dict[str, Block] = {}
        self._loaded = False
        self._loading = asyncio.Lock()
        self.lock: Final = asyncio.Lock()

    async def load(self) -> None:
        """
        Read the ledger, once per run.

        Raises:
            LedgerUnavailable: If it cannot be read.
        """
        if self._loaded:
            return
        async with self._loading:
            if not self._loaded:
                tombstones = await self._pending.tombstones()
                pairings, blocks = await self._records.load()
                self._blocks = {block.key: block for block in blocks}
                for pairing in pairings:
                    self._restore(pairing, tombstones)
                self._loaded = True

    def _restore(self, stored: Pairing, tombstones: Container[str]) -> None:
        now = self._clock.time()
        is_blocked, is_site_blocked = f"block:{stored.id}" in tombstones, f"block-site:{stored.id}" in tombstones
        is_ended = f"pairing:{stored.id}" in tombstones
        pairing = msgspec.structs.replace(stored, site=self._sites.of(stored.identity))
        if is_blocked or is_site_blocked or is_ended:
            pairing = msgspec.structs.replace(pairing, decision=Denied(at=now))
        elif _is_of_sign_in(pairing):
            pairing = msgspec.structs.replace(pairing, decision=Withdrawn())
        self._by_id[pairing.id] = pairing
        self._set_deadline(pairing.id, self._clock.monotonic() + min(pairing.expires_at - now, LIFETIME))
        for site in ("",) * is_blocked + (pairing.site,) * is_site_blocked:
            block = Block(id=secrets.token_hex(8), identity=pairing.identity.lasting, site=site, blocked_at=now)
            self._add_block(block, because_of=pairing.id, kept=True)
        if is_ended:
            self._write_later(pairing.id, kept=True)
        self._rate_limiter.restore(pairing)
        self.replaced(pairing)  # the daemon may have crashed before that was written

    def get(self, pairing_id: str) -> Pairing | None:
        """Return a pairing, or None if there is none with this ID."""
        return self._by_id.get(pairing_id)

    @property
    def all(self) -> tuple[Pairing, ...]:
        """All pairings of the last hour, in any state."""
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

    def open_of(self, block: Block) -> tuple[Pairing, ...]:
        """Return the open pairings that ``block`` applies to."""
        return tuple(
            it for it in self._by_id.values() if self.is_open(it) and block.applies_to(it.identity, site=it.site)
        )

    @property
    def waiting(self) -> tuple[Pairing, ...]:
        """The pairings that wait for the user's decision, the oldest first."""
        return tuple(pairing for pairing in self._by_id.values() if self.waits(pairing))

    @property
    def has_open(self) -> bool:
        """Whether any pairing is open."""
        return any(self.is_open(pairing) for pairing in self._by_id.values())

    async def put(self, pairing: Pairing, *, before: Pairing | None, lasts: float | None = None) -> None:
        """
        Store ``pairing``, once it is written.

        Args:
            pairing: The pairing.
            before: The one with the same ID that it was made from and replaces; None for a new one.
            lasts: Seconds for the next step; None to keep the deadline.

        Raises:
            PairingDecided: If that one was denied or withdrawn since it was read, or while this was written.
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        if self._by_id.get(pairing.id) is before:
            await self._records.save(pairing)
        if self._by_id.get(pairing.id) is not before:
            self._write_later(pairing.id)
            raise PairingDecided("The request was denied or withdrawn in the meantime.")
        self._by_id[pairing.id] = pairing
        if lasts is not None:
            self._set_deadline(pairing.id, self._clock.monotonic() + lasts)
        self._events.publish("pairing", pairing, owner_only=True)
        self._prune()

    def replaced(self, pairing: Pairing) -> None:
        """End the request that ``pairing`` replaces, if it is still pending. This takes effect immediately."""
        old = self._by_id.get(pairing.decision.replaces) if isinstance(pairing.decision, Waiting) else None
        if old is not None and isinstance(old.decision, Waiting):
            self.end(msgspec.structs.replace(old, decision=Withdrawn(replaced_by=pairing.id)))
            self._rate_limiter.replaced(old)

    def end(self, pairing: Pairing) -> None:
        """Store a pairing that was denied or withdrawn. It takes effect at once, and is written later."""
        self._by_id[pairing.id] = pairing
        self._events.publish("pairing", pairing, owner_only=True)
        self._write_later(pairing.id)
        self._prune()

    async def written(self) -> bool:
        """Wait a little until what took effect is written, and return whether it is."""
        return await self._pending.written()

    def _write_later(self, pairing_id: str, *, kept: bool = False) -> None:
        key = f"pairing:{pairing_id}"
        self._pending.add(key, lambda: self._write(pairing_id), tombstone=key, kept=kept)

    async def _write(self, pairing_id: str) -> None:
        async with self.lock:
            pairing = self._by_id.get(pairing_id)
            if pairing is not None:
                await self._records.save(pairing)

    def _set_deadline(self, pairing_id: str, deadline: float) -> None:
        self._deadlines[pairing_id] = deadline
        if deadline > self._clock.monotonic():
            self._clock.call_at(deadline, lambda: self._publish_expiry(pairing_id))

    def _publish_expiry(self, pairing_id: str) -> None:
        """Publish that the time of a request is over. Reads compute this from the clock and need no event."""
        pairing = self._by_id.get(pairing_id)
        if pairing is not None and self.is_expired(pairing):
            self._events.publish("pairing", pairing, owner_only=True)

    def _prune(self) -> None:
        now = self._clock.monotonic()
        old = tuple(
            it.id
            for it in self._by_id.values()
            if self._deadlines.get(it.id, 0.0) + _REMEMBERED_SECONDS < now and not self.is_open(it)
        )
        for pairing_id in old:
            del self._by_id[pairing_id]
            self._deadlines.pop(pairing_id, None)
        if old:
            self._pending.add(f"forget:{old[0]}", lambda: self._records.forget(old))

    # --- blocks -------------------------------------------------------------------------------------------------------

    def is_blocked(self, identity: Identity, *, site: str) -> bool:
        """Return whether ``identity`` or its site is blocked."""
        return any(block.applies_to(identity, site=site) for block in self._blocks.values())

    def is_site_blocked(self, site: str) -> bool:
        """Return whether a whole site is blocked."""
        return any(block.site == site for block in self._blocks.values())

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks."""
        return tuple(self._blocks.values())

    def block(self, block: Block, *, because_of: str) -> None:
        """
        Block an identity or a site. It takes effect at once, and is written later.

        Args:
            block: The block.
            because_of: The pairing whose identity is blocked.
        """
        self._add_block(block, because_of=because_of)

    async def unblock(self, block: Block) -> None:
        """
        Remove a block, once that is written.

        Raises:
            LedgerUnavailable: Nothing is changed then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._records.unblock(block.id)
        if self._blocks.get(block.key) is block:  # not one of the same identity that was added meanwhile
            del self._blocks[block.key]

    def _add_block(self, block: Block, *, because_of: str, kept: bool = False) -> None:
        self._blocks[block.key] = block
        tombstone = f"block-site:{because_of}" if block.site else f"block:{because_of}"
        self._pending.add(f"block:{block.id}", lambda: self._write_block(block), tombstone=tombstone, kept=kept)

    async def _write_block(self, block: Block) -> None:
        async with self.lock:
            if self._blocks.get(block.key) is block:
                await self._records.block(block)
            else:
                await self._records.unblock(block.id)


def _is_of_sign_in(pairing: Pairing) -> bool:
    """Return whether a request belongs to an OAuth sign-in. It ends with the daemon: nobody could fetch its token."""
    is_open = isinstance(pairing.decision, Waiting | Approved)
    return is_open and pairing.audience == "mcp" and pairing.identity.pid is None
