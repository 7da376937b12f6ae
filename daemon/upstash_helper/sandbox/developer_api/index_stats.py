"""The statistics of Vector and Search indexes. They are zero, because no server stores or finds data in an index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from upstash_helper.sandbox.developer_api.stats import Point

Period = Literal["1h", "3h", "12h", "1d", "3d", "7d", "30d"]

PERIODS: dict[Period, tuple[int, timedelta]] = {
    "1h": (60, timedelta(minutes=1)),
    "3h": (60, timedelta(minutes=3)),
    "12h": (60, timedelta(minutes=12)),
    "1d": (60, timedelta(minutes=24)),
    "3d": (60, timedelta(minutes=72)),
    "7d": (60, timedelta(minutes=168)),
    "30d": (240, timedelta(hours=3)),
}
"""The number of points of each period, and the time between them."""
_DAYS = 5
"""How many days the daily series have."""


class GlobalStats(msgspec.Struct, kw_only=True):
    """Statistics of all indexes of an account or team, in the format of Upstash's ``GlobalStats``."""

    record_count: int = 0
    request: int = 0
    bandwidth: int = 0
    storage: int = 0
    billing: float = 0.0
    rerank_count: int = 0


class IndexStats(msgspec.Struct, kw_only=True):
    """Statistics of one index, in the format of Upstash's ``VectorStats``, which Search has too."""

    pending_index_count: int = 0
    current_vector_count: int = 0
    daily_query_count: int = 0
    daily_update_count: int = 0
    daily_rerank_count: int = 0
    monthly_query_count: int = 0
    monthly_update_count: int = 0
    monthly_rerank_count: int = 0
    monthly_bandwidth_usage: int = 0
    storage_usage: int = 0
    monthly_cost: float = 0.0
    days: list[str]
    daily_update_requests: list[Point]
    daily_query_requests: list[Point]
    daily_rerank_requests: list[Point]
    daily_bandwidths: list[Point]
    query_throughput: list[Point]
    update_throughput: list[Point]
    query_latency_mean: list[Point]
    query_latency_99: list[Point]
    update_latency_mean: list[Point]
    update_latency_99: list[Point]
    embeds_latency_mean: list[Point]
    embeds_latency_99: list[Point]
    rerank_latency_mean: list[Point]
    rerank_latency_99: list[Point]
    vector_count: list[Point]
    data_size: list[Point]


def index_stats(period: Period) -> IndexStats:
    """Return the statistics of any index for a period that ends now."""
    series = zeros(period)
    now = datetime.now(UTC)
    days = [now - timedelta(days=ago) for ago in reversed(range(_DAYS))]
    daily = [Point.at(day, 0) for day in days]
    return IndexStats(
        days=[day.strftime("%A") for day in days],
        daily_update_requests=daily,
        daily_query_requests=daily,
        daily_rerank_requests=daily,
        daily_bandwidths=daily,
        query_throughput=series,
        update_throughput=series,
        query_latency_mean=series,
        query_latency_99=series,
        update_latency_mean=series,
        update_latency_99=series,
        embeds_latency_mean=series,
        embeds_latency_99=series,
        rerank_latency_mean=series,
        rerank_latency_99=series,
        vector_count=series,
        data_size=series,
    )


def zeros(period: Period) -> list[Point]:
    """Return the series of a period that ends in this minute, oldest first."""
    count, step = PERIODS[period]
    end = datetime.now(UTC).replace(second=0, microsecond=0)
    return [Point.at(end - step * ago, 0) for ago in reversed(range(count))]
