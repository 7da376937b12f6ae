"""What the machine itself gives: its clock and its browser."""

from __future__ import annotations

import asyncio
import sys
import time

if sys.platform == "linux":

    def _steady() -> float:
        # Counts on while the machine sleeps, unlike CLOCK_MONOTONIC: a sign-in that was open over night is over.
        return time.clock_gettime(time.CLOCK_BOOTTIME)

else:
    _steady = time.monotonic


class SystemClock:
    """The ``Clock`` port."""

    def monotonic(self) -> float:
        """Return seconds that never go back, sleep included where the system counts it."""
        return _steady()

    def time(self) -> float:
        """Return the Unix time."""
        return time.time()


class SystemBrowser:
    """The ``Browser`` port, by the standard library's ``webbrowser``, which respects ``BROWSER``."""

    async def open(self, url: str) -> bool:
        """Open ``url``; False where no browser can be started."""
        return await asyncio.to_thread(_open, url)


def _open(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
