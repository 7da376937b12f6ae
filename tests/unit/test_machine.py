"""What the machine gives: the browser and the clock."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import pytest

from upstash_helper.machine import SystemBrowser, SystemClock

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://auth.example/authorize?state=a%2Bb&scope=openid%20email"


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
async def test_the_users_browser_is_given_the_address_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BROWSER is respected, and nothing of the address is lost on the way through a shell."""
    seen, script = tmp_path / "seen", tmp_path / "browser"
    script.write_text(f'#!/bin/sh\nprintf %s "$1" > {seen}\n')
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")

    opened = await SystemBrowser().open(URL)

    assert opened
    assert URL == seen.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: a Linux machine without a display")
async def test_without_a_browser_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller then shows the address instead."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")

    assert not await SystemBrowser().open(URL)


def test_the_clock_tells_both_times() -> None:
    """One for deadlines that never goes back, one for what is shown."""
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert first <= second
    assert abs(clock.time() - time.time()) < 5
