"""The 22 Redis operations of the Developer API."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Caller, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api import wire
from upstash_helper.sandbox.developer_api.authentication import Authentication, Operation
from upstash_helper.sandbox.developer_api.stats import stats_of
from upstash_helper.sandbox.redis.backups import Backups
from upstash_helper.sandbox.redis.databases import (
    Database,
    Databases,
    new_secrets,
    passwords_of,
    validate_read_regions,
)
from upstash_helper.sandbox.redis.records import MEMORY_LIMITS, DatabaseRecord
from upstash_helper.sandbox.responses import json_response, read_json
from upstash_helper.sandbox.teams import Teams

OK = "OK"


class RedisApi:
    """``/v2/redis/*``."""

    def __init__(
        self,
        *,
        host: str,
        auth: Authentication,
        databases: Databases,
        backups: Backups,
        teams: Teams,
        audit_log: AuditLog,
    ) -> None:
        """
        Args:
            host: The address that the databases listen on.
            auth: Authenticates the callers.
            databases: The databases of all accounts.
            backups: Their backups.
            teams: The teams that databases can be moved to.
            audit_log: Logs each change.
        """
        self._host = host
        self._auth = auth
        self._databases = databases
        self._backups = backups
        self._teams = teams
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        reads: list[tuple[str, Operation]] = [
            ("databases", self.list),
            ("database/{id}", self.get),
            ("stats/{id}", self.stats),
            ("list-backup/{id}", self.list_backups),
        ]
        changes: list[tuple[str, str, Operation]] = [
            ("POST", "database", self.create),
            ("DELETE", "database/{id}", self.delete),
            ("POST", "rename/{id}", self.rename),
            ("POST", "reset-password/{id}", self.reset_password),
            ("POST", "enable-tls/{id}", self.enable_tls),
            ("POST", "enable-eviction/{id}", self.enable_eviction),
            ("POST", "disable-eviction/{id}", self.disable_eviction),
            ("POST", "enable-autoupgrade/{id}", self._flag("auto_upgrade", "Auto Upgrade", on=True)),
            ("POST", "disable-autoupgrade/{id}", self._flag("auto_upgrade", "Auto Upgrade", on=False)),
            ("POST", "{id}/change-plan", self.change_plan),
            ("POST", "change-plan/{id}", self.change_plan),  # Upstash's own command line
            ("PATCH", "update-budget/{id}", self.update_budget),
            ("POST", "update-regions/{id}", self.update_regions),
            ("POST", "move-to-team", self.move_to_team),
            ("POST", "create-backup/{id}", self.create_backup),
            ("DELETE", "delete-backup/{id}/{backup_id}", self.delete_backup),
            ("POST", "restore-backup/{id}", self.restore_backup),
        ]
        for method in ("PATCH", "POST"):  # the documented method, and the one that clients also send
            changes += [
                (method, "enable-dailybackup/{id}", self._flag("daily_backup", "Daily Backup", on=True)),
                (method, "disable-dailybackup/{id}", self._flag("daily_backup", "Daily Backup", on=False)),
            ]
        base = "/v2/redis/"
        require = self._auth.require
        return [
            *(web.get(base + path, require(operation, "read"), allow_head=False) for path, operation in reads),
            *(web.route(method, base + path, require(operation, "write")) for method, path, operation in changes),
        ]

    # --- databases ---

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the databases of the account, or of the team that the caller acts for."""
        databases = self._databases.list(caller.owner)
        return json_response([self._as_json(database.record, request) for database in databases])

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show one database."""
        return json_response(self._as_json(self._database(request, caller).record, request))

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Create a database."""
        body = await read_json(request, wire.CreateDatabase)
        database = await self._databases.create(caller.owner, body.to_new_database())
        self._log(request, caller, "Create Database", database)
        return json_response(self._as_json(database.record, request))

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Delete a database and its data."""
        database = self._database(request, caller)
        await self._databases.delete(database)
        self._log(request, caller, "Delete Database", database)
        return json_response(OK)

    async def rename(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Rename a database."""
        name = (await read_json(request, wire.Rename)).name
        await self._change(request, caller, "Rename Database", name=name)
        return await self.get(request, caller)

    async def reset_password(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace the password and the REST tokens."""
        secrets = new_secrets()
        async with self._databases.change(self._database(request, caller), **secrets) as database:
            changed = msgspec.structs.replace(database.record, **secrets)
            await database.server.set_passwords(passwords_of(changed))
        self._log(request, caller, "Reset Password", database)
        return json_response(self._as_json(database.record, request))

    async def enable_tls(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Require TLS."""
        async with self._databases.change(self._database(request, caller), tls=True) as database:
            if not database.record.tls:
                await database.server.require_tls()
        self._log(request, caller, "Enable TLS", database)
        return json_response(self._as_json(database.record, request))

    async def enable_eviction(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Evict keys when memory is full."""
        return await self._set_eviction(request, caller, enabled=True)

    async def disable_eviction(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Reject writes when memory is full."""
        return await self._set_eviction(request, caller, enabled=False)

    async def change_plan(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move a database to another plan, with another memory limit."""
        body = await read_json(request, wire.ChangePlan)
        plan = body.resolve_plan()
        flags = {"auto_upgrade": body.auto_upgrade, "prod_pack": body.prod_pack_enabled}
        changes: dict[str, Any] = {name: value for name, value in flags.items() if value is not msgspec.UNSET}
        changes |= {"plan": plan, "plan_changed_at": int(time.time())}
        async with self._databases.change(self._database(request, caller), **changes) as database:
            await database.server.set_memory_limit(MEMORY_LIMITS[plan])
        self._log(request, caller, "Change Plan", database, plan)
        return json_response(OK)

    async def update_budget(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Set the monthly budget."""
        budget = (await read_json(request, wire.UpdateBudget)).budget
        return await self._change(request, caller, "Update Budget", budget=budget)

    async def update_regions(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace the read regions."""
        regions = (await read_json(request, wire.UpdateRegions)).read_regions
        primary = self._database(request, caller).record.primary_region
        changed = validate_read_regions(primary, regions)
        return await self._change(request, caller, "Update Regions", read_regions=changed)

    async def move_to_team(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move a database to a team of the account."""
        body = await read_json(request, wire.MoveToTeam)
        database = self._databases.get(caller.owner, body.database_id)
        self._teams.require_resource_manager(caller.account, body.team_id)
        self._databases.require_room(body.team_id)
        async with self._databases.change(database, account_id=body.team_id):
            pass
        self._log(request, caller, "Move To Team", database, body.team_id)
        team = msgspec.structs.replace(caller, owner=Owner(body.team_id, caller.account.email))
        self._log(request, team, "Move To Team", database, body.team_id)
        return json_response(OK)

    async def stats(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Return a database's statistics."""
        async with self._databases.change(self._database(request, caller)) as database:
            return json_response(await stats_of(database.server))

    # --- backups ---

    async def list_backups(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """List a database's backups."""
        return json_response(self._backups.list(self._database(request, caller)))

    async def create_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Back up a database."""
        name = (await read_json(request, wire.CreateBackup)).name
        database = self._database(request, caller)
        await self._backups.create(database, name)
        self._log(request, caller, "Create Backup", database, name)
        return json_response(OK)

    async def delete_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Remove a snapshot."""
        database = self._database(request, caller)
        backup = await self._backups.delete(database, request.match_info["backup_id"])
        self._log(request, caller, "Delete Backup", database, backup.name)
        return json_response(OK)

    async def restore_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace a database's data with a backup's."""
        backup_id = (await read_json(request, wire.RestoreBackup)).backup_id
        database = self._database(request, caller)
        backup = await self._backups.restore(database, backup_id)
        self._log(request, caller, "Restore Backup", database, backup.name)
        return json_response(OK)

    # --- shared steps ---

    def _flag(self, field: str, title: str, *, on: bool) -> Operation:
        """Return the operation that turns a flag on or off."""

        async def operation(request: web.Request, caller: Caller) -> web.StreamResponse:
            return await self._change(request, caller, f"{'Enable' if on else 'Disable'} {title}", **{field: on})

        return operation

    async def _set_eviction(self, request: web.Request, caller: Caller, *, enabled: bool) -> web.StreamResponse:
        async with self._databases.change(self._database(request, caller), eviction=enabled) as database:
            await database.server.set_eviction(enabled=enabled)
        self._log(request, caller, "Enable Eviction" if enabled else "Disable Eviction", database)
        return json_response(OK)

    async def _change(self, request: web.Request, caller: Caller, action: str, **changes: Any) -> web.StreamResponse:
        async with self._databases.change(self._database(request, caller), **changes) as database:
            pass
        self._log(request, caller, action, database)
        return json_response(OK)

    def _database(self, request: web.Request, caller: Caller) -> Database:
        return self._databases.get(caller.owner, request.match_info["id"])

    def _log(self, request: web.Request, caller: Caller, action: str, database: Database, other: str = "NA") -> None:
        entity = database.record.name
        self._audit_log.add(caller.owner, action, source=caller.source, entity=entity, other=other, ip=request.remote)

    def _as_json(self, record: DatabaseRecord, request: web.Request) -> wire.Database:
        return self.as_json(record, credentials=request.query.get("credentials") != "hide")

    def as_json(self, record: DatabaseRecord, *, credentials: bool = True) -> wire.Database:
        """Return a database in Upstash's format, with or without its secrets."""
        database = _without_secrets(record, self._host)
        if record.tls:
            database.tls_ca = str(self._databases.tls_ca)
        if credentials:
            database.password = record.password
            database.rest_token = record.rest_token
            database.read_only_rest_token = record.read_only_rest_token
        return database


def _without_secrets(record: DatabaseRecord, host: str) -> wire.Database:
    memory = MEMORY_LIMITS[record.plan]
    members = [record.primary_region, *record.read_regions]
    return wire.Database(
        database_id=record.id,
        database_name=record.name,
        port=record.port,
        creation_time=record.created_at,
        endpoint=host,
        tls=record.tls,
        db_disk_threshold=memory * 4,
        db_memory_threshold=memory,
        type={"free": "free", "payg": "payg"}.get(record.plan, "paid"),
        budget=record.budget,
        primary_region=record.primary_region,
        primary_members=[record.primary_region],
        all_members=members,
        read_regions=list(record.read_regions),
        eviction=record.eviction,
        db_eviction=record.eviction,
        auto_upgrade=record.auto_upgrade,
        last_plan_upgrade_time=record.plan_changed_at,
        replicas=len(members),
        customer_id=record.email,
        daily_backup_enabled=record.daily_backup,
        prod_pack_enabled=record.prod_pack,
    )
