"""The Developer API's QStash operations. QStash itself, which delivers messages, is not part of the sandbox."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from upstash_helper.sandbox.accounts import Caller, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api.authentication import Authentication, Operation
from upstash_helper.sandbox.developer_api.qstash_stats import DEFAULT_PERIOD, PERIODS, zero_stats
from upstash_helper.sandbox.developer_api.qstash_wire import MoveToTeam, SetPlan, UpdateBudget, qstash_user
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.qstash import QStashUserRecord, QStashUsers, new_tokens
from upstash_helper.sandbox.responses import json_response, read_json
from upstash_helper.sandbox.teams import Teams

OK = "OK"
IPV4_ADDRESSES = ("192.0.2.10/32", "192.0.2.11/32")
"""Reserved for documentation (RFC 5737), so that nobody who allows them allows a real host."""


class QStashApi:
    """``/v2/qstash/*``."""

    def __init__(self, *, auth: Authentication, users: QStashUsers, teams: Teams, audit_log: AuditLog) -> None:
        self._auth = auth
        self._users = users
        self._teams = teams
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        reads: list[tuple[str, Operation]] = [
            ("users", self.list),
            ("user/{id}", self.get),
            ("stats/{id}", self.stats),
        ]
        changes: list[tuple[str, str, Operation]] = [
            ("POST", "rotate-token/{id}", self.rotate_token),
            ("POST", "set-plan/{id}", self.set_plan),
            ("PATCH", "update-budget/{id}", self.update_budget),
            ("POST", "enable-prodpack/{id}", self.enable_production_pack),
            ("POST", "disable-prodpack/{id}", self.disable_production_pack),
            ("POST", "move-to-team", self.move_to_team),
        ]
        base = "/v2/qstash/"
        require = self._auth.require
        return [
            web.get(f"{base}ipv4", self.ipv4, allow_head=False),
            *(web.get(base + path, require(operation, "read"), allow_head=False) for path, operation in reads),
            *(web.route(method, base + path, require(operation, "write")) for method, path, operation in changes),
        ]

    async def ipv4(self, _request: web.Request) -> web.StreamResponse:
        """List the addresses that QStash sends from. This is the only operation without authentication."""
        return json_response(IPV4_ADDRESSES)

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the QStash users of the account, or of the team that the caller acts for."""
        return json_response([qstash_user(user) for user in self._users.list(caller.owner)])

    async def get(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Show one QStash user."""
        return json_response(qstash_user(self._user(request, caller)))

    async def stats(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Return a QStash user's statistics."""
        self._user(request, caller)
        period = request.query.get("period", DEFAULT_PERIOD)
        if period not in PERIODS:
            raise RequestError(400, f"invalid query parameter: period: Must be one of {', '.join(PERIODS)}.")
        return json_response(zero_stats(period))

    async def rotate_token(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Replace both tokens."""
        user = self._user(request, caller)
        changed = self._change(request, caller, "Reset QStash Token", user, **new_tokens(user.id))
        return json_response(qstash_user(changed))

    async def set_plan(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move a QStash user to another plan, with other limits."""
        plan = (await read_json(request, SetPlan)).plan_name
        changes = {"plan": plan, "plan_changed_at": int(time.time())}
        self._change(request, caller, "Set QStash Plan", self._user(request, caller), other=plan, **changes)
        return json_response(OK)

    async def update_budget(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Set the monthly budget."""
        budget = (await read_json(request, UpdateBudget)).resolve_budget()
        self._change(request, caller, "Update QStash Budget", self._user(request, caller), budget=budget)
        return json_response(OK)

    async def enable_production_pack(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Enable the production pack."""
        user = self._user(request, caller)
        self._change(request, caller, "Enable QStash Production Pack", user, prod_pack=True)
        return json_response(OK)

    async def disable_production_pack(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Disable the production pack."""
        user = self._user(request, caller)
        self._change(request, caller, "Disable QStash Production Pack", user, prod_pack=False)
        return json_response(OK)

    async def move_to_team(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Move a QStash user to a team of the account."""
        body = await read_json(request, MoveToTeam)
        user = self._users.get(caller.owner, body.qstash_id)
        team_id = body.target_team_id
        self._teams.require_resource_manager(caller.account, team_id)
        changes = {"account_id": team_id, "customer_id": team_id}
        self._change(request, caller, "Move QStash To Team", user, other=team_id, **changes)
        self._audit_log.add(
            Owner(team_id, caller.account.email),
            "Move QStash To Team",
            source=caller.source,
            entity=user.id,
            other=team_id,
            ip=request.remote,
        )
        return json_response(OK)

    def _user(self, request: web.Request, caller: Caller) -> QStashUserRecord:
        return self._users.get(caller.owner, request.match_info["id"])

    def _change(
        self,
        request: web.Request,
        caller: Caller,
        action: str,
        user: QStashUserRecord,
        *,
        other: str = "NA",
        **changes: Any,
    ) -> QStashUserRecord:
        changed = self._users.change(user, **changes)
        self._audit_log.add(caller.owner, action, source=caller.source, entity=user.id, other=other, ip=request.remote)
        return changed
