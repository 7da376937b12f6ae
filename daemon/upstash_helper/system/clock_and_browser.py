"""The machine's clock and browser."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.system.browser import browse_privately

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The event loop's timers stop while the machine sleeps. So a long wait is split, and the clock is read again after each
# part: an attempt that expired overnight ends within this many seconds after the lid is opened.
MAX_WAIT: Final = 30.0

if sys.platform == "linux":

    def _monotonic() -> float:
        # Unlike CLOCK_MONOTONIC this includes sleep: an attempt that was pending overnight has expired.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _monotonic = time.monotonic


class SystemClock:
    """The ``Clock`` port."""

    def __init__(self, *, max_wait: float = MAX_WAIT) -> None:
        """
        Args:
            max_wait: Seconds after which the clock is read again.
        """
        self._max_wait = max_wait

    def monotonic(self) -> float:
        """Return monotonic seconds, including sleep where the system counts it."""
        return _monotonic()

    def time(self) -> float:
        """Return the Unix time."""
        return time.time()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Schedule ``call`` in the running event loop for the monotonic time ``when``."""
        loop = asyncio.get_running_loop()
        left = when - self.monotonic()
        if left > 0:
            loop.call_later(min(left, self._max_wait), self.call_at, when, call)
        else:
            loop.call_soon(call)


class SystemBrowser:
    """The ``Browser`` port with the user's default browser, or the one in ``BROWSER``."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: A private folder, for a file that keeps the address out of the list of processes.
        """
        self._folder = folder

    async def open(self, url: str) -> bool:
        """Open ``url``, which contains the ``state`` of a sign-in. Return False if no browser could be started."""
        return await asyncio.to_thread(browse_privately, url, folder=self._folder, name="sign-in")
