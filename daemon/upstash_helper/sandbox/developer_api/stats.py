"""A database's statistics, computed from its server's ``INFO``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from upstash_helper.sandbox.redis.servers import DatabaseServer

_CALLS = re.compile(r"calls=(\d+),usec=(\d+)")
_P99 = re.compile(r"p99=([\d.]+)")
_KEYS = re.compile(r"keys=(\d+)")
MICROSECONDS_PER_MILLISECOND = 1000.0


class Point(msgspec.Struct):
    """A value at a time."""

    x: str
    y: float

    @classmethod
    def at(cls, moment: datetime, value: float) -> Point:
        """Return a value at a time in UTC, in Upstash's notation."""
        return cls(moment.strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC"), value)


class CommandCount(msgspec.Struct):
    """How often one command was called."""

    metric_identifier: str
    data_points: list[Point]


class DatabaseStats(msgspec.Struct, kw_only=True):
    """Statistics in the format of Upstash's ``DatabaseStats``. Each series has a single point: now."""

    monitor_count: Point
    daily_net_commands: int
    daily_read_requests: int
    daily_write_requests: int
    connection_count: list[Point]
    keyspace: list[Point]
    throughput: list[Point]
    diskusage: list[Point]
    latencymean: list[Point]
    latency_99: list[Point]
    read_latency_mean: list[Point]
    read_latency_99: list[Point]
    write_latency_mean: list[Point]
    write_latency_99: list[Point]
    hits: list[Point]
    misses: list[Point]
    read: list[Point]
    write: list[Point]
    dailyrequests: list[Point]
    days: list[str]
    dailybilling: list[Point]
    dailybandwidth: int
    bandwidths: list[Point]
    total_monthly_bandwidth: int
    total_monthly_requests: int
    total_monthly_read_requests: int
    total_monthly_write_requests: int
    total_monthly_script_requests: int
    queue_optimized: bool = False
    total_monthly_storage: int
    current_storage: int
    total_monthly_billing: float = 0.0
    command_counts: list[CommandCount]


class CallStats(msgspec.Struct):
    """How often one or several commands were called, and how long they took."""

    count: int = 0
    microseconds: int = 0
    slowest: float = 0.0
    """The highest 99th percentile of the commands, in microseconds."""

    @property
    def mean(self) -> float:
        """Milliseconds per call."""
        return round(self.microseconds / self.count / MICROSECONDS_PER_MILLISECOND, 6) if self.count else 0.0


async def stats_of(server: DatabaseServer) -> DatabaseStats:
    """Return the statistics of a server since its start."""
    info = await server.info()
    reads, writes = await server.commands_in("read"), await server.commands_in("write")
    moment = datetime.now(UTC)

    def now(value: float) -> list[Point]:
        return [Point.at(moment, value)]

    commands = _calls_by_command(info)
    by_clients = {name: calls for name, calls in commands.items() if _base(name) in reads | writes}
    read = _sum(calls for name, calls in commands.items() if _base(name) in reads)
    write = _sum(calls for name, calls in commands.items() if _base(name) in writes)
    script = _sum(calls for name, calls in commands.items() if _base(name).startswith(("eval", "fcall")))
    total = _sum(by_clients.values())
    bandwidth = int(info.get("total_net_input_bytes", "0")) + int(info.get("total_net_output_bytes", "0"))
    storage = int(info.get("used_memory_dataset", "0"))
    return DatabaseStats(
        monitor_count=now(len(server.monitors))[0],
        daily_net_commands=total.count,
        daily_read_requests=read.count,
        daily_write_requests=write.count,
        connection_count=now(int(info.get("connected_clients", "1")) - 1),  # without the one that sent INFO
        keyspace=now(_keys(info)),
        throughput=now(int(info.get("instantaneous_ops_per_sec", "0"))),
        diskusage=now(storage),
        latencymean=now(total.mean),
        latency_99=now(total.slowest / MICROSECONDS_PER_MILLISECOND),
        read_latency_mean=now(read.mean),
        read_latency_99=now(read.slowest / MICROSECONDS_PER_MILLISECOND),
        write_latency_mean=now(write.mean),
        write_latency_99=now(write.slowest / MICROSECONDS_PER_MILLISECOND),
        hits=now(int(info.get("keyspace_hits", "0"))),
        misses=now(int(info.get("keyspace_misses", "0"))),
        read=now(read.count),
        write=now(write.count),
        dailyrequests=now(total.count),
        days=[moment.strftime("%A")],
        dailybilling=now(0.0),
        dailybandwidth=bandwidth,
        bandwidths=now(bandwidth),
        total_monthly_bandwidth=bandwidth,
        total_monthly_requests=total.count,
        total_monthly_read_requests=read.count,
        total_monthly_write_requests=write.count,
        total_monthly_script_requests=script.count,
        total_monthly_storage=storage,
        current_storage=storage,
        command_counts=[CommandCount(name.upper(), now(calls.count)) for name, calls in sorted(by_clients.items())],
    )


def _calls_by_command(info: dict[str, str]) -> dict[str, CallStats]:
    """Return the calls of each command. The keys are in lower case."""
    commands = {}
    for name, value in info.items():
        matched = _CALLS.match(value) if name.startswith("cmdstat_") else None
        if matched:
            command = name.removeprefix("cmdstat_")
            percentile = _P99.search(info.get(f"latency_percentiles_usec_{command}", ""))
            slowest = float(percentile[1]) if percentile else 0.0
            commands[command.lower()] = CallStats(int(matched[1]), int(matched[2]), slowest)
    return commands


def _sum(parts: Iterable[CallStats]) -> CallStats:
    total = CallStats()
    for calls in parts:
        total.count += calls.count
        total.microseconds += calls.microseconds
        total.slowest = max(total.slowest, calls.slowest)
    return total


def _base(name: str) -> str:
    """Return a subcommand's command: ``xinfo`` for ``xinfo|stream``."""
    return name.partition("|")[0]


def _keys(info: dict[str, str]) -> int:
    matched = _KEYS.match(info.get("db0", ""))
    return int(matched[1]) if matched else 0
