"""
The names and arguments that these tools had in ``@upstash/mcp-server``.

Existing prompts and rules use them, so they still work. They are not listed, so that a model sees each tool once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import backups, commands, databases, hints, statistics
from upstash_helper.api.mcp.tools.commands import Commands
from upstash_helper.api.mcp.tools.databases import ReadRegions
from upstash_helper.api.mcp.tools.fields import Arguments, DatabaseId, Outcome
from upstash_helper.protocol.wire import DatabaseName, RegionId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class CreateNew(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_create_new``."""

    name: DatabaseName
    primary_region: RegionId
    read_regions: ReadRegions = ()


class WithId(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_reset_password``."""

    id: DatabaseId


class UpdateRegions(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_update_regions``."""

    id: DatabaseId
    read_regions: ReadRegions


class GetStatistics(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_get_statistics``."""

    id: DatabaseId
    period: statistics.Period
    stat_type: statistics.StatType = "throughput"


class RunCommands(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_run_redis_commands``."""

    database_id: DatabaseId | UnsetType = UNSET
    commands: Annotated[Commands, Meta(min_length=1)]
    database_rest_url: str = ""
    database_rest_token: str = ""

    def __repr__(self) -> str:
        return "RunCommands(…)"


class CreateBackup(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_create_backup``."""

    database_id: DatabaseId
    backup_name: backups.BackupName


class ManageBackup(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_manage_backup``."""

    database_id: DatabaseId
    operation: Literal["create", "delete", "restore"]
    backup_name: Annotated[backups.BackupName | UnsetType, Meta(description="To create one.")] = UNSET
    backup_id: Annotated[backups.BackupId | UnsetType, Meta(description="To delete or restore one.")] = UNSET


class SetDailyBackup(Arguments, frozen=True, kw_only=True):
    """Arguments of ``redis_database_set_daily_backup``."""

    database_id: DatabaseId
    enable: bool


def former_names(tools: Mapping[str, Tool]) -> tuple[Tool, ...]:
    """Return the tools under their former names, which are not listed."""

    def alias(
        name: str, of: str, arguments: type[msgspec.Struct] | None = None, to: Callable[[Any], Any] | None = None
    ) -> Tool:
        tool = tools[of]
        if arguments is None or to is None:
            return replace(tool, name=name, listed=False)

        async def handler(call: ToolCall, wanted: Any) -> msgspec.Struct | str:
            return await tool.handler(call, to(wanted))

        return replace(tool, name=name, listed=False, arguments=arguments, handler=handler)

    return (
        alias("redis_database_list_databases", "redis_list_databases"),
        alias("redis_database_get_details", "redis_get_database"),
        alias(
            "redis_database_create_new", "redis_create_database", CreateNew,
            lambda it: databases.CreateDatabaseArguments(
                name=it.name, primary_region=it.primary_region, read_regions=it.read_regions
            ),
        ),
        alias("redis_database_delete", "redis_delete_database"),
        alias(
            "redis_database_update_regions", "redis_update_regions", UpdateRegions,
            lambda it: databases.UpdateRegions(database_id=it.id, read_regions=it.read_regions),
        ),
        alias(
            "redis_database_reset_password", "redis_reset_password", WithId,
            lambda it: databases.OneDatabase(database_id=it.id),
        ),
        alias(
            "redis_database_get_statistics", "redis_get_stats", GetStatistics,
            lambda it: statistics.GetStats(database_id=it.id, period=it.period, stat_type=it.stat_type),
        ),
        alias("redis_database_run_redis_commands", commands.NAME, RunCommands, _commands),
        alias("redis_database_run_single_redis_command", commands.NAME),
        alias("redis_database_run_multiple_redis_commands", commands.NAME),
        alias("redis_database_list_backups", "redis_list_backups"),
        alias(
            "redis_database_create_backup", "redis_create_backup", CreateBackup,
            lambda it: backups.CreateBackup(database_id=it.database_id, name=it.backup_name),
        ),
        alias("redis_database_delete_backup", "redis_delete_backup"),
        alias("redis_database_restore_backup", "redis_restore_backup"),
        alias(
            "redis_database_set_daily_backup", "redis_set_daily_backup", SetDailyBackup,
            lambda it: backups.SetDailyBackup(database_id=it.database_id, enabled=it.enable),
        ),
        Tool(
            name="redis_database_manage_backup", description="Create, restore, or delete a backup of a Redis database.",
            arguments=ManageBackup, result=Outcome, scope="databases:write",
            annotations=hints.overwrites("Manage backups", idempotent=False), listed=False,
            handler=_manage_backup(tools),
        ),
    )  # fmt: skip


def _commands(wanted: RunCommands) -> commands.RunCommand:
    if wanted.database_rest_url or wanted.database_rest_token:
        raise ToolError(
            "Nothing was run. upstash-helper has the credentials of the account's databases and accepts none from an"
            " agent. Send only database_id."
        )
    if wanted.database_id is UNSET:
        raise ToolError("Nothing was run. Send database_id.")
    return commands.RunCommand(database_id=wanted.database_id, commands=wanted.commands)


def _manage_backup(tools: Mapping[str, Tool]) -> Callable[[ToolCall, ManageBackup], Any]:
    async def handler(call: ToolCall, wanted: ManageBackup) -> msgspec.Struct | str:
        tool = tools[f"redis_{wanted.operation}_backup"]
        if not call.caller.has(tool.scope):
            raise ToolError(f"The user has not granted {tool.scope}, which this operation requires.")
        if wanted.operation == "create":
            if wanted.backup_name is UNSET:
                raise ToolError("Send backup_name to create a backup.")
            return await tool.handler(
                call, backups.CreateBackup(database_id=wanted.database_id, name=wanted.backup_name)
            )
        if wanted.backup_id is UNSET:
            raise ToolError(f"Send backup_id to {wanted.operation} a backup.")
        return await tool.handler(call, backups.OneBackup(database_id=wanted.database_id, backup_id=wanted.backup_id))

    return handler
