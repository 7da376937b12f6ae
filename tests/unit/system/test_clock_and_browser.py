"""What the machine gives: the browser and the clock."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from upstash_helper.system.clock_and_browser import SystemClock

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://auth.example/authorize?state=a%2Bb&scope=openid%20email"


def opened(environment: dict[str, str]) -> bool:
    """Open ``URL`` in a process of its own: ``webbrowser`` looks at the environment once."""
    code = (
        "import asyncio, sys; from upstash_helper.system.clock_and_browser import SystemBrowser;"
        "print(asyncio.run(SystemBrowser().open(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, URL], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
def test_the_users_browser_is_given_the_address_as_it_is(tmp_path: Path) -> None:
    """BROWSER is respected, and nothing of the address is lost on the way."""
    seen, script = tmp_path / "seen", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    script.chmod(0o700)

    assert opened({**os.environ, "BROWSER": f"{script} %s"})
    assert URL == seen.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: a Linux machine without a display")
def test_without_a_browser_it_says_so() -> None:
    """The caller then shows the address instead."""
    gone = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    environment = {name: text for name, text in os.environ.items() if name not in gone}

    assert not opened({**environment, "PATH": "/nonexistent"})


def test_the_clock_tells_both_times() -> None:
    """One for deadlines that never goes back, one for what is shown."""
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert first <= second
    assert abs(clock.time() - time.time()) < 5


class Sleeper(SystemClock):
    """The clock of a machine that sleeps: it goes on, and the event loop's timers do not."""

    slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept


async def test_the_clock_calls_in_time() -> None:
    """Neither before the time has come, nor never if it has come already."""
    clock, called = SystemClock(), asyncio.Event()
    due = clock.monotonic() + 0.02

    clock.call_at(due, called.set)
    await asyncio.wait_for(called.wait(), 5)
    at = clock.monotonic()
    called.clear()
    clock.call_at(due, called.set)
    await asyncio.wait_for(called.wait(), 5)

    assert at >= due


async def test_t52_the_clock_calls_soon_after_a_sleep() -> None:
    """What was due while the machine slept is not put off by as long as it slept."""
    clock, called = Sleeper(longest_wait=0.01), asyncio.Event()

    clock.call_at(clock.monotonic() + 3600, called.set)
    clock.slept = 8 * 3600.0

    await asyncio.wait_for(called.wait(), 5)
