"""The 22 Redis operations of the Developer API."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import web

from upstash_helper.sandbox.answers import json_answer, read_json
from upstash_helper.sandbox.developer_api import wire
from upstash_helper.sandbox.developer_api.account_api import Gate, Operation
from upstash_helper.sandbox.developer_api.accounts import Caller
from upstash_helper.sandbox.developer_api.audit import Audit
from upstash_helper.sandbox.developer_api.stats import stats_of
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.redis.backups import Backups
from upstash_helper.sandbox.redis.databases import Database, Databases, new_secrets, passwords_of, read_regions
from upstash_helper.sandbox.redis.records import DatabaseRecord

OK = "OK"


class RedisApi:
    """``/v2/redis/*``."""

    def __init__(self, *, host: str, gate: Gate, databases: Databases, backups: Backups, audit: Audit) -> None:
        """
        Args:
            host: Where the databases listen.
            gate: Knows the callers.
            databases: The databases.
            backups: Their backups.
            audit: Remembers what was done.
        """
        self._host = host
        self._gate = gate
        self._databases = databases
        self._backups = backups
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
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
            ("POST", "enable-autoupgrade/{id}", self.flag("auto_upgrade", "Auto Upgrade", on=True)),
            ("POST", "disable-autoupgrade/{id}", self.flag("auto_upgrade", "Auto Upgrade", on=False)),
            ("POST", "{id}/change-plan", self.change_plan),
            ("PATCH", "update-budget/{id}", self.update_budget),
            ("POST", "update-regions/{id}", self.update_regions),
            ("POST", "move-to-team", self.move_to_team),
            ("POST", "create-backup/{id}", self.create_backup),
            ("DELETE", "delete-backup/{id}/{backup_id}", self.delete_backup),
            ("POST", "restore-backup/{id}", self.restore_backup),
            ("PATCH", "enable-dailybackup/{id}", self.flag("daily_backup", "Daily Backup", on=True)),
            ("PATCH", "disable-dailybackup/{id}", self.flag("daily_backup", "Daily Backup", on=False)),
        ]
        base = "/v2/redis/"
        guard = self._gate.guard
        return [
            *(web.get(base + path, guard(operation, changes=False), allow_head=False) for path, operation in reads),
            *(web.route(verb, base + path, guard(operation, changes=True)) for verb, path, operation in changes),
        ]

    # --- databases ---

    async def list(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the account's databases."""
        return json_answer([self._shown(database.record, request) for database in self._databases.of(caller.account)])

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show one database."""
        return json_answer(self._shown(self._named(request, caller).record, request))

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Make a database."""
        wanted = await read_json(request, wire.CreateDatabase)
        database = await self._databases.create(caller.account, wanted)
        self._log(request, caller, "Create Database", database)
        return json_answer(self._shown(database.record, request))

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Delete a database and what is in it."""
        database = self._named(request, caller)
        await self._databases.delete(database)
        self._log(request, caller, "Delete Database", database)
        return json_answer(OK)

    async def rename(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Give a database another name."""
        name = (await read_json(request, wire.Rename)).name
        await self._change(request, caller, "Rename Database", name=name)
        return await self.get(request, caller)

    async def reset_password(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace the password and the REST tokens."""
        secrets = new_secrets()
        async with self._databases.change(self._named(request, caller), **secrets) as database:
            changed = msgspec.structs.replace(database.record, **secrets)
            await database.server.set_passwords(passwords_of(changed))
        self._log(request, caller, "Reset Password", database)
        return json_answer(self._shown(database.record, request))

    async def enable_tls(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Take TLS connections only."""
        async with self._databases.change(self._named(request, caller), tls=True) as database:
            if not database.record.tls:
                await database.server.require_tls()
        self._log(request, caller, "Enable TLS", database)
        return json_answer(self._shown(database.record, request))

    async def enable_eviction(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Evict keys when memory is full."""
        return await self._set_eviction(request, caller, enabled=True)

    async def disable_eviction(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Refuse writes when memory is full."""
        return await self._set_eviction(request, caller, enabled=False)

    async def change_plan(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move a database to another plan, with another memory limit."""
        body = await read_json(request, wire.ChangePlan)
        wanted = {"auto_upgrade": body.auto_upgrade, "prod_pack": body.prod_pack_enabled}
        changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not msgspec.UNSET}
        changes |= {"plan": body.plan_name, "plan_changed_at": int(time.time())}
        async with self._databases.change(self._named(request, caller), **changes) as database:
            await database.server.set_memory_limit(wire.MEMORY_OF[body.plan_name])
        self._log(request, caller, "Change Plan", database, body.plan_name)
        return json_answer(OK)

    async def update_budget(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Set the monthly budget."""
        budget = (await read_json(request, wire.UpdateBudget)).budget
        return await self._change(request, caller, "Update Budget", budget=budget)

    async def update_regions(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace the read regions."""
        wanted = (await read_json(request, wire.UpdateRegions)).read_regions
        primary = self._named(request, caller).record.primary_region
        return await self._change(request, caller, "Update Regions", read_regions=read_regions(primary, wanted))

    async def move_to_team(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Refuse to move a database: the account has no team."""
        body = await read_json(request, wire.MoveToTeam)
        self._databases.get(caller.account, body.database_id)
        raise Refused(400, "team not found")

    async def stats(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show what the server counted."""
        async with self._databases.change(self._named(request, caller)) as database:
            return json_answer(await stats_of(database.server))

    # --- backups ---

    async def list_backups(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """List a database's backups."""
        return json_answer(self._backups.of(self._named(request, caller)))

    async def create_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Make a snapshot."""
        name = (await read_json(request, wire.CreateBackup)).name
        database = self._named(request, caller)
        await self._backups.create(database, name)
        self._log(request, caller, "Create Backup", database, name)
        return json_answer(OK)

    async def delete_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Remove a snapshot."""
        database = self._named(request, caller)
        backup = await self._backups.delete(database, request.match_info["backup_id"])
        self._log(request, caller, "Delete Backup", database, backup.name)
        return json_answer(OK)

    async def restore_backup(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace a database's data with a snapshot's."""
        backup_id = (await read_json(request, wire.RestoreBackup)).backup_id
        database = self._named(request, caller)
        backup = await self._backups.restore(database, backup_id)
        self._log(request, caller, "Restore Backup", database, backup.name)
        return json_answer(OK)

    # --- what they share ---

    def flag(self, field: str, title: str, *, on: bool) -> Operation:
        """Return the operation that sets one flag."""

        async def operation(request: web.Request, caller: Caller) -> web.StreamResponse:
            return await self._change(request, caller, f"{'Enable' if on else 'Disable'} {title}", **{field: on})

        return operation

    async def _set_eviction(self, request: web.Request, caller: Caller, *, enabled: bool) -> web.StreamResponse:
        async with self._databases.change(self._named(request, caller), eviction=enabled) as database:
            await database.server.set_eviction(enabled=enabled)
        self._log(request, caller, "Enable Eviction" if enabled else "Disable Eviction", database)
        return json_answer(OK)

    async def _change(self, request: web.Request, caller: Caller, action: str, **changes: Any) -> web.StreamResponse:
        async with self._databases.change(self._named(request, caller), **changes) as database:
            pass
        self._log(request, caller, action, database)
        return json_answer(OK)

    def _named(self, request: web.Request, caller: Caller) -> Database:
        return self._databases.get(caller.account, request.match_info["id"])

    def _log(self, request: web.Request, caller: Caller, action: str, database: Database, other: str = "NA") -> None:
        source = f"API_KEY - {caller.key_name}"
        entity = database.record.name
        self._audit.add(caller.account, action, source=source, entity=entity, other=other, ip=request.remote)

    def _shown(self, record: DatabaseRecord, request: web.Request) -> wire.Database:
        shown = _without_secrets(record, self._host)
        if request.query.get("credentials") != "hide":
            shown.password = record.password
            shown.rest_token = record.rest_token
            shown.read_only_rest_token = record.read_only_rest_token
        return shown


def _without_secrets(record: DatabaseRecord, host: str) -> wire.Database:
    memory = wire.MEMORY_OF[record.plan]
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
