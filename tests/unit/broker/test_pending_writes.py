"""Writes that follow what they record: order, repetition, back-off, and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.until import until_async
from upstash_helper.broker.audit import MAX_LATER, Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import LedgerFull
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.broker.pending_writes import LAST_RETRY_SECONDS, NoTombstones, PendingWrites
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

APP = Caller(kind="app", id="app-1", name="App")


@dataclass
class Disk:
    """A disk that a test can fill, and what was written to it."""

    is_full: bool = False
    tried: int = 0
    wrote: list[str] = field(default_factory=list)

    def write(self, name: str) -> Callable[[], Awaitable[None]]:
        """Return a write."""

        async def run() -> None:
            self.tried += 1
            if self.is_full:
                raise LedgerFull("The disk is full. Free some space, then try again.")
            self.wrote.append(name)

        return run


@dataclass
class Setup:
    """Pending writes on such a disk."""

    disk: Disk = field(default_factory=Disk)
    clock: FakeClock = field(default_factory=FakeClock)
    background: Background = field(default_factory=Background)
    ledger: SqliteLedger = field(default_factory=lambda: SqliteLedger(None))

    def __post_init__(self) -> None:
        self.pending = PendingWrites(
            ledger=self.ledger, tombstones=NoTombstones(), background=self.background, clock=self.clock
        )

    def add(self, name: str) -> None:
        """Add a write."""
        self.pending.add(name, self.disk.write(name), tombstone=name)

    async def idle(self) -> None:
        """Wait until nothing is in progress."""
        await until_async(lambda: not self.background)


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    """Pending writes on a disk with space."""
    setup = Setup()
    yield setup
    await setup.ledger.close()


async def test_t65_writes_keep_their_order_across_a_full_disk(setup: Setup) -> None:
    """All wait behind the first that fails; a write that is added again is done once."""
    setup.disk.is_full = True
    for name in ("first", "second", "first", "third"):
        setup.add(name)
    first = await setup.pending.written()

    setup.disk.is_full = False
    setup.clock.advance(1)
    await setup.idle()

    assert (False, True) == (first, await setup.pending.written())
    assert ["first", "second", "third"] == setup.disk.wrote


async def test_t65_retries_become_rare_and_end(setup: Setup) -> None:
    """The delay doubles up to a minute. Nothing is tried, and no timer runs, once everything is written."""
    setup.disk.is_full = True
    setup.add("change")
    await setup.idle()
    delays = []
    for _ in range(8):
        tried, waited = setup.disk.tried, 0
        while setup.disk.tried == tried:
            setup.clock.advance(1)
            waited += 1
            await setup.idle()
        delays.append(waited)
    setup.disk.is_full = False
    setup.clock.advance(LAST_RETRY_SECONDS)
    await setup.idle()
    tried = setup.disk.tried

    setup.clock.advance(86_400)
    await setup.idle()

    assert [1, 2, 4, 8, 16, 32, 60, 60] == delays
    assert (tried, False, ["change"]) == (setup.disk.tried, bool(setup.pending), setup.disk.wrote)


async def test_t65_notice_says_what_a_restart_undoes(setup: Setup) -> None:
    """Without a place for tombstones, the user is told; the reason does not ask the user to try again."""
    setup.disk.is_full = True
    setup.add("change")

    await setup.pending.written()

    assert (
        "This has taken effect, but could not be saved yet. The disk is full. Free some space. The helper will save it"
        " as soon as it can. Until then, restarting the helper undoes it."
    ) == setup.pending.notice


async def test_t65_stopping_tries_once_more(setup: Setup) -> None:
    """What could not be written before is written when the daemon stops, if that is possible then."""
    setup.disk.is_full = True
    setup.add("change")
    await setup.idle()
    setup.disk.is_full = False

    await setup.pending.close()

    assert ["change"] == setup.disk.wrote


async def test_t65_waiting_audit_entries_are_merged_and_limited(setup: Setup) -> None:
    """Equal ones are counted. Beyond the limit, one entry says how many are missing."""
    audit = Audit(records=setup.ledger.audit, pending=setup.pending, clock=setup.clock)
    setup.disk.is_full = True
    setup.add("change")
    await setup.idle()
    for number in range(MAX_LATER + 10):
        audit.note_later(APP, "token.misused", f"https://{number}.example.com")
        audit.note_later(APP, "token.misused", f"https://{number}.example.com")
    setup.disk.is_full = False
    setup.clock.advance(1)
    await setup.idle()

    entries = await audit.page(AuditQuery(limit=1000))
    missing = [entry for entry in entries if entry.action == "audit.not_recorded"]

    assert MAX_LATER + 1 == len(entries)
    assert [("owner", 20)] == [(entry.app_id, entry.count) for entry in missing]
    assert {2} == {entry.count for entry in entries if entry.action == "token.misused"}
