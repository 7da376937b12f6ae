"""The machine's clock. The browser is in ``test_browser.py``."""

from __future__ import annotations

import asyncio
import time

from upstash_helper.system.clock_and_browser import SystemClock


def test_clock_has_monotonic_and_unix_time() -> None:
    """Deadlines use the monotonic time; the Unix time is for display."""
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert first <= second
    assert abs(clock.time() - time.time()) < 5


class Sleeper(SystemClock):
    """A clock that continues while the machine sleeps, unlike the event loop's timers."""

    slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept


async def test_call_at_runs_when_due() -> None:
    """A call runs neither early nor, if its time has passed, never."""
    clock, called = SystemClock(), asyncio.Event()
    due = clock.monotonic() + 0.02

    clock.call_at(due, called.set)
    await asyncio.wait_for(called.wait(), 5)
    at = clock.monotonic()
    called.clear()
    clock.call_at(due, called.set)
    await asyncio.wait_for(called.wait(), 5)

    assert at >= due


async def test_t52_call_at_runs_soon_after_sleep() -> None:
    """A call that was due while the machine slept is not delayed by the duration of the sleep."""
    clock, called = Sleeper(max_wait=0.01), asyncio.Event()
    due, began = clock.monotonic() + 3600, time.monotonic()

    clock.call_at(due, called.set)
    clock.slept = 8 * 3600.0
    await asyncio.wait_for(called.wait(), 5)

    assert clock.monotonic() >= due
    assert time.monotonic() - began < 5
