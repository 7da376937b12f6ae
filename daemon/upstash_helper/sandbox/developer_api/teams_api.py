"""The Developer API's endpoints about teams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from upstash_helper.sandbox.accounts import Caller, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api import wire
from upstash_helper.sandbox.developer_api.authentication import Access, Authentication, Operation
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.indexes import Indexes
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.responses import json_response, read_json
from upstash_helper.sandbox.teams import MANAGERS, Role, Team, Teams

if TYPE_CHECKING:
    from aiohttp import web


class TeamsApi:
    """``/v2/team`` and ``/v2/teams``."""

    def __init__(
        self,
        *,
        auth: Authentication,
        teams: Teams,
        grants: Grants,
        databases: Databases,
        indexes: Sequence[Indexes[Any]],
        audit_log: AuditLog,
    ) -> None:
        self._auth = auth
        self._teams = teams
        self._grants = grants
        self._databases = databases
        self._indexes = indexes
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        routes: list[tuple[str, str, Operation, Access]] = [
            ("GET", "/v2/teams", self.list, "read"),
            ("GET", "/v2/teams/{id}", self.members, "read"),
            ("POST", "/v2/team", self.create, "manage-teams"),
            ("DELETE", "/v2/team/{id}", self.delete, "manage-teams"),
            ("POST", "/v2/teams/member", self.add_member, "manage-teams"),
            ("DELETE", "/v2/teams/member", self.remove_member, "manage-teams"),
        ]
        return [self._auth.route(*route) for route in routes]

    async def list(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the teams that the account is a member of."""
        return json_response(self._teams.list(caller.account))

    async def members(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """List a team's members."""
        return json_response(self._teams.members(self._teams.get(caller.account, request.match_info["id"])))

    async def create(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Create a team."""
        body = await read_json(request, wire.CreateTeam)
        team = self._teams.create(caller.account, body.team_name, copy_cc=body.copy_cc)
        self._log(request, caller, "Create Team", team)
        return json_response(team)

    async def delete(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Delete a team that has neither databases nor indexes."""
        team = self._managed(caller, request.match_info["id"], lambda role: role == "owner")
        if self._databases.count(team.team_id):
            raise RequestError(400, "the team has databases. Delete them first")
        if any(indexes.count(team.team_id) for indexes in self._indexes):
            raise RequestError(400, "the team has Vector or Search indexes. Delete them first")
        self._grants.revoke_team(team.team_id)
        self._teams.delete(team.team_id)
        self._log(request, caller, "Delete Team", team)
        return json_response("OK")

    async def add_member(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Add a member to a team."""
        body = await read_json(request, wire.AddTeamMember)
        team = self._managed(caller, body.team_id, MANAGERS.__contains__)
        member = self._teams.add_member(team, body.member_email, body.member_role)
        self._log(request, caller, "Add Team Member", team, body.member_email)
        return json_response(member)

    async def remove_member(self, request: web.Request, caller: Caller) -> web.StreamResponse:
        """Remove a member from a team, and revoke the member's grants for it."""
        body = await read_json(request, wire.DeleteTeamMember)
        team = self._managed(caller, body.team_id, MANAGERS.__contains__)
        self._teams.remove_member(team, body.member_email)
        self._grants.revoke_team(team.team_id, body.member_email)
        self._log(request, caller, "Remove Team Member", team, body.member_email)
        return json_response("OK")

    def _managed(self, caller: Caller, team_id: str, may_manage: Callable[[Role | None], bool]) -> Team:
        team = self._teams.get(caller.account, team_id)
        if not may_manage(self._teams.role(caller.account, team_id)):
            raise RequestError(403, "Forbidden: your role in the team does not allow this")
        return team

    def _log(self, request: web.Request, caller: Caller, action: str, team: Team, other: str = "NA") -> None:
        # In the log of the account that acted, and in the team's, which the other managers see.
        for owner in (caller.account, Owner(team.team_id, caller.account.email)):
            self._audit_log.add(
                owner, action, source=caller.source, entity=team.team_name, other=other, ip=request.remote
            )
