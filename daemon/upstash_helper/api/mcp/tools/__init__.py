"""
The tools of ``/mcp``, one module for each group.

Their names and arguments are those of Upstash's hosted MCP server, so that prompts work with both. Tools that need more
than the account's credential, such as publishing a message with QStash, are left out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from upstash_helper.api.mcp.tools import commands, hints
from upstash_helper.api.mcp.tools.audit_log import AuditTool
from upstash_helper.api.mcp.tools.backups import BackupTools
from upstash_helper.api.mcp.tools.databases import DatabaseTools
from upstash_helper.api.mcp.tools.former_names import former_names
from upstash_helper.api.mcp.tools.indexes import IndexTools
from upstash_helper.api.mcp.tools.qstash import QStashTools
from upstash_helper.api.mcp.tools.recording import Recorder
from upstash_helper.api.mcp.tools.statistics import StatisticsTool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.databases.commands import RunCommands
    from upstash_helper.broker.databases.create import CreateDatabase
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials
    from upstash_helper.broker.databases.resources import Resources
    from upstash_helper.broker.identity import Caller


def all_tools(
    *,
    databases: Databases,
    create: CreateDatabase,
    credentials: ReadCredentials,
    run: RunCommands,
    resources: Resources,
    audit: Audit,
    has_access: Callable[[Caller], bool],
    background: Background,
    env: tuple[Tool, ...] = (),
) -> tuple[Tool, ...]:
    """
    Return all tools in the order in which they are listed. The order never changes while the daemon runs.

    Args:
        databases: The account's databases.
        create: Creates databases.
        credentials: Reads credentials.
        run: Runs Redis commands.
        resources: The other parts of the Developer API.
        audit: Records changes, and returns an agent's entries.
        has_access: Returns whether an agent still has access.
        background: Completes changes if the agent disconnects.
        env: The tools for a project's ``.env`` files.
    """
    recorder = Recorder(audit=audit, has_access=has_access, background=background)
    tools = (
        *DatabaseTools(databases=databases, create=create, credentials=credentials, recorder=recorder).tools(),
        *StatisticsTool(resources=resources).tools(),
        *BackupTools(databases=databases, credentials=credentials, resources=resources, recorder=recorder).tools(),
        *commands.CommandTool(databases=databases, run=run, recorder=recorder).tools(),
        *env,
        *IndexTools(resources=resources, recorder=recorder).tools(),
        *QStashTools(resources=resources, recorder=recorder).tools(),
        *AuditTool(audit=audit).tools(),
    )
    return (*tools, *former_names({tool.name: tool for tool in tools}))


def visible(tools: Iterable[Tool], caller: Caller, *, read_only: bool) -> tuple[Tool, ...]:
    """
    Return the tools that ``caller`` may call, in order, including those that are not listed.

    Args:
        tools: All tools.
        caller: The agent.
        read_only: Whether the connected account is read-only. If so, tools that change something are left out. The
            tool for Redis commands remains, since it uses a token with which the database refuses to write.
    """
    return tuple(found for tool in tools if (found := _as_seen(tool, caller, read_only=read_only)) is not None)


def _as_seen(tool: Tool, caller: Caller, *, read_only: bool) -> Tool | None:
    if not caller.has(tool.scope):
        return None
    if not read_only or not tool.needs_write_access:
        return tool
    if tool.scope == "databases:commands":
        description = (
            "Run Redis commands that read, over a database's REST API. No credentials are needed. The database refuses"
            " commands that write, as well as KEYS and SCAN. Long replies are truncated, with a note on how to read the"
            " rest."
        )
        return replace(tool, description=description, annotations=hints.reads("Run Redis commands that read"))
    return None
