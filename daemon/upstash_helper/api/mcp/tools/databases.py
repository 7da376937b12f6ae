"""Tools for Redis databases: listing, reading, creating, changing, and deleting them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import database_results as results
from upstash_helper.api.mcp.tools import hints, settings
from upstash_helper.api.mcp.tools.fields import (
    Arguments,
    Cursor,
    DatabaseId,
    Limit,
    NoArguments,
    Outcome,
    Result,
    refused,
    shown,
)
from upstash_helper.api.mcp.tools.paging import page
from upstash_helper.api.mcp.tools.settings import described, on_or_off
from upstash_helper.broker import models
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.databases import create as idempotency
from upstash_helper.broker.databases.operations import REGIONS
from upstash_helper.broker.errors import OutcomeUnknown, RequestInProgress
from upstash_helper.protocol.literals import Plan, Platform
from upstash_helper.protocol.wire import DatabaseName, RegionId

if TYPE_CHECKING:
    from upstash_helper.api.mcp.tools.recording import Entry, Recorder
    from upstash_helper.broker.databases.create import CreateDatabase
    from upstash_helper.broker.databases.operations import DatabaseAccess, Databases, ReadCredentials
    from upstash_helper.broker.models import Database

Budget = Annotated[int, Meta(ge=0)]
IncludeCredentials = Annotated[
    bool,
    Meta(
        description="Also return passwords and tokens. Use this only if you must see them: env_write puts a database's "
        "credentials into a project's .env file without showing them."
    ),
]


class ListDatabases(Arguments, frozen=True, kw_only=True):
    """Which databases to list."""

    name_contains: Annotated[str, Meta(max_length=64, description="Only databases whose name contains this.")] = ""
    limit: Limit = 20
    cursor: Cursor = ""


class GetDatabase(Arguments, frozen=True, kw_only=True):
    """Which database to show."""

    database_id: DatabaseId
    include_credentials: IncludeCredentials = False


ReadRegions = Annotated[tuple[RegionId, ...], Meta(max_length=20)]


class CreateDatabaseArguments(Arguments, frozen=True, kw_only=True):
    """The database to create."""

    name: DatabaseName
    primary_region: RegionId
    read_regions: Annotated[ReadRegions, Meta(description="Additional regions that serve reads.")] = ()
    platform: Annotated[Platform | UnsetType, Meta(description="By default, that of the primary region.")] = UNSET
    plan: Annotated[Plan | UnsetType, Meta(description="By default, Upstash chooses. Paid plans cost money.")] = UNSET
    budget: Annotated[Budget | UnsetType, Meta(description="Per month, in US dollars.")] = UNSET
    eviction: Annotated[bool | UnsetType, Meta(description="Delete keys when the memory is full.")] = UNSET
    tls: bool | UnsetType = UNSET
    include_credentials: IncludeCredentials = False
    idempotency_key: Annotated[
        str,
        Meta(
            pattern=r"^[\x21-\x7e]{0,255}$",
            description="Use this only to repeat a call whose result is unknown: within 24 hours, the same key never"
            " creates a second database.",
        ),
    ] = ""


class RenameDatabase(Arguments, frozen=True, kw_only=True):
    """The new name of a database."""

    database_id: DatabaseId
    name: DatabaseName


class SetEviction(Arguments, frozen=True, kw_only=True):
    """Whether a database deletes keys when its memory is full."""

    database_id: DatabaseId
    enabled: bool


class SetAutoUpgrade(Arguments, frozen=True, kw_only=True):
    """Whether Upstash moves a full database to a larger plan."""

    database_id: DatabaseId
    enabled: bool


class UpdateRegions(Arguments, frozen=True, kw_only=True):
    """The new read regions of a database."""

    database_id: DatabaseId
    read_regions: Annotated[ReadRegions, Meta(description="All read regions. They replace the current ones.")]


class OneDatabase(Arguments, frozen=True, kw_only=True):
    """One database."""

    database_id: DatabaseId


class RegionInfo(Result, frozen=True, kw_only=True):
    """A region."""

    id: str
    name: str
    platform: str
    can_be_primary: bool
    can_serve_reads: bool


class RegionResult(Result, frozen=True, kw_only=True):
    """The regions."""

    regions: tuple[RegionInfo, ...]


class DatabaseTools:
    """The tools."""

    def __init__(
        self,
        *,
        databases: Databases,
        create: CreateDatabase,
        credentials: ReadCredentials,
        recorder: Recorder,
    ) -> None:
        self._databases = databases
        self._create = create
        self._credentials = credentials
        self._recorder = recorder
        self._settings = settings.Settings(databases=databases, credentials=credentials, recorder=recorder)

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools in the order in which they are listed."""
        return (
            Tool(
                name="redis_list_databases",
                description="List the Redis databases of the connected Upstash account, sorted by name.",
                arguments=ListDatabases, result=results.DatabasePage, scope="databases:read",
                annotations=hints.reads("List Redis databases"), handler=self.all,
            ),
            Tool(
                name="redis_get_database",
                description=(
                    "Show a Redis database: endpoint, regions, plan, and settings. Credentials are returned only if"
                    " include_credentials is true, the user has granted this, and the account is not read-only."
                ),
                arguments=GetDatabase, result=results.DatabaseDetails, scope="databases:read",
                annotations=hints.reads("Show a Redis database"), handler=self.get,
            ),
            Tool(
                name="redis_list_regions",
                description="List the regions in which Redis databases can be created.",
                arguments=NoArguments, result=RegionResult, scope="databases:read",
                annotations=hints.reads("List regions", open_world=False), handler=self.regions,
            ),
            Tool(
                name="redis_create_database",
                description=(
                    "Create a Redis database in the user's Upstash account. Depending on the plan, it costs money. If"
                    " the user did not give a name and a region, ask for them."
                ),
                arguments=CreateDatabaseArguments, result=results.CreatedDatabase, scope="databases:write",
                annotations=hints.adds("Create a Redis database"), handler=self.create,
            ),
            Tool(
                name="redis_rename_database",
                description=(
                    "Rename a Redis database. Its endpoint and its credentials stay the same. Requires the user's"
                    " confirmation if you did not create it."
                ),
                arguments=RenameDatabase, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Rename a Redis database"), handler=self.rename,
            ),
            Tool(
                name="redis_set_eviction",
                description=(
                    "Turn eviction on or off. When the memory is full, keys are deleted with eviction, and writes fail"
                    " without it. Turning it on requires the user's confirmation, since it can delete data; turning it"
                    " off does if you did not create the database."
                ),
                arguments=SetEviction, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Turn eviction on or off"), handler=self.set_eviction,
            ),
            Tool(
                name="redis_set_auto_upgrade",
                description=(
                    "Turn automatic upgrades on or off. With them, a full database moves to a larger plan. The user is"
                    " asked if you did not create the database."
                ),
                arguments=SetAutoUpgrade, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Turn automatic upgrades on or off"), handler=self.set_auto_upgrade,
            ),
            Tool(
                name="redis_update_regions",
                description=(
                    "Replace the read regions of a Redis database. Removing one requires the user's confirmation;"
                    " adding one does if you did not create the database."
                ),
                arguments=UpdateRegions, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Replace read regions"), handler=self.update_regions,
            ),
            Tool(
                name="redis_reset_password",
                description=(
                    "Replace the password and the REST tokens of a Redis database. The old ones stop working"
                    " immediately, in every app that uses them. Requires the user's confirmation. The new ones are not"
                    " returned."
                ),
                arguments=OneDatabase, result=Outcome, scope="databases:write",
                annotations=hints.overwrites("Reset a password", idempotent=False), handler=self.reset_password,
            ),
            Tool(
                name="redis_delete_database",
                description="Delete a Redis database and all its data. Requires the user's confirmation.",
                arguments=OneDatabase, result=Outcome, scope="databases:delete",
                annotations=hints.overwrites("Delete a Redis database"), handler=self.delete,
            ),
        )  # fmt: skip

    # --- reading ------------------------------------------------------------------------------------------------------

    async def all(self, _call: ToolCall, wanted: ListDatabases) -> results.DatabasePage:
        """List databases."""
        part = wanted.name_contains.casefold()
        found = [it for it in await self._databases.list() if part in it.name.casefold()]
        entries, cursor = page(found, lambda it: (it.name.casefold(), it.id), cursor=wanted.cursor, limit=wanted.limit)

        return results.DatabasePage(
            databases=tuple(results.summary(it) for it in entries), total=len(found), next_cursor=cursor
        )

    async def get(self, call: ToolCall, wanted: GetDatabase) -> results.DatabaseDetails:
        """Show a database."""
        if not wanted.include_credentials:
            return results.details(await self._databases.get(wanted.database_id))
        require_credentials(call)
        if await call.is_read_only():
            return results.details(await self._databases.get(wanted.database_id), note=READ_ONLY)
        access = await self._disclosed(call, wanted.database_id)
        return results.details(access.database, access)

    async def regions(self, _call: ToolCall, _wanted: NoArguments) -> RegionResult:
        """List the regions."""
        return RegionResult(
            regions=tuple(
                RegionInfo(
                    id=it.id, name=it.name, platform=it.platform, can_be_primary=it.primary, can_serve_reads=it.read
                )
                for it in REGIONS
            )
        )

    # --- changing -----------------------------------------------------------------------------------------------------

    async def create(self, call: ToolCall, wanted: CreateDatabaseArguments) -> results.CreatedDatabase:
        """Create a database."""
        if wanted.include_credentials:
            require_credentials(call)
        key = wanted.idempotency_key or f"mcp-{secrets.token_hex(16)}"
        new = models.NewDatabase(
            name=wanted.name.strip(),
            primary_region=wanted.primary_region,
            read_regions=wanted.read_regions,
            platform=wanted.platform or None,
            plan=wanted.plan or None,
            budget=None if wanted.budget is UNSET else wanted.budget,
            eviction=None if wanted.eviction is UNSET else wanted.eviction,
            tls=None if wanted.tls is UNSET else wanted.tls,
        )

        async def work(entry: Entry) -> tuple[Database, bool]:
            made, existed = await self._create(new, idempotency.parse(call.caller.id, key), call.caller)
            entry.target = audit_target.created(made)
            return made, existed

        try:
            database, existed = await self._recorder.change(
                call.caller, "database.create", audit_target.to_create(new), work
            )
        except (OutcomeUnknown, RequestInProgress) as error:
            raise ToolError(
                f"{error.detail} To find out, call this tool again with the same arguments and idempotency_key {key!r}."
                " This never creates a second database."
            ) from None
        access = await self._disclosed(call, database.id) if wanted.include_credentials else None
        return results.created(database, access, note=NEXT, already_existed=existed)

    async def rename(self, call: ToolCall, wanted: RenameDatabase) -> Outcome:
        """Rename a database."""
        name = wanted.name.strip()
        changed = await self._settings.change(
            call, wanted.database_id, "name", models.Rename(name), settings.new_name(name)
        )
        if changed is None:
            return refused()
        return Outcome(done=True, message=f"The database was renamed to {changed.name!r}.")

    async def set_eviction(self, call: ToolCall, wanted: SetEviction) -> Outcome:
        """Turn eviction on or off."""
        change, effect = models.SetEviction(wanted.enabled), settings.eviction(enabled=wanted.enabled)
        changed = await self._settings.change(call, wanted.database_id, "eviction", change, effect)
        if changed is None:
            return refused()
        return Outcome(done=True, message=f"Eviction is {on_or_off(changed.eviction)} for {changed.name!r}.")

    async def set_auto_upgrade(self, call: ToolCall, wanted: SetAutoUpgrade) -> Outcome:
        """Turn automatic upgrades on or off."""
        change, effect = models.SetAutoUpgrade(wanted.enabled), settings.auto_upgrade(enabled=wanted.enabled)
        changed = await self._settings.change(call, wanted.database_id, "auto_upgrade", change, effect)
        if changed is None:
            return refused()
        state = on_or_off(changed.auto_upgrade)
        return Outcome(done=True, message=f"Automatic upgrades are {state} for {changed.name!r}.")

    async def update_regions(self, call: ToolCall, wanted: UpdateRegions) -> Outcome:
        """Replace the read regions."""
        change, effect = models.SetReadRegions(wanted.read_regions), settings.read_regions(wanted.read_regions)
        changed = await self._settings.change(call, wanted.database_id, "read_regions", change, effect)
        if changed is None:
            return refused()
        regions = ", ".join(changed.read_regions) or "none"
        return Outcome(done=True, message=f"Read regions of {changed.name!r}: {regions}.")

    async def reset_password(self, call: ToolCall, wanted: OneDatabase) -> Outcome:
        """Replace the password and the tokens."""
        database = await self._databases.get(wanted.database_id)
        question = Question(
            action="database.reset_password",
            title=f'Reset the password of the database "{shown(database.name)}"?',
            detail=(
                f"The password and the REST tokens of {described(database)} will be replaced. Every app that uses them"
                " loses access until it has the new ones. The old ones cannot be restored."
            ),
            target=database.id,
        )
        if not await call.confirm(question):
            return refused()
        changed = await self._recorder.change(
            call.caller,
            "database.reset_password",
            audit_target.named(database.id, database.name),
            lambda _: self._databases.reset_password(database.id),
        )
        message = (
            f"The password and tokens of {changed.name!r} were replaced. env_write writes the new ones to a project."
        )
        return Outcome(done=True, message=message)

    async def delete(self, call: ToolCall, wanted: OneDatabase) -> Outcome:
        """Delete a database."""
        database = await self._databases.get(wanted.database_id)
        question = Question(
            action="database.delete",
            title=f'Delete the database "{shown(database.name)}"?',
            detail=f"All data in {described(database)} will be deleted. This cannot be undone.",
            target=database.id,
        )
        if not await call.confirm(question):
            return refused()

        target = audit_target.named(database.id, database.name)

        async def work(entry: Entry) -> None:
            def is_as_shown(now: Database) -> bool:
                entry.check_access()
                # The name that the user has seen: the database may have got another one while they decided.
                return now.name == database.name

            await self._databases.delete(database.id, unchanged=is_as_shown)

        await self._recorder.change(call.caller, "database.delete", target, work)
        return Outcome(done=True, message=f"The database {database.name!r} ({database.id}) was deleted.")

    async def _disclosed(self, call: ToolCall, database_id: str) -> DatabaseAccess:
        require_credentials(call)
        access = await self._credentials(database_id, call.caller)
        await self._recorder.disclosure(call.caller, "database.credentials", database_id)
        return access


READ_ONLY: Final = (
    "No credentials are returned: the connected account is read-only. redis_run_command reads data without them."
)
NEXT: Final = "env_write puts the database's variables into the project's .env file."


def require_credentials(call: ToolCall) -> None:
    """
    Check that an agent may see credentials.

    Raises:
        ToolError: If the user has not granted this.
    """
    if not call.caller.has("databases:credentials"):
        raise ToolError(
            "The user has not granted databases:credentials, so no credentials are returned. Omit"
            " include_credentials. env_write puts a database's credentials into a project's .env file without showing"
            " them, and redis_run_command works without them."
        )
