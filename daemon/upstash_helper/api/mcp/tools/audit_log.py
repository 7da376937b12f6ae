"""The tool with which an agent reads its own audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import hints
from upstash_helper.api.mcp.tools.fields import Arguments, Cursor, Limit, Moment, NextCursor, Result, moment
from upstash_helper.broker.ledger import AuditQuery

if TYPE_CHECKING:
    from upstash_helper.broker.audit import Audit


class ListAudit(Arguments, frozen=True, kw_only=True):
    """Which entries to list."""

    limit: Limit = 20
    cursor: Cursor = ""


class AuditEntry(Result, frozen=True, kw_only=True):
    """Something that the agent did."""

    at: Moment
    action: str
    target: str
    result: Annotated[str, Meta(description="ok, started, or an error code.")]
    count: Annotated[int, Meta(description="How many identical requests the entry covers.")]


class AuditPage(Result, frozen=True, kw_only=True):
    """A page of entries, newest first."""

    entries: tuple[AuditEntry, ...]
    next_cursor: NextCursor = None


class AuditTool:
    """The tool."""

    def __init__(self, *, audit: Audit) -> None:
        self._audit = audit

    def tools(self) -> tuple[Tool, ...]:
        """Return the tool."""
        return (
            Tool(
                name="audit_list",
                description=(
                    "List what you have changed, and which credentials you have read, through upstash-helper, newest"
                    " first. The user sees the same entries, and those of all other apps."
                ),
                arguments=ListAudit, result=AuditPage, scope="databases:read",
                annotations=hints.reads("Show what this agent did", open_world=False), handler=self.all,
            ),
        )  # fmt: skip

    async def all(self, call: ToolCall, wanted: ListAudit) -> AuditPage:
        """List the agent's own entries."""
        query = AuditQuery(app=call.caller.id, before_id=_before(wanted.cursor), limit=wanted.limit)
        found = await self._audit.page(query)

        return AuditPage(
            entries=tuple(
                AuditEntry(at=moment(it.last_at), action=it.action, target=it.target, result=it.result, count=it.count)
                for it in found
                # The query finds names of apps, too, and an app could have this agent's ID as its name.
                if it.app_id == call.caller.id
            ),
            next_cursor=str(found[-1].id) if len(found) == wanted.limit else None,
        )


def _before(cursor: str) -> int | None:
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 15):
        raise ToolError("This cursor is not valid. Omit it to get the first page.")
    return int(cursor)
