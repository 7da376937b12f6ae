"""Tools for the backups of Redis databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import documents, hints, settings
from upstash_helper.api.mcp.tools.fields import (
    ID_PATTERN,
    Arguments,
    Cursor,
    DatabaseId,
    Limit,
    Moment,
    NextCursor,
    Outcome,
    Result,
    moment,
    refused,
    shown,
)
from upstash_helper.api.mcp.tools.paging import page
from upstash_helper.api.mcp.tools.settings import described, on_or_off
from upstash_helper.broker import models
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.ports import ResourceRequest

if TYPE_CHECKING:
    from upstash_helper.api.mcp.tools.recording import Recorder
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials
    from upstash_helper.broker.databases.resources import Resources

BackupId = Annotated[str, Meta(pattern=ID_PATTERN, description="The backup_id from redis_list_backups.")]
BackupName = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\w .:@+-]+$")]


class ListBackups(Arguments, frozen=True, kw_only=True):
    """Whose backups to list."""

    database_id: DatabaseId
    limit: Limit = 20
    cursor: Cursor = ""


class CreateBackup(Arguments, frozen=True, kw_only=True):
    """The backup to create."""

    database_id: DatabaseId
    name: BackupName


class OneBackup(Arguments, frozen=True, kw_only=True):
    """A backup."""

    database_id: DatabaseId
    backup_id: BackupId


class SetDailyBackup(Arguments, frozen=True, kw_only=True):
    """Whether a database is backed up every day."""

    database_id: DatabaseId
    enabled: bool


class Backup(Result, frozen=True, kw_only=True):
    """A backup."""

    backup_id: str
    name: str
    state: str
    size_bytes: int
    created_at: Moment


class BackupPage(Result, frozen=True, kw_only=True):
    """A page of backups, newest first."""

    backups: tuple[Backup, ...]
    next_cursor: NextCursor = None


class _Document(msgspec.Struct):
    """A backup in Upstash's format."""

    backup_id: str
    name: documents.Text = None
    state: documents.Text = None
    creation_time: documents.Text = None
    backup_size: documents.Text = None


_LAST: Final = 10**15
"""Later than any Unix time: the difference sorts the newest backup first."""


class BackupTools:
    """The tools."""

    def __init__(
        self, *, databases: Databases, credentials: ReadCredentials, resources: Resources, recorder: Recorder
    ) -> None:
        self._databases = databases
        self._resources = resources
        self._recorder = recorder
        self._settings = settings.Settings(databases=databases, credentials=credentials, recorder=recorder)

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools in the order in which they are listed."""
        return (
            Tool(
                name="redis_list_backups",
                description="List the backups of a Redis database, newest first.",
                arguments=ListBackups, result=BackupPage, scope="databases:read",
                annotations=hints.reads("List backups"), handler=self.all,
            ),
            Tool(
                name="redis_create_backup",
                description="Create a backup of a Redis database.",
                arguments=CreateBackup, result=Outcome, scope="databases:write",
                annotations=hints.adds("Create a backup"), handler=self.create,
            ),
            Tool(
                name="redis_restore_backup",
                description=(
                    "Replace all data in a Redis database with one of its backups. Requires the user's confirmation. To"
                    " be able to undo this, create a backup first."
                ),
                arguments=OneBackup, result=Outcome, scope="databases:delete",
                annotations=hints.overwrites("Restore a backup"), handler=self.restore,
            ),
            Tool(
                name="redis_delete_backup",
                description="Delete a backup of a Redis database. Requires the user's confirmation.",
                arguments=OneBackup, result=Outcome, scope="databases:delete",
                annotations=hints.overwrites("Delete a backup"), handler=self.delete,
            ),
            Tool(
                name="redis_set_daily_backup",
                description=(
                    "Turn daily backups of a Redis database on or off. Turning them off requires the user's"
                    " confirmation; turning them on does if you did not create the database."
                ),
                arguments=SetDailyBackup, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Turn daily backups on or off"), handler=self.set_daily,
            ),
        )  # fmt: skip

    async def all(self, call: ToolCall, wanted: ListBackups) -> BackupPage:
        """List backups."""
        entries, cursor = page(
            await self._backups(call, wanted.database_id),
            lambda it: (f"{_LAST - int(documents.number(it.creation_time)):020d}", it.backup_id),
            cursor=wanted.cursor,
            limit=wanted.limit,
        )

        return BackupPage(
            backups=tuple(
                Backup(
                    backup_id=it.backup_id,
                    name=documents.text(it.name),
                    state=documents.text(it.state),
                    size_bytes=int(documents.number(it.backup_size)),
                    created_at=moment(documents.number(it.creation_time)),
                )
                for it in entries
            ),
            next_cursor=cursor,
        )

    async def create(self, call: ToolCall, wanted: CreateBackup) -> Outcome:
        """Create a backup."""
        target = audit_target.named(wanted.database_id, wanted.name)
        body = {"name": wanted.name}
        await self._send(call, "backup.create", wanted.database_id, "POST", "create-backup", target=target, body=body)

        return Outcome(
            done=True, message=f"The backup {wanted.name!r} was created. redis_list_backups shows its backup_id."
        )

    async def restore(self, call: ToolCall, wanted: OneBackup) -> Outcome:
        """Replace a database's data."""
        database = await self._databases.get(wanted.database_id)
        backup = await self._backup(call, wanted)
        question = Question(
            action="backup.restore",
            title=f'Replace the data of the database "{shown(database.name)}" with a backup?',
            detail=(
                f"All current data in {described(database)} will be deleted and replaced with {_named(backup)}. This"
                " cannot be undone."
            ),
            target=f"{database.id} {backup.backup_id}",
        )
        if not await call.confirm(question):
            return refused()
        body, target = {"backup_id": backup.backup_id}, _target(database, backup)
        await self._send(call, "backup.restore", database.id, "POST", "restore-backup", target=target, body=body)
        return Outcome(done=True, message=f"The data in {database.name!r} was replaced with {_named(backup)}.")

    async def delete(self, call: ToolCall, wanted: OneBackup) -> Outcome:
        """Delete a backup."""
        database = await self._databases.get(wanted.database_id)
        backup = await self._backup(call, wanted)
        question = Question(
            action="backup.delete",
            title=f'Delete a backup of the database "{shown(database.name)}"?',
            detail=f"Will be deleted: {_named(backup)} of {described(database)}. This cannot be undone.",
            target=f"{database.id} {backup.backup_id}",
        )
        if not await call.confirm(question):
            return refused()
        target = _target(database, backup)
        await self._send(call, "backup.delete", database.id, "DELETE", "delete-backup", backup.backup_id, target=target)
        return Outcome(done=True, message=f"Deleted {_named(backup)} of {database.name!r}.")

    async def set_daily(self, call: ToolCall, wanted: SetDailyBackup) -> Outcome:
        """Turn daily backups on or off."""
        change, effect = models.SetDailyBackup(wanted.enabled), settings.daily_backup(enabled=wanted.enabled)
        changed = await self._settings.change(call, wanted.database_id, "daily_backup", change, effect)
        if changed is None:
            return refused()
        return Outcome(done=True, message=f"Daily backups are {on_or_off(changed.daily_backup)} for {changed.name!r}.")

    async def _backups(self, call: ToolCall, database_id: str) -> list[_Document]:
        request = ResourceRequest(method="GET", path=("redis", "list-backup", database_id))
        document = await self._resources(request, call.caller)
        return documents.read_list(document, _Document)

    async def _backup(self, call: ToolCall, wanted: OneBackup) -> _Document:
        for backup in await self._backups(call, wanted.database_id):
            if backup.backup_id == wanted.backup_id:
                return backup
        raise ToolError("The database has no such backup. redis_list_backups lists them.")

    async def _send(
        self,
        call: ToolCall,
        action: str,
        database_id: str,
        method: Literal["POST", "DELETE"],
        operation: str,
        *more: str,
        target: str,
        body: object = None,
    ) -> None:
        request = ResourceRequest(method=method, path=("redis", operation, database_id, *more), body=body)
        await self._recorder.change(call.caller, action, target, lambda _: self._resources(request, call.caller))


def _target(database: models.Database, backup: _Document) -> str:
    """Return what the audit log shows: what the question names, since neither may exist any longer."""
    name = audit_target.named(backup.backup_id, documents.text(backup.name))
    return f"{audit_target.named(database.id, database.name)}, backup {name}"


def _named(backup: _Document) -> str:
    made = moment(documents.number(backup.creation_time))
    return f'the backup "{shown(documents.text(backup.name))}" from {made} ({backup.backup_id})'
