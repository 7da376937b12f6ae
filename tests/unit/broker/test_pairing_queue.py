"""The requests and blocks: what takes a right away is not undone by something that was begun before."""

from __future__ import annotations

import asyncio

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.pairing_limits import PairingRateLimiter
from upstash_helper.broker.apps.pairing_queue import PairingQueue
from upstash_helper.broker.apps.sites import Sites
from upstash_helper.broker.background import Background
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import Block
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.system.public_suffixes import ListedSuffixes

PAGE = Identity(kind="web", name="https://page.example.com")


async def test_t65_block_is_kept_if_an_earlier_one_is_being_removed() -> None:
    """One of the user's tools removes a block, and another one blocks the same app before that is written."""
    clock, ledger = FakeClock(), SqliteLedger(None)
    pending = PendingWrites(ledger=ledger, tombstones=NoTombstones(), background=Background(), clock=clock)
    queue = PairingQueue(
        records=ledger.pairings,
        sites=Sites(suffixes=ListedSuffixes()),
        pending=pending,
        rate_limiter=PairingRateLimiter(clock=clock),
        events=EventBus(),
        clock=clock,
    )
    await queue.load()
    earlier, later = (Block(id=name, identity=PAGE, blocked_at=1.0) for name in ("earlier", "later"))
    queue.block(earlier, because_of="pairing-1")
    await pending.written()

    removing = asyncio.create_task(queue.unblock(earlier))
    await asyncio.sleep(0)
    queue.block(later, because_of="pairing-2")
    await removing
    await pending.written()
    _, stored = await ledger.pairings.load()
    await ledger.close()

    assert ((later,), (later,)) == (queue.blocks, stored)
    assert queue.is_blocked(PAGE, site="example.com")
