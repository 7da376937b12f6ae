"""The admin API, with which tests control the sandbox: accounts, API keys, settings, faults, and the request log."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.faults import Fault, FaultInjector
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.store import OAuthStore
from upstash_helper.sandbox.responses import error_response, invalid_values, json_response, read_json
from upstash_helper.sandbox.teams import AssignableRole, Teams
from upstash_helper.system import validation

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    """An account to create."""

    email: str
    password: str


class KeyChange(msgspec.Struct, forbid_unknown_fields=True):
    """An API key to create or to revoke."""

    email: str
    name: str
    read_only: bool = False
    revoke: bool = False


class NewTeam(msgspec.Struct, forbid_unknown_fields=True):
    """A team to create."""

    email: str
    """The owner's."""
    team_name: str
    members: dict[str, AssignableRole] = {}
    """The roles of the other members, by email."""


class GrantChange(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to a grant."""

    id: str
    action: Literal["revoke", "expire"]
    """``expire``: its access tokens expire; the refresh token stays valid."""


class AdminApi:
    """The endpoints below the admin path. Each requires the admin token as a bearer token."""

    def __init__(
        self,
        *,
        path: str,
        token: str,
        accounts: Accounts,
        teams: Teams,
        grants: Grants,
        clients: OAuthStore,
        faults: FaultInjector,
        settings: OAuthSettings,
        audit_log: AuditLog,
        stop: Callable[[], None],
    ) -> None:
        self._path = path
        self._token = token
        self._accounts = accounts
        self._teams = teams
        self._grants = grants
        self._clients = clients
        self._faults = faults
        self._settings = settings
        self._defaults = msgspec.structs.asdict(settings)
        self._audit_log = audit_log
        self._stop = stop

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        routes: list[tuple[str, str, Handler]] = [
            ("POST", "accounts", self.add_account),
            ("GET", "api-keys", self.list_keys),
            ("POST", "api-keys", self.change_key),
            ("GET", "teams", self.list_teams),
            ("POST", "teams", self.add_team),
            ("GET", "grants", self.list_grants),
            ("POST", "grants", self.change_grant),
            ("GET", "clients", self.list_clients),
            ("DELETE", "clients/{id}", self.remove_client),
            ("GET", "settings", self.show_settings),
            ("POST", "settings", self.change_settings),
            ("PUT", "settings", self.replace_settings),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.add_fault),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "requests", self.list_requests),
            ("DELETE", "requests", self.clear_requests),
            ("POST", "stop", self.stop),
        ]
        return [
            web.route(method, f"{self._path}/{name}", self._require_token(handler)) for method, name, handler in routes
        ]

    async def add_account(self, request: web.Request) -> web.StreamResponse:
        """Create an account."""
        body = await read_json(request, NewAccount)
        return json_response(await self._accounts.sign_up(body.email, body.password))

    async def list_keys(self, request: web.Request) -> web.StreamResponse:
        """List the names of an account's API keys."""
        return json_response(self._accounts.api_key_names(self._account(request.query.get("email", ""))))

    async def change_key(self, request: web.Request) -> web.StreamResponse:
        """Create or revoke an API key, as the user would in Upstash's console."""
        change = await read_json(request, KeyChange)
        account = self._account(change.email)
        result: Any = "OK"
        if not change.revoke:
            result = {"api_key": self._accounts.create_api_key(account, change.name, read_only=change.read_only)}
        elif not self._accounts.revoke_api_key(account, change.name):
            raise RequestError(404, "no API key with this name exists")
        action = "Revoke API Key" if change.revoke else "Create API Key"
        self._audit_log.add(account, action, source="CONSOLE", entity=change.name, ip=request.remote)
        return json_response(result)

    async def list_teams(self, request: web.Request) -> web.StreamResponse:
        """List the teams of an account."""
        return json_response(self._teams.list(self._account(request.query.get("email", ""))))

    async def add_team(self, request: web.Request) -> web.StreamResponse:
        """Create a team."""
        body = await read_json(request, NewTeam)
        team = self._teams.create(self._account(body.email), body.team_name)
        for email, role in body.members.items():
            self._teams.add_member(team, email, role)
        return json_response(team)

    async def list_grants(self, request: web.Request) -> web.StreamResponse:
        """List the issuer's grants: all, or those of an account."""
        email = request.query.get("email")
        return json_response(self._grants.all() if email is None else self._grants.of_account(self._account(email).id))

    async def change_grant(self, request: web.Request) -> web.StreamResponse:
        """Revoke a grant, as the user would in the console, or let its access tokens expire."""
        change = await read_json(request, GrantChange)
        if change.id not in {grant.id for grant in self._grants.all()}:
            raise RequestError(404, "no grant with this ID exists")
        if change.action == "revoke":
            self._grants.revoke(change.id)
        else:
            self._grants.expire_access_tokens(change.id)
        return json_response("OK")

    async def list_clients(self, _request: web.Request) -> web.StreamResponse:
        """List the clients that have registered at the issuer."""
        return json_response(self._clients.clients())

    async def remove_client(self, request: web.Request) -> web.StreamResponse:
        """Delete a client of the issuer with its grants, so that it must register again."""
        if not self._clients.remove_client(request.match_info["id"]):
            raise RequestError(404, "no client with this ID exists")
        return json_response("OK")

    async def show_settings(self, _request: web.Request) -> web.StreamResponse:
        """Return all settings."""
        return json_response(self._settings)

    async def change_settings(self, request: web.Request) -> web.StreamResponse:
        """Change some settings and keep the others."""
        return await self._set(request, msgspec.structs.asdict(self._settings))

    async def replace_settings(self, request: web.Request) -> web.StreamResponse:
        """Change some settings and reset the others to what they were at the start."""
        return await self._set(request, self._defaults)

    async def _set(self, request: web.Request, others: dict[str, Any]) -> web.StreamResponse:
        changes = await read_json(request, dict[str, Any])
        try:
            settings = validation.convert(others | changes, OAuthSettings)
        except validation.ValuesInvalid as error:
            raise invalid_values(error) from None
        for name, value in msgspec.structs.asdict(settings).items():
            setattr(self._settings, name, value)
        return json_response(self._settings)

    async def list_faults(self, _request: web.Request) -> web.StreamResponse:
        """List the active faults."""
        return json_response(self._faults.active())

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """Activate a fault."""
        self._faults.add(await read_json(request, Fault))
        return json_response(self._faults.active())

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        """Remove all faults."""
        self._faults.clear()
        return json_response("OK")

    async def list_requests(self, _request: web.Request) -> web.StreamResponse:
        """List the requests received, oldest first, without those to the admin API."""
        return json_response(self._faults.requests())

    async def clear_requests(self, _request: web.Request) -> web.StreamResponse:
        """Empty the request log."""
        self._faults.clear_requests()
        return json_response("OK")

    async def stop(self, _request: web.Request) -> web.StreamResponse:
        """Stop the sandbox. On Windows there is no signal that would let it save its data."""
        self._stop()
        return json_response("OK")

    def _require_token(self, handler: Handler) -> Handler:
        async def authenticated(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                return error_response(401, "the admin token is required")
            return await handler(request)

        return authenticated

    def _account(self, email: str) -> Account:
        account = self._accounts.by_email(email)
        if account is None:
            raise RequestError(404, "no account with this email exists")
        return account
