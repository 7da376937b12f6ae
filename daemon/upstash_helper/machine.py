"""What the machine itself gives: its clock and its browser."""

from __future__ import annotations

import asyncio
import time
from typing import Final

# Counts on while the machine sleeps, where the system has such a clock: a sign-in that was open over night is over.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", None)


class SystemClock:
    """The ``Clock`` port."""

    def monotonic(self) -> float:
        """Return seconds that never go back, sleep included where the system counts it."""
        return time.monotonic() if _STEADY is None else time.clock_gettime(_STEADY)

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
