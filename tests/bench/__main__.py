"""
Runs the measurements and prints the results.

    python -m tests.bench              all
    python -m tests.bench start idle   some
    python -m tests.bench --quick      fewer runs, to check that it works

Absolute figures depend on the machine and the moment; quote the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from tests.bench.load import requests_per_second
from tests.bench.servers import BASELINE, Server, daemon_command, environment, free_port, running
from tests.support.floods import FLOODS, owner_calls
from tests.support.other_programs import NOBODY
from tests.support.sandbox import Sandbox
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

MEGABYTE = 1_000_000


def report(name: str, ours: float, baseline: float, unit: str) -> None:
    """Print a figure, its baseline, and their ratio."""
    sys.stdout.write(f"{name:<44} {ours:>10.3f} {baseline:>10.3f} {unit:<5} {ours / baseline:>6.2f}x\n")
    sys.stdout.flush()


def pair(home: Path) -> tuple[AbstractContextManager[Server], AbstractContextManager[Server]]:
    """Return a daemon and a bare server, neither of them started."""
    ours, other = free_port(), free_port()
    return (
        running(daemon_command(ours), ours, environment(UPSTASH_HELPER_HOME=str(home)), home=home),
        running([*BASELINE, str(other)], other, environment()),
    )


def homes(count: int) -> Iterator[Path]:
    """Yield ``count`` empty folders."""
    for _ in range(count):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


def bench_start(*, quick: bool) -> None:
    """Measure the time from the start of the process to its first response, alternating, and the memory after it."""
    ours, other = [], []
    for home in homes(2 if quick else 11):
        daemon, baseline = pair(home)
        with daemon as server:
            ours.append((server.ready_seconds, server.rss, server.uss))
        with baseline as server:
            other.append((server.ready_seconds, server.rss, server.uss))

    # The first run compiles modules and fills caches, so it does not count.
    median = [[statistics.median(column) for column in zip(*runs[1:], strict=True)] for runs in (ours, other)]
    report("start to ready, median", median[0][0], median[1][0], "s")
    report("resident memory when ready, median", median[0][1] / MEGABYTE, median[1][1] / MEGABYTE, "MB")
    report("unique memory when ready, median", median[0][2] / MEGABYTE, median[1][2] / MEGABYTE, "MB")


def bench_idle(*, quick: bool) -> None:
    """Measure the cost of an unused daemon."""
    seconds = 2 if quick else 20
    after: list[tuple[int, float]] = []
    before: list[tuple[int, float]] = []
    for home in homes(1):
        daemon, baseline = pair(home)
        with daemon as ours, baseline as other:
            time.sleep(1)
            before = [(server.wakeups, server.cpu_seconds) for server in (ours, other)]
            time.sleep(seconds)
            after = [(server.wakeups, server.cpu_seconds) for server in (ours, other)]
    for name, (woken, used), (woken_before, used_before) in zip(("daemon", "bare"), after, before, strict=True):
        sys.stdout.write(
            f"idle for {seconds} s, {name}: {woken - woken_before} wake-ups, {used - used_before:.3f} s CPU\n"
        )


def bench_requests(*, quick: bool) -> None:
    """Measure status requests per second, through the guard and with a token, alternating."""
    for home in homes(1):
        daemon, baseline = pair(home)
        with daemon as ours, baseline as other:
            for connections in (1, 32):
                rates: dict[int, list[float]] = {ours.port: [], other.port: []}
                for _ in range(1 if quick else 5):
                    for server in (ours, other):
                        rate = requests_per_second(
                            server.port, "/v1/connection", token=server.token, connections=connections,
                            seconds=0.2 if quick else 2,
                        )  # fmt: skip
                        rates[server.port].append(asyncio.run(rate))
                medians = [statistics.median(rates[server.port]) for server in (ours, other)]
                report(f"GET /v1/connection, {connections} connections", medians[0], medians[1], "rps")


async def _measure_list(home: Path, *, quick: bool) -> None:
    port = free_port()
    async with Sandbox.running(home / "far", redirect_uris=(f"http://localhost:{port}",)) as sandbox:
        email = "bench@example.com"
        await sandbox.account(email, PASSWORD)
        key = await sandbox.api_key(email, "bench")
        command = daemon_command(port, "--api-url", sandbox.api_url, "--auth-url", sandbox.auth_url)
        with running(command, port, environment(UPSTASH_HELPER_HOME=str(home)), home=home) as server:
            async with aiohttp.ClientSession() as session:
                bearer = {"Authorization": f"Bearer {server.token}"}
                base = f"http://127.0.0.1:{port}"
                given = {"email": email, "api_key": key}
                async with session.put(f"{base}/v1/connection/api-key", json=given, headers=bearer) as reply:
                    reply.raise_for_status()
                basic = {"Authorization": aiohttp.encode_basic_auth(email, key)}
                ours: list[float] = []
                direct: list[float] = []
                cached: list[float] = []
                for _ in range(20 if quick else 300):
                    ours.append(await _timed(session, f"{base}/v1/databases?refresh=true", bearer))
                    direct.append(await _timed(session, f"{sandbox.api_url}/v2/redis/databases", basic))
                    cached.append(await _timed(session, f"{base}/v1/databases", bearer))
    milliseconds = [statistics.median(times) * 1000 for times in (ours, direct, cached)]
    report("list through the daemon over the direct call", milliseconds[0], milliseconds[1], "ms")
    report("list from the daemon's cache over the same", milliseconds[2], milliseconds[1], "ms")


async def _timed(session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> float:
    started = time.perf_counter()
    async with session.get(url, headers=headers) as reply:
        await reply.read()
        reply.raise_for_status()
    return time.perf_counter() - started


def bench_list(*, quick: bool) -> None:
    """Measure the overhead of listing databases through the daemon."""
    for home in homes(1):
        asyncio.run(_measure_list(home, quick=quick))


def bench_tray(*, quick: bool) -> None:
    """Measure an idle tray, relative to an empty pystray icon."""
    from tests.bench import tray

    seconds = 2.0 if quick else 60.0
    ours, empty, took = tray.idle(seconds)
    sys.stdout.write(f"tray: {took:.3f} s from its start to the panel\n")
    report("tray: resident memory, over an empty icon's", ours.rss / MEGABYTE, empty.rss / MEGABYTE, "MB")
    for name, cost in (("tray", ours), ("empty icon", empty)):
        sys.stdout.write(f"idle for {seconds:.0f} s, {name}: {cost.wakeups} wake-ups, {cost.cpu_seconds:.3f} s CPU\n")


def bench_activation(*, quick: bool) -> None:
    """Measure a start on the first request, and the daemon after an accelerated hour; see tests/bench/activation.py."""
    from tests.bench import activation

    ours: list[tuple[float, int, int]] = []
    other: list[tuple[float, int, int]] = []
    for home in homes(2 if quick else 11):
        for runs, folder in ((ours, home), (other, None)):
            with activation.activated(folder) as server:
                runs.append((server.first_response_seconds(), *activation.Memory.of(server.pid)))
    # The first run compiles modules and fills caches, so it does not count.
    median = [[statistics.median(column) for column in zip(*runs[1:], strict=True)] for runs in (ours, other)]
    report("activated: connection to response, median", median[0][0], median[1][0], "s")
    report("activated: resident memory after it, median", median[0][1] / MEGABYTE, median[1][1] / MEGABYTE, "MB")
    report("activated: proportional memory, median", median[0][2] / MEGABYTE, median[1][2] / MEGABYTE, "MB")

    seconds = 1.0 if quick else 60.0
    hours = []
    for home in homes(1):
        for folder in (home, None):
            with activation.activated(folder) as server:
                hours.append(activation.an_hour(server, parts=12 if quick else 1, idle_seconds=seconds))
    daemon, bare = hours
    report("after an hour of light use: resident memory", daemon.after.rss / MEGABYTE, bare.after.rss / MEGABYTE, "MB")
    report("after an hour of light use: proportional", daemon.after.pss / MEGABYTE, bare.after.pss / MEGABYTE, "MB")
    for name, hour in (("daemon", daemon), ("bare", bare)):
        steps = [memory.rss / MEGABYTE for memory in (hour.ready, hour.used, hour.after)]
        sys.stdout.write(
            f"resident memory, {name}: {steps[0]:.1f} MB when ready, {steps[1]:.1f} after one round, "
            f"{steps[2]:.1f} after the hour's {hour.requests} requests\n"
        )
        sys.stdout.write(f"idle for {seconds:.0f} s after it, {name}: {hour.wakeups} wake-ups\n")


def bench_floods(*, quick: bool) -> None:
    """Measure the owner's calls while another program, of this or another user, holds as many connections as it can."""
    users = {"": 0, ", of another user": NOBODY} if os.geteuid() == 0 else {"": 0}
    for home in homes(1):
        port = free_port()
        with running(daemon_command(port), port, environment(UPSTASH_HELPER_HOME=str(home)), home=home) as server:
            for (name, flood), (whose, user) in itertools.product(FLOODS.items(), users.items()):
                with dataclasses.replace(flood, user=user).against(port):
                    for what, body in (("GET", False), ("POST", True)):
                        calls = owner_calls(port, server.token, seconds=0.1 if quick else 3, body=body)
                        sys.stdout.write(f"{name}{whose}; {what}: {calls}\n")
                        sys.stdout.flush()


def bench_databases(*, quick: bool) -> None:
    """Measure the sandbox's databases: idle ones, and the commands of one client next to a plain Valkey's."""
    from tests.bench import databases

    seconds = 1.0 if quick else 10.0
    for count, home in zip((1, 3) if quick else (1, 10, 100), homes(3), strict=False):
        idle = asyncio.run(databases.idle(home / "data", count, seconds))
        for name, cost in (("created", idle.created), ("used once", idle.used)):
            sys.stdout.write(
                f"sandbox, {count} idle databases, {name}: {cost.pss / MEGABYTE:.1f} MB proportional memory, "
                f"{cost.cpu_seconds:.3f} s CPU in {seconds:.0f} s\n"
            )
        sys.stdout.write(f"sandbox, {count} databases: {idle.ready_seconds:.3f} s from its start to ready\n")
        sys.stdout.flush()
    for home in homes(1):
        rates = asyncio.run(databases.rates(home / "data", free_port(), [1, 100], 0.3 if quick else 3.0))
        for depth, rate in rates.items():
            report(f"SET over TCP, {depth} at once, over a plain Valkey", rate.tcp, rate.plain, "/s")
            report(f"SET over REST, {depth} at once, over a plain Valkey", rate.rest, rate.plain, "/s")


def bench_sandbox(*, quick: bool) -> None:
    """Measure ``sandbox up`` until its variables work, over the start of the sandbox alone."""
    from tests.bench import sandbox_up

    # The first run compiles modules and fills caches, so it does not count.
    runs = [sandbox_up.measure(home) for home in homes(2 if quick else 8)][1:]
    first, again, running_already, alone = (statistics.median(column) for column in zip(*runs, strict=True))
    report("sandbox up, empty, to a working .env, median", first, alone, "s")
    report("sandbox up, after down, median", again, alone, "s")
    report("sandbox up, running already, median", running_already, alone, "s")


def bench_mcp(*, quick: bool) -> None:
    """Measure the stdio bridge of an agent next to Upstash's own server, alternating."""
    from tests.bench import mcp

    ours: list[mcp.Measured] = []
    other: list[mcp.Measured] = []
    command: list[str] | None = None
    for home in homes(1):
        command = mcp.upstash_command(home / "npm")
        with mcp.approved_bridge(home / "home") as env:
            for _ in range(2 if quick else 21):
                ours.append(mcp.measure(mcp.BRIDGE, env))
                other.append(ours[-1] if command is None else mcp.measure(command))
    if command is None:
        sys.stdout.write("mcp: npm or Upstash's server is missing, so the bridge is next to itself\n")
    # The first run compiles modules and fills caches, so it does not count.
    medians = [mcp.Measured(*map(statistics.median, zip(*runs[1:], strict=True))) for runs in (ours, other)]
    report("mcp: start to first response, median", medians[0].first_seconds, medians[1].first_seconds, "s")
    report("mcp: start to the list of tools, median", medians[0].list_seconds, medians[1].list_seconds, "s")
    report("mcp: proportional memory, median", medians[0].pss / MEGABYTE, medians[1].pss / MEGABYTE, "MB")
    report("mcp: resident memory, median", medians[0].rss / MEGABYTE, medians[1].rss / MEGABYTE, "MB")


BENCHES: dict[str, Callable[..., None]] = {
    "start": bench_start,
    "idle": bench_idle,
    "requests": bench_requests,
    "list": bench_list,
    "tray": bench_tray,
    "activation": bench_activation,
    "floods": bench_floods,
    "databases": bench_databases,
    "sandbox": bench_sandbox,
    "mcp": bench_mcp,
}


def main() -> None:
    """Run the requested measurements."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the daemon.")
    parser.add_argument("which", nargs="*", help=f"of {', '.join(BENCHES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, to check that it works")
    options = parser.parse_args()
    unknown = set(options.which) - BENCHES.keys()
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    sys.stdout.write(f"{'':<44} {'daemon':>10} {'bare':>10}\n")
    for name in options.which or BENCHES:
        BENCHES[name](quick=options.quick)


if __name__ == "__main__":
    main()
