"""The tool for a Redis database's statistics, short enough for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tool import Tool, ToolCall
from upstash_helper.api.mcp.tools import documents, hints
from upstash_helper.api.mcp.tools.fields import Arguments, DatabaseId, Result
from upstash_helper.broker.ports import ResourceRequest

if TYPE_CHECKING:
    from upstash_helper.broker.databases.resources import Resources

Period = Literal["1h", "3h", "12h", "1d", "3d", "7d"]
StatType = Literal[
    "throughput",
    "keyspace",
    "diskusage",
    "connection_count",
    "hits",
    "misses",
    "read",
    "write",
    "latencymean",
    "latency_99",
    "read_latency_mean",
    "read_latency_99",
    "write_latency_mean",
    "write_latency_99",
]
MAX_POINTS: Final = 60

_UNITS: Final[dict[StatType, str]] = {
    "throughput": "commands per second",
    "keyspace": "keys",
    "diskusage": "bytes",
    "connection_count": "connections",
    "hits": "count",
    "misses": "count",
    "read": "commands",
    "write": "commands",
    "latencymean": "ms",
    "latency_99": "ms",
    "read_latency_mean": "ms",
    "read_latency_99": "ms",
    "write_latency_mean": "ms",
    "write_latency_99": "ms",
}


class GetStats(Arguments, frozen=True, kw_only=True):
    """Which statistics to show."""

    database_id: DatabaseId
    period: Annotated[Period, Meta(description="The period that the series cover, ending now.")] = "1h"
    stat_type: Annotated[
        StatType | msgspec.UnsetType, Meta(description="Also return the individual points of this series.")
    ] = msgspec.UNSET


class Series(Result, frozen=True, kw_only=True):
    """A summary of a sampled series."""

    stat_type: str
    unit: str
    latest: float
    mean: float
    maximum: float


class Day(Result, frozen=True, kw_only=True):
    """The usage of one day."""

    day: str
    commands: Annotated[float | None, Meta(description="Exact count.")]
    bandwidth_bytes: float | None


class Sample(Result, frozen=True, kw_only=True):
    """A point of a series."""

    time: str
    value: float


class Stats(Result, frozen=True, kw_only=True):
    """Statistics of a database."""

    period: str
    series: tuple[Series, ...]
    usage_by_day: Annotated[tuple[Day, ...], Meta(description="Exact usage of the last days, in UTC.")]
    current_storage_bytes: float
    monthly_commands: float
    monthly_bandwidth_bytes: float
    monthly_billing_usd: float
    points: Annotated[tuple[Sample, ...], Meta(description="Points of stat_type, at most 60, oldest first.")] = ()


class _Point(msgspec.Struct):
    x: documents.Text = None
    y: documents.Text = None


_Points = list[_Point] | None


class _Document(msgspec.Struct):
    """The part of ``DatabaseStats`` that is shown."""

    throughput: _Points = None
    keyspace: _Points = None
    diskusage: _Points = None
    connection_count: _Points = None
    hits: _Points = None
    misses: _Points = None
    read: _Points = None
    write: _Points = None
    latencymean: _Points = None
    latency_99: _Points = None
    read_latency_mean: _Points = None
    read_latency_99: _Points = None
    write_latency_mean: _Points = None
    write_latency_99: _Points = None
    days: list[str] | None = None
    dailyrequests: _Points = None
    bandwidths: _Points = None
    current_storage: documents.Text = None
    total_monthly_requests: documents.Text = None
    total_monthly_bandwidth: documents.Text = None
    total_monthly_billing: documents.Text = None


class StatisticsTool:
    """The tool."""

    def __init__(self, *, resources: Resources) -> None:
        self._resources = resources

    def tools(self) -> tuple[Tool, ...]:
        """Return the tool."""
        return (
            Tool(
                name="redis_get_stats",
                description=(
                    "Show a Redis database's usage: commands per second, keys, storage, connections, latency, and cache"
                    " hits and misses over a period, and the exact usage of the last days."
                ),
                arguments=GetStats, result=Stats, scope="databases:read",
                annotations=hints.reads("Show statistics"), handler=self.get,
            ),
        )  # fmt: skip

    async def get(self, call: ToolCall, wanted: GetStats) -> Stats:
        """Show statistics."""
        request = ResourceRequest(
            method="GET", path=("redis", "stats", wanted.database_id), query=(("period", wanted.period),)
        )
        document = documents.read(await self._resources(request, call.caller), _Document)
        points: list[_Point] = ([] if wanted.stat_type is msgspec.UNSET else getattr(document, wanted.stat_type)) or []

        return Stats(
            period=wanted.period,
            series=tuple(
                found for name, unit in _UNITS.items() if (found := _series(name, unit, getattr(document, name)))
            ),
            usage_by_day=_days(document),
            current_storage_bytes=documents.number(document.current_storage),
            monthly_commands=documents.number(document.total_monthly_requests),
            monthly_bandwidth_bytes=documents.number(document.total_monthly_bandwidth),
            monthly_billing_usd=documents.number(document.total_monthly_billing),
            points=tuple(
                Sample(time=documents.text(it.x), value=documents.number(it.y))
                for it in points[-MAX_POINTS:]
                if it.y is not None
            ),
        )


def _series(name: str, unit: str, points: _Points) -> Series | None:
    values = [documents.number(point.y) for point in points or () if point.y is not None]
    if not values:
        return None
    return Series(
        stat_type=name, unit=unit, latest=values[-1], mean=round(sum(values) / len(values), 6), maximum=max(values)
    )


def _days(document: _Document) -> tuple[Day, ...]:
    commands, bandwidths = document.dailyrequests or [], document.bandwidths or []

    def value(points: list[_Point], index: int) -> float | None:
        return documents.number(points[index].y) if index < len(points) else None

    return tuple(
        Day(day=day, commands=value(commands, index), bandwidth_bytes=value(bandwidths, index))
        for index, day in enumerate((document.days or [])[:31])
    )
