"""Measures an idle tray, relative to an empty pystray icon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.servers import daemon_command, environment, free_port, running
from tests.support.display import x_display
from tests.support.login import shows
from tests.support.notifications import session_bus
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY_ICON = [sys.executable, "-P", str(Path(__file__).with_name("empty_icon.py"))]
_SETTLE_SECONDS = 2.0


class Cost(NamedTuple):
    """The cost of a process so far."""

    rss: int
    """The resident memory in bytes."""
    cpu_seconds: float
    wakeups: int
    """The number of voluntary context switches of its threads."""

    @classmethod
    def of(cls, pid: int) -> Cost:
        """Measure a process."""
        process = psutil.Process(pid)
        times = process.cpu_times()
        return cls(process.memory_info().rss, times.user + times.system, voluntary_switches(pid))


def idle(seconds: float) -> tuple[Cost, Cost, float]:
    """
    Return the cost of the tray and of the empty icon in ``seconds``, and how long the tray took to appear in the
    panel.
    """
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_idle(Path(folder), seconds))


async def _idle(home: Path, seconds: float) -> tuple[Cost, Cost, float]:
    port = free_port()
    with session_bus() as bus, x_display() as display:
        theirs = environment(**bus.env, UPSTASH_HELPER_HOME=str(home))
        with running(daemon_command(port), port, theirs, home=home):
            async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
                started = time.perf_counter()
                with TrayProcess.running(theirs) as tray, _empty_icon({**theirs, "DISPLAY": display}) as empty:
                    item = await host.item()
                    took = time.perf_counter() - started
                    await item.until(shows("No account connected"))
                    await asyncio.sleep(_SETTLE_SECONDS)
                    before = [Cost.of(pid) for pid in (tray.pid, empty)]
                    await asyncio.sleep(seconds)
                    after = [Cost.of(pid) for pid in (tray.pid, empty)]
    ours, theirs_too = (_between(*pair) for pair in zip(before, after, strict=True))
    return ours, theirs_too, took


def _between(before: Cost, after: Cost) -> Cost:
    return Cost(after.rss, after.cpu_seconds - before.cpu_seconds, after.wakeups - before.wakeups)


@contextmanager
def _empty_icon(env: dict[str, str]) -> Iterator[int]:
    silent = subprocess.DEVNULL
    process = subprocess.Popen(EMPTY_ICON, env=env, stdin=silent, stdout=silent, stderr=silent)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def voluntary_switches(pid: int) -> int:
    """Return the number of voluntary context switches of a process's threads."""
    found = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                found += int(line.split()[1])
    return found
