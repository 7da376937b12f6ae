"""The Developer API's endpoints about the account: its audit log, its access tokens, and what only the console has."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.sandbox.accounts import Caller
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.developer_api.authentication import Authentication
from upstash_helper.sandbox.developer_api.wire import TokenInfo
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.responses import error_response, json_response
from upstash_helper.sandbox.teams import Teams

CONSOLE_ONLY = ("user", "invoices", "billingdetails", "billingdetails/{rest:.*}", "listkeys")
"""Paths that Upstash serves only to its console. API keys get 403."""


class AccountApi:
    """``/auditlogs``, ``/v2/account/oauth/token-info``, and the paths in ``CONSOLE_ONLY``."""

    def __init__(self, *, auth: Authentication, audit_log: AuditLog, teams: Teams, settings: OAuthSettings) -> None:
        self._auth = auth
        self._audit_log = audit_log
        self._teams = teams
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        require = self._auth.require
        return [
            web.get("/auditlogs", require(self.audit_logs, "read"), allow_head=False),
            web.get("/v2/account/oauth/token-info", require(self.token_info, "read"), allow_head=False),
            # With and without the version, since the sources do not say which.
            *(
                web.route("*", base + path, require(self.refuse, "read"))
                for base in ("/", "/v2/")
                for path in CONSOLE_ONLY
            ),
        ]

    async def refuse(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """Refuse what only a user who has signed in to Upstash's console can do."""
        return error_response(403, "Forbidden: this is only available in the console, not to API keys or OAuth apps")

    async def audit_logs(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the audit log, newest first."""
        return json_response(self._audit_log.list(caller.owner))

    async def token_info(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """Return whom the access token acts for, and whether it is read-only."""
        if caller.grant_id is None:
            return error_response(400, "this endpoint requires an OAuth access token")
        info = TokenInfo(email=caller.account.email)
        if caller.owner != caller.account:
            info.team_id = caller.owner.id
            info.team_role = self._teams.role(caller.account, caller.owner.id)
        info.read_only = caller.read_only
        info.blocked = self._settings.blocked
        return json_response(info)
