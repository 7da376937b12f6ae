"""What the machine itself gives: its clock and its browser."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# An event loop's timers stand still while the machine sleeps. So a long wait is cut in pieces, and the clock, which
# does not, is looked at after each: a sign-in that was open over night ends this soon after the lid is.
LONGEST_WAIT: Final = 30.0

if sys.platform == "linux":

    def _steady() -> float:
        # Counts on while the machine sleeps, unlike CLOCK_MONOTONIC: a sign-in that was open over night is over.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _steady = time.monotonic


class SystemClock:
    """The ``Clock`` port."""

    def __init__(self, *, longest_wait: float = LONGEST_WAIT) -> None:
        """
        Args:
            longest_wait: Seconds after which the time is looked at again.
        """
        self._longest_wait = longest_wait

    def monotonic(self) -> float:
        """Return seconds that never go back, sleep included where the system counts it."""
        return _steady()

    def time(self) -> float:
        """Return the Unix time."""
        return time.time()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Have the running event loop call ``call`` at ``when``."""
        loop = asyncio.get_running_loop()
        left = when - self.monotonic()
        if left > 0:
            loop.call_later(min(left, self._longest_wait), self.call_at, when, call)
        else:
            loop.call_soon(call)


class SystemBrowser:
    """The ``Browser`` port, by the standard library's ``webbrowser``, which respects ``BROWSER``."""

    async def open(self, url: str) -> bool:
        """Open ``url``; False where no browser can be started."""
        return await asyncio.to_thread(_open, url)


class SilentNotifier:
    """The ``Notifier`` port for a user who wants no notifications."""

    async def show(self, *, title: str, body: str) -> bool:  # noqa: ARG002 - the port's words
        """Show nothing."""
        return False


def _open(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
