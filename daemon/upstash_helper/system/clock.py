"""
The clock for everything that a user limits or that becomes old: access for one hour, sessions, codes, and tokens.

It counts the time during which the computer sleeps, so that "for one hour" does not last overnight. ``time.monotonic``
does so only on Windows:

=======  ========================  =========================================================================
system   clock                     source
=======  ========================  =========================================================================
Linux    ``CLOCK_BOOTTIME``        clock_gettime(2): "also includes any time that the system is suspended"
macOS    ``CLOCK_MONOTONIC_RAW``   clock_gettime(3): increments while asleep, and is not adjusted. Python's
                                   ``time.monotonic`` is mach_absolute_time(), which stops
Windows  QueryPerformanceCounter   Microsoft: it counts "a sleep state such as standby, hibernate, or connected
                                   standby". That is ``time.perf_counter``; until Python 3.12,
                                   ``time.monotonic`` is GetTickCount64
=======  ========================  =========================================================================

Time limits of single operations, such as a request, a lock, or a process, use ``time.monotonic``: nothing goes on while
the computer sleeps.
"""

from __future__ import annotations

import functools
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# The event loop's timers stop while the computer sleeps. So a long wait is split, and the clock is read again after
# each part: an attempt that expired overnight ends within this many seconds after the lid is opened.
MAX_WAIT: Final = 30.0

_CLOCK_IDS: Final = {"linux": "CLOCK_BOOTTIME", "darwin": "CLOCK_MONOTONIC_RAW"}


def including_sleep(platform: str = sys.platform) -> Callable[[], float]:
    """
    Return the function that reads the clock of ``platform``: seconds that never go back, and include sleep.

    Args:
        platform: Like ``sys.platform``.
    """
    if sys.platform == "win32" or platform == "win32":
        return time.perf_counter
    name = _CLOCK_IDS.get(platform)
    # On other Unix systems, sleep counts if their CLOCK_MONOTONIC counts it, as that of OpenBSD does.
    return time.monotonic if name is None else functools.partial(time.clock_gettime, getattr(time, name))


monotonic: Final = including_sleep()
"""Return seconds that never go back, and include sleep."""


class SystemClock:
    """The ``Clock`` port."""

    def __init__(self, *, read: Callable[[], float] = monotonic, max_wait: float = MAX_WAIT) -> None:
        """
        Args:
            read: Returns seconds that never go back, and include sleep.
            max_wait: Seconds after which the clock is read again.
        """
        self._read = read
        self._max_wait = max_wait

    def monotonic(self) -> float:
        """Return seconds that never go back, and include sleep."""
        return self._read()

    def time(self) -> float:
        """Return the Unix time."""
        return time.time()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Schedule ``call`` in the running event loop for the time ``when`` of ``monotonic``."""
        import asyncio  # loaded by then; clients of the keyring need only the time

        loop = asyncio.get_running_loop()
        left = when - self.monotonic()
        if left > 0:
            loop.call_later(min(left, self._max_wait), self.call_at, when, call)
        else:
            loop.call_soon(call)
