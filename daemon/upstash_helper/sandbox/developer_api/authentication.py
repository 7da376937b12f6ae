"""The Developer API's authentication: an API key, or an access token of the open authorization server."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Literal

from aiohttp import web

from upstash_helper.sandbox.accounts import Accounts, Caller, Owner
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.responses import error_response
from upstash_helper.sandbox.teams import RESOURCE_MANAGERS, Teams

Operation = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]
Access = Literal["read", "write", "manage-teams"]

_BASIC = 'Basic realm="Upstash Developer API"'
_BEARER = 'Bearer error="invalid_token"'


class Authentication:
    """Authenticates requests by HTTP Basic (email and API key) or Bearer (access token)."""

    def __init__(self, *, accounts: Accounts, issuer: AuthorizationServer, grants: Grants, teams: Teams) -> None:
        self._accounts = accounts
        self._issuer = issuer
        self._grants = grants
        self._teams = teams

    def route(self, method: str, path: str, operation: Operation, access: Access) -> web.RouteDef:
        """Return the route of an operation. One with GET does not answer HEAD."""
        options = {"allow_head": False} if method == "GET" else {}
        return web.route(method, path, self.require(operation, access), **options)

    def require(self, operation: Operation, access: Access) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """
        Return a handler that authenticates the caller and passes it to an operation.

        Args:
            operation: The operation.
            access: What the operation does. Read-only keys and grants can only read, and no grant manages teams.
        """

        async def handler(request: web.Request) -> web.StreamResponse:
            scheme, _, value = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() == "bearer":
                caller, problem, challenge = self._by_token(value.strip()), "invalid or expired access token", _BEARER
            else:
                basic = value if scheme.lower() == "basic" else ""
                caller, problem, challenge = self._by_key(basic), "wrong email or API key", _BASIC
            if caller is None:
                return error_response(401, f"Unauthorized: {problem}", {"WWW-Authenticate": challenge})
            if access == "manage-teams" and caller.grant_id is not None:
                return error_response(403, "Forbidden: teams cannot be managed with an OAuth access token")
            if access != "read" and caller.read_only:
                kind = "this API key" if caller.grant_id is None else "this OAuth access token"
                return error_response(403, f"Forbidden: {kind} is read-only")
            if access != "read" and not self._role_allows_changes(caller):
                return error_response(403, "Forbidden: your role in the team does not allow changes")
            return await operation(request, caller)

        return handler

    def _role_allows_changes(self, caller: Caller) -> bool:
        return caller.owner == caller.account or self._teams.role(caller.account, caller.owner.id) in RESOURCE_MANAGERS

    def _by_key(self, encoded: str) -> Caller | None:
        try:
            email, colon, api_key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return self._accounts.authenticate(email, api_key) if colon else None

    def _by_token(self, access_token: str) -> Caller | None:
        token = self._issuer.access_token(access_token)
        grant = self._grants.of_family(token.family) if token else None
        account = self._accounts.get(token.account_id) if token else None
        if grant is None or account is None:
            return None
        if grant.team_id is not None and self._teams.role(account, grant.team_id) is None:
            return None
        self._grants.touch(grant.id)
        return Caller(
            account=account,
            owner=Owner(grant.team_id, account.email) if grant.team_id else account,
            source=f"OAUTH - {grant.client_name}",
            read_only=grant.read_only,
            grant_id=grant.id,
        )
