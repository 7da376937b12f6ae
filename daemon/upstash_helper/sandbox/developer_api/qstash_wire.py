"""The request and response bodies of the Developer API's QStash operations, with the fields of Upstash's document."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.qstash import DAILY_LIMITS, PaidPlan, QStashUserRecord
from upstash_helper.sandbox.redis.records import MIB

MIN_BUDGET = 20
MAX_BUDGET = 10_000

# --- requests ---------------------------------------------------------------------------------------------------------


class SetPlan(msgspec.Struct):
    """``POST /qstash/set-plan/{id}``."""

    plan_name: PaidPlan


class UpdateBudget(msgspec.Struct):
    """``PATCH /qstash/update-budget/{id}``, in dollars per month."""

    budget: Annotated[int, Meta(ge=0, le=MAX_BUDGET)]

    def resolve_budget(self) -> int:
        """
        Return the budget.

        Raises:
            RequestError: If it is below the minimum. 0 means no limit.
        """
        if 0 < self.budget < MIN_BUDGET:
            raise RequestError(
                400, f"invalid request body: budget: Must be 0 for no limit, or from {MIN_BUDGET} to {MAX_BUDGET}."
            )
        return self.budget


class MoveToTeam(msgspec.Struct):
    """``POST /qstash/move-to-team``."""

    qstash_id: str
    target_team_id: str


# --- responses --------------------------------------------------------------------------------------------------------


class QStashUser(msgspec.Struct, kw_only=True):
    """
    A QStash user in Upstash's format.

    Only the number of messages per day depends on the plan. The other limits are those of the free plan: the sandbox
    delivers no messages, so nothing reaches them.
    """

    customer_id: str
    id: str
    token: str
    read_only_token: str
    active: bool = True
    state: str = "active"
    last_plan_upgrade_time: int
    max_message_size: int = MIB
    max_requests_per_day: int
    max_requests_per_day_hard: int
    max_endpoints_per_topic: int = 100
    max_requests_per_second: int = 100
    max_dlq_size: int = 1_000_000
    max_retries: int = 999
    max_topics: int = 1
    max_schedules: int = 10
    max_events_size: int = 10_000
    max_dlq_retention_time_milis: int = 259_200_000
    max_delay: int = 604_800
    max_parallelism: int = 2
    max_global_parallelism: int = 10
    max_queues: int = 10
    max_bandwidth_per_second: int = MIB
    prod_pack_enabled: bool
    prometheus_enabled: str = "false"
    timeout: int = 900
    type: str
    region: str = "eu-central-1"
    reserved_type: str
    reserved_price: int = 0
    created_by: str
    creation_time: int
    deletion_time: int = 0
    budget: int

    def __repr__(self) -> str:
        return f"QStashUser({self.id})"


def qstash_user(record: QStashUserRecord) -> QStashUser:
    """Return a QStash user in Upstash's format."""
    per_day = DAILY_LIMITS[record.plan]
    return QStashUser(
        customer_id=record.customer_id,
        id=record.id,
        token=record.token,
        read_only_token=record.read_only_token,
        last_plan_upgrade_time=record.plan_changed_at,
        max_requests_per_day=per_day,
        max_requests_per_day_hard=per_day,
        prod_pack_enabled=record.prod_pack,
        type="free" if record.plan == "free" else "paid",
        reserved_type="" if record.plan in {"free", "paid"} else record.plan,
        created_by=record.created_by,
        creation_time=record.created_at,
        budget=record.budget,
    )
