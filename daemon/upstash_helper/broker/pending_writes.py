"""
Writes that follow what they record.

What takes rights away takes effect in memory first, so that a full, read-only, or locked disk cannot keep a right
alive. What has to be written about it waits here until the ledger accepts it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from upstash_helper.broker.background import Background
    from upstash_helper.broker.ledger import Ledger
    from upstash_helper.broker.ports import Clock, Tombstones

logger = logging.getLogger(__name__)

WAIT_SECONDS: Final = 1.5
"""How long a caller waits for the disk. What it did has taken effect by then."""
FIRST_RETRY_SECONDS: Final = 1.0
LAST_RETRY_SECONDS: Final = 60.0
"""The delay between two attempts doubles up to this."""


@dataclass(slots=True)
class _Write:
    run: Callable[[], Awaitable[object]]
    tombstone: str | None
    kept: bool = False


class PendingWrites:
    """
    Writes to the ledger in the order in which they were added. If one fails, all wait and are tried again, first after
    a second, then less and less often. There is no timer while nothing is pending.

    A write with a tombstone survives a restart even if the ledger does not accept it: the tombstone is kept in a place
    that needs no free space.
    """

    def __init__(self, *, ledger: Ledger, tombstones: Tombstones, background: Background, clock: Clock) -> None:
        self._ledger = ledger
        self._tombstones = tombstones
        self._background = background
        self._clock = clock
        self._queue: dict[str, _Write] = {}
        # Tombstones of what is written to a copy of the ledger in memory only.
        self._unconfirmed: dict[str, bool] = {}
        self._in_memory_only = False
        self._found: Container[str] | None = None
        self._lock = asyncio.Lock()
        self._failure = ""
        self._failed_at = 0.0
        self._delay = 0.0
        self._has_timer = False

    def __bool__(self) -> bool:
        return bool(self._queue) or self._in_memory_only

    def add(
        self, key: str, write: Callable[[], Awaitable[object]], *, tombstone: str | None = None, kept: bool = False
    ) -> None:
        """
        Have ``write`` called as soon as the ledger accepts it. Never fails, and does not wait.

        Args:
            key: A pending write with the same key is replaced.
            write: Writes the current state, so that it can be repeated. May raise ``HelperError``.
            tombstone: Name under which this is remembered across a restart until it is written.
            kept: Whether an earlier run of the daemon has left this tombstone.
        """
        known = self._queue.get(key)
        kept = kept or (known is not None and known.tombstone == tombstone and known.kept)
        self._queue[key] = _Write(write, tombstone, kept)
        if not self._is_pausing:
            self._background.start(self._flush())

    async def written(self) -> bool:
        """
        Wait until everything that was added is written, at most ``WAIT_SECONDS``. Return whether it is; see ``notice``.
        """
        if not self:
            return True
        work = self._keep_tombstones() if self._is_pausing else self._flush()
        task = self._background.begin(work)
        await asyncio.wait((task,), timeout=WAIT_SECONDS)
        return not self

    @property
    def notice(self) -> str:
        """What to tell the user about a change that has taken effect and is not written yet."""
        from upstash_helper.protocol import messages

        problem = self._failure or self._ledger.health().detail or messages.NO_ANSWER_FROM_DISK
        pending = [write.kept for write in self._queue.values() if write.tombstone] + list(self._unconfirmed.values())
        return messages.not_recorded(problem, survives_restart=all(pending))

    async def tombstones(self) -> Container[str]:
        """Return the tombstones that an earlier run of the daemon has left. What they name must have no effect."""
        if self._found is None:
            self._found = await self._tombstones.load()
        return self._found

    async def close(self) -> None:
        """Try once more, because the daemon is stopping."""
        if not self:
            return
        await self._flush()
        if self:
            logger.warning("changes_not_saved", extra={"pending": len(self._queue), "detail": self._failure})

    @property
    def _is_pausing(self) -> bool:
        """Whether an attempt has just failed, so that another one would only take time."""
        return bool(self._failure) and self._clock.monotonic() - self._failed_at < FIRST_RETRY_SECONDS

    async def _flush(self) -> None:
        async with self._lock:
            try:
                await self._write_all()
            except HelperError as error:
                await self._failed(error)
            else:
                if self._failure:
                    logger.info("changes_saved")
                self._failure, self._delay = "", 0.0

    async def _write_all(self) -> None:
        while self._queue:
            key, write = next(iter(self._queue.items()))
            await write.run()
            if self._queue.get(key) is write:
                del self._queue[key]
            if write.tombstone is None:
                continue
            if self._ledger.health().behind:
                self._unconfirmed[write.tombstone] = write.kept
            elif write.kept:
                await self._tombstones.remove(write.tombstone)
        self._in_memory_only = self._in_memory_only or self._ledger.health().behind
        if self._in_memory_only:
            await self._ledger.confirm()
            self._in_memory_only = False
            for tombstone, kept in self._unconfirmed.items():
                if kept:
                    await self._tombstones.remove(tombstone)
            self._unconfirmed.clear()

    async def _failed(self, error: HelperError) -> None:
        if not self._failure:
            logger.warning("changes_not_saved_yet", extra={"pending": len(self._queue), "error": error.code})
        self._failure, self._failed_at = error.detail, self._clock.monotonic()
        if not self._has_timer:
            self._has_timer = True
            self._delay = min(max(FIRST_RETRY_SECONDS, 2 * self._delay), LAST_RETRY_SECONDS)
            self._clock.call_at(self._failed_at + self._delay, self._retry)
        await self._keep_tombstones()

    def _retry(self) -> None:
        self._has_timer = False
        if self:
            self._background.start(self._flush())

    async def _keep_tombstones(self) -> None:
        for write in tuple(self._queue.values()):
            if write.tombstone is not None and not write.kept:
                write.kept = await self._tombstones.add(write.tombstone)
        for tombstone, kept in tuple(self._unconfirmed.items()):
            if not kept:
                self._unconfirmed[tombstone] = await self._tombstones.add(tombstone)


class NoTombstones:
    """The ``Tombstones`` port of a daemon that has no place for them."""

    async def load(self) -> Container[str]:
        """Return nothing."""
        return ()

    async def add(self, name: str) -> bool:  # noqa: ARG002 - the port's signature
        """Return False."""
        return False

    async def remove(self, name: str) -> None:
        """Do nothing."""
