"""
Tools for QStash, as far as the Developer API supports it: its users with their limits, and their statistics.

Accessing messages, schedules, and logs requires QStash's own token and address, which the daemon does not use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tool import Tool, ToolCall
from upstash_helper.api.mcp.tools import documents, hints
from upstash_helper.api.mcp.tools.databases import READ_ONLY, IncludeCredentials, require_credentials
from upstash_helper.api.mcp.tools.fields import ID_PATTERN, Arguments, Moment, Result, moment
from upstash_helper.broker.ports import ResourceRequest

if TYPE_CHECKING:
    from upstash_helper.api.mcp.tools.recording import Recorder
    from upstash_helper.broker.databases.resources import Resources

_REGIONS: Final = {"eu": "eu-central-1", "us": "us-east-1"}


class ListUsers(Arguments, frozen=True, kw_only=True):
    """Which users to list."""

    region: Annotated[Literal["eu", "us"] | msgspec.UnsetType, Meta(description="Only this region.")] = msgspec.UNSET
    include_credentials: IncludeCredentials = False


class GetStats(Arguments, frozen=True, kw_only=True):
    """Whose statistics to show."""

    qstash_id: Annotated[str, Meta(pattern=ID_PATTERN, description="The id from qstash_list_users.")]
    period: Literal["1h", "3h", "12h", "1d", "3d", "7d", "30d"] = "1d"


class User(Result, frozen=True, kw_only=True):
    """A QStash user."""

    id: str
    region: str
    state: str
    type: str
    budget: Annotated[float, Meta(description="Per month, in US dollars; 0 for no limit.")]
    max_requests_per_day: float
    max_requests_per_second: float
    max_message_size: float
    max_retries: float
    max_schedules: float
    max_queues: float
    created_at: Moment
    token: Annotated[str | None, Meta(description="Null unless include_credentials is true. A secret.")] = None
    read_only_token: str | None = None

    def __repr__(self) -> str:
        return f"User({self.id!r})"


class Users(Result, frozen=True, kw_only=True):
    """The users."""

    users: tuple[User, ...]
    note: str = ""


class Stats(Result, frozen=True, kw_only=True):
    """The statistics of a user."""

    period: str
    messages: Annotated[dict[str, float], Meta(description="Number of messages in the period, by outcome.")]
    workflow_messages: dict[str, float]
    bandwidth_bytes: float
    dlq_messages: Annotated[float, Meta(description="Messages in the dead letter queue now.")]
    monthly_billing_usd: float


class _User(msgspec.Struct):
    id: documents.Text = None
    region: documents.Text = None
    state: documents.Text = None
    type: documents.Text = None
    budget: documents.Text = None
    max_requests_per_day: documents.Text = None
    max_requests_per_second: documents.Text = None
    max_message_size: documents.Text = None
    max_retries: documents.Text = None
    max_schedules: documents.Text = None
    max_queues: documents.Text = None
    creation_time: documents.Text = None
    token: str | None = None
    read_only_token: str | None = None

    def __repr__(self) -> str:
        return f"_User({self.id!r})"


class _Point(msgspec.Struct):
    y: documents.Text = None


class _Metric(msgspec.Struct):
    id: documents.Text = None
    data_points: list[_Point] | None = None


class _Stats(msgspec.Struct):
    daily_qstash_messages: list[_Metric] | None = None
    daily_workflow_messages: list[_Metric] | None = None
    daily_bandwidth_used: list[_Point] | None = None
    dlq_message_count: documents.Text = None
    total_monthly_billing: documents.Text = None


class QStashTools:
    """The tools."""

    def __init__(self, *, resources: Resources, recorder: Recorder) -> None:
        self._resources = resources
        self._recorder = recorder

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools in the order in which they are listed."""
        return (
            Tool(
                name="qstash_list_users",
                description=(
                    "List the QStash users of the account, one for each region, with their limits. Tokens are returned"
                    " only if include_credentials is true, the user has granted this, and the account is not read-only."
                ),
                arguments=ListUsers, result=Users, scope="upstash:read",
                annotations=hints.reads("List QStash users"), handler=self.all,
            ),
            Tool(
                name="qstash_get_stats",
                description="Show the statistics of a QStash user: messages, bandwidth, and the dead letter queue.",
                arguments=GetStats, result=Stats, scope="upstash:read",
                annotations=hints.reads("Show QStash statistics"), handler=self.stats,
            ),
        )  # fmt: skip

    async def all(self, call: ToolCall, wanted: ListUsers) -> Users:
        """List users."""
        if wanted.include_credentials:
            require_credentials(call)
        hidden = not wanted.include_credentials or await call.is_read_only()
        document = await self._resources(ResourceRequest(method="GET", path=("qstash", "users")), call.caller)
        region = None if wanted.region is msgspec.UNSET else _REGIONS[wanted.region]
        found = [it for it in documents.read_list(document, _User) if region in (None, it.region)]
        if not hidden:
            await self._recorder.disclosure(
                call.caller, "qstash.credentials", " ".join(documents.text(it.id) for it in found)
            )

        return Users(
            users=tuple(_user(it, hidden=hidden) for it in found),
            note=READ_ONLY if hidden and wanted.include_credentials else "",
        )

    async def stats(self, call: ToolCall, wanted: GetStats) -> Stats:
        """Show statistics."""
        request = ResourceRequest(
            method="GET", path=("qstash", "stats", wanted.qstash_id), query=(("period", wanted.period),)
        )
        document = documents.read(await self._resources(request, call.caller), _Stats)

        return Stats(
            period=wanted.period,
            messages=_sums(document.daily_qstash_messages),
            workflow_messages=_sums(document.daily_workflow_messages),
            bandwidth_bytes=_sum(document.daily_bandwidth_used),
            dlq_messages=documents.number(document.dlq_message_count),
            monthly_billing_usd=documents.number(document.total_monthly_billing),
        )


def _user(it: _User, *, hidden: bool) -> User:
    return User(
        id=documents.text(it.id),
        region=documents.text(it.region),
        state=documents.text(it.state),
        type=documents.text(it.type),
        budget=documents.number(it.budget),
        max_requests_per_day=documents.number(it.max_requests_per_day),
        max_requests_per_second=documents.number(it.max_requests_per_second),
        max_message_size=documents.number(it.max_message_size),
        max_retries=documents.number(it.max_retries),
        max_schedules=documents.number(it.max_schedules),
        max_queues=documents.number(it.max_queues),
        created_at=moment(documents.number(it.creation_time)),
        token=None if hidden else it.token,
        read_only_token=None if hidden else it.read_only_token,
    )


def _sums(metrics: list[_Metric] | None) -> dict[str, float]:
    return {documents.text(metric.id): _sum(metric.data_points) for metric in metrics or []}


def _sum(points: list[_Point] | None) -> float:
    return sum(documents.number(point.y) for point in points or [])
