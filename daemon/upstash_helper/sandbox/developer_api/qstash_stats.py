"""The statistics of a QStash user, all of which are zero: the sandbox delivers no messages."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta

import msgspec

from upstash_helper.sandbox.developer_api.stats import Point

PERIODS = {
    "1h": timedelta(hours=1),
    "3h": timedelta(hours=3),
    "12h": timedelta(hours=12),
    "1d": timedelta(days=1),
    "3d": timedelta(days=3),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT_PERIOD = "1h"
_POINTS = 60
_POINTS_OF_THE_LONGEST = 240


class DailyRequests(msgspec.Struct, kw_only=True):
    """The requests of one day."""

    x: str
    y: int = 0
    workflow_message: int = 0
    workflow_run: int = 0


class Metric(msgspec.Struct):
    """A series of one kind of message."""

    id: str
    data_points: list[Point]


class QStashStats(msgspec.Struct, kw_only=True):
    """Statistics in the format of Upstash's ``QStashStats``."""

    days: list[str]
    daily_requests: list[DailyRequests]
    daily_billings: list[Point]
    daily_bandwidths: list[Point]
    daily_used: list[Point]
    daily_used_workflow: list[Point]
    daily_qstash_messages: list[Metric]
    daily_workflow_messages: list[Metric]
    dlq_message_count: int = 0
    daily_bandwidth_used: list[Point]
    total_monthly_billing: float = 0.0


def zero_stats(period: str) -> QStashStats:
    """
    Return the statistics.

    Args:
        period: One of ``PERIODS``. It determines the points of all series but those with one point per day of the
            current month: ``daily_requests``, ``daily_billings``, and ``daily_bandwidths``.
    """
    now = datetime.now(UTC)
    days = [now.replace(day=1) + timedelta(days=passed) for passed in range(monthrange(now.year, now.month)[1])]
    of_days = [Point.at(day, 0) for day in days]
    count = _POINTS_OF_THE_LONGEST if period == "30d" else _POINTS
    step = PERIODS[period] / count
    of_period = [Point.at(now - step * before, 0) for before in reversed(range(count))]
    return QStashStats(
        days=[day.strftime("%A") for day in days],
        daily_requests=[DailyRequests(x=point.x) for point in of_days],
        daily_billings=of_days,
        daily_bandwidths=of_days,
        daily_used=of_period,
        daily_used_workflow=of_period,
        daily_qstash_messages=[Metric("delivered", of_period)],
        daily_workflow_messages=[Metric("canceled", of_period)],
        daily_bandwidth_used=of_period,
    )
