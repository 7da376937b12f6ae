"""The clock for time limits, on each system."""

from __future__ import annotations

import asyncio
import sys
import time

import pytest

from upstash_helper.system.clock import SystemClock, including_sleep


def test_clock_has_monotonic_and_unix_time() -> None:
    """Deadlines use the monotonic time; the Unix time is for display."""
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert first <= second
    assert abs(clock.time() - time.time()) < 5


@pytest.mark.parametrize(
    ("platform", "name"),
    [("linux", "CLOCK_BOOTTIME"), ("darwin", "CLOCK_MONOTONIC_RAW")],
)
def test_access_for_one_hour_ends_while_the_computer_sleeps(platform: str, name: str) -> None:
    """On Linux and macOS, ``time.monotonic`` stops while the computer sleeps, so another clock is read."""
    clock_id = getattr(time, name, None)
    if clock_id is None:
        pytest.skip(f"platform: there is no {name} here")
    read = including_sleep(platform)

    before, found, after = time.clock_gettime(clock_id), read(), time.clock_gettime(clock_id)

    assert before <= found <= after


def test_performance_counter_includes_sleep_on_windows() -> None:
    """Until Python 3.12, ``time.monotonic`` is a coarse clock there, of which sources contradict each other."""
    assert including_sleep("win32") is time.perf_counter


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has only one clock that counts sleep")
def test_unknown_systems_have_a_clock() -> None:
    """A system without a clock of its own has Python's monotonic one."""
    assert including_sleep("freebsd14") is time.monotonic


class Sleeper:
    """A clock that continues while the computer sleeps, unlike the event loop's timers."""

    def __init__(self) -> None:
        self.slept = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.slept


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
    """A call that was due while the computer slept is not delayed by the duration of the sleep."""
    sleeper, called = Sleeper(), asyncio.Event()
    clock = SystemClock(read=sleeper, max_wait=0.01)
    due, began = clock.monotonic() + 3600, time.monotonic()

    clock.call_at(due, called.set)
    sleeper.slept = 8 * 3600.0
    await asyncio.wait_for(called.wait(), 5)

    assert clock.monotonic() >= due
    assert time.monotonic() - began < 5
