"""The machine's browser and clock."""

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
    """Open ``URL`` in another process: ``webbrowser`` reads the environment only once."""
    code = (
        "import asyncio, sys; from upstash_helper.system.clock_and_browser import SystemBrowser;"
        "print(asyncio.run(SystemBrowser().open(sys.argv[1])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, URL], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip() == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
def test_configured_browser_receives_the_exact_url(tmp_path: Path) -> None:
    """BROWSER is respected, and the URL is passed unchanged."""
    seen, script = tmp_path / "seen", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    script.chmod(0o700)

    assert opened({**os.environ, "BROWSER": f"{script} %s"})
    assert URL == seen.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: a Linux machine without a display")
def test_open_returns_false_without_a_browser() -> None:
    """The caller can then show the URL instead."""
    gone = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    environment = {name: text for name, text in os.environ.items() if name not in gone}

    assert not opened({**environment, "PATH": "/nonexistent"})


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
