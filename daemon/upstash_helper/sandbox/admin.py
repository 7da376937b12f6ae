"""The admin API, with which tests control the sandbox: accounts, resources, settings, faults, and the request log."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Account
from upstash_helper.sandbox.admin_routes import ROUTES
from upstash_helper.sandbox.administration import Administration
from upstash_helper.sandbox.developer_api import wire
from upstash_helper.sandbox.developer_api.redis_api import RedisApi
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.faults import Fault
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.request_log import RequestFilter
from upstash_helper.sandbox.responses import error_response, invalid_values, json_response, read_json
from upstash_helper.sandbox.teams import AssignableRole
from upstash_helper.system import validation

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

KeyName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    """An account to create."""

    email: str
    password: str


class KeyChange(msgspec.Struct, forbid_unknown_fields=True):
    """An API key to create or to revoke."""

    email: str
    name: KeyName
    read_only: bool = False
    revoke: bool = False


class NewTeam(msgspec.Struct, forbid_unknown_fields=True):
    """A team to create."""

    email: str
    """The owner's."""
    team_name: wire.Name
    members: dict[wire.Email, AssignableRole] = {}
    """The roles of the other members, by email."""


class GrantChange(msgspec.Struct, forbid_unknown_fields=True):
    """What happens to a grant."""

    id: str
    action: Literal["revoke", "expire"]
    """``expire``: its access tokens expire; the refresh token stays valid."""


class NewDatabase(wire.CreateDatabase, kw_only=True, forbid_unknown_fields=True):
    """A database to create, with the fields of ``POST /v2/redis/database`` and its owner."""

    database_name: wire.Name = "database"
    platform: Literal["aws", "gcp"] | msgspec.UnsetType = msgspec.UNSET
    region: Literal["global"] | msgspec.UnsetType = "global"
    primary_region: wire.Region = "us-east-1"
    email: str | None = None
    team_id: str | None = None


class FaultSwitch(msgspec.Struct, forbid_unknown_fields=True):
    """Whether a fault affects requests."""

    enabled: bool


class AdminApi:
    """The endpoints below the admin path. Each requires the admin token as a bearer token."""

    def __init__(
        self,
        *,
        path: str,
        token: str,
        administration: Administration,
        redis: RedisApi,
        new_console_link: Callable[[], str],
        stop: Callable[[], None],
    ) -> None:
        """
        Args:
            path: The path that all routes are below.
            token: The admin token.
            administration: Carries out the operations.
            redis: Knows the format of databases.
            new_console_link: Returns a new link to the console.
            stop: Stops the sandbox.
        """
        self._path = path
        self._token = token
        self._admin = administration
        self._redis = redis
        self._new_console_link = new_console_link
        self._stop = stop

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.route(
                route.method,
                f"{self._path}/{route.path}",
                self._require_token(getattr(self, route.handler)),
                **({"allow_head": False} if route.method == "GET" else {}),
            )
            for route in ROUTES
        ]

    # --- accounts, API keys, and teams ---

    async def list_accounts(self, _request: web.Request) -> web.StreamResponse:
        """List all accounts."""
        return json_response(self._admin.accounts.all())

    async def add_account(self, request: web.Request) -> web.StreamResponse:
        """Create an account."""
        body = await read_json(request, NewAccount)
        return json_response(await self._admin.accounts.sign_up(body.email, body.password))

    async def delete_account(self, request: web.Request) -> web.StreamResponse:
        """Delete an account with everything that belongs to it."""
        await self._admin.delete_account(self._admin.account(request.match_info["email"]))
        return json_response("OK")

    async def list_keys(self, request: web.Request) -> web.StreamResponse:
        """List the names of an account's API keys."""
        return json_response(self._admin.accounts.api_key_names(self._account(request)))

    async def change_key(self, request: web.Request) -> web.StreamResponse:
        """Create or revoke an API key, as the user would in Upstash's console."""
        change = await read_json(request, KeyChange)
        account, ip = self._admin.account(change.email), request.remote
        if change.revoke:
            self._admin.revoke_api_key(account, change.name, ip=ip)
            return json_response("OK")
        api_key = self._admin.create_api_key(account, change.name, read_only=change.read_only, ip=ip)
        return json_response({"api_key": api_key})

    async def list_teams(self, request: web.Request) -> web.StreamResponse:
        """List the teams of an account."""
        return json_response(self._admin.teams.list(self._account(request)))

    async def add_team(self, request: web.Request) -> web.StreamResponse:
        """Create a team."""
        body = await read_json(request, NewTeam)
        owner = self._admin.account(body.email)
        return json_response(self._admin.create_team(owner, body.team_name, body.members, ip=request.remote))

    async def delete_team(self, request: web.Request) -> web.StreamResponse:
        """Delete a team with its databases and indexes."""
        await self._admin.delete_team(self._admin.teams.by_id(request.match_info["id"]), ip=request.remote)
        return json_response("OK")

    # --- databases ---

    async def list_databases(self, _request: web.Request) -> web.StreamResponse:
        """List the databases of all accounts and teams, with their credentials."""
        records = [it.record for owner in self._admin.owners() for it in self._admin.resources(owner).databases]
        return json_response([self._redis.as_json(record) for record in records])

    async def add_database(self, request: web.Request) -> web.StreamResponse:
        """Create a database for an account or a team."""
        body = await read_json(request, NewDatabase)
        owner = self._admin.owner(email=body.email, team_id=body.team_id)
        database = await self._admin.create_database(owner, body.to_new_database(), ip=request.remote)
        return json_response(self._redis.as_json(database.record))

    # --- the issuer ---

    async def list_grants(self, request: web.Request) -> web.StreamResponse:
        """List the issuer's grants: all, or those of an account."""
        grants, everyone = self._admin.grants, "email" not in request.query
        return json_response(grants.all() if everyone else grants.of_account(self._account(request).id))

    async def change_grant(self, request: web.Request) -> web.StreamResponse:
        """Revoke a grant, as the user would in the console, or expire its access tokens."""
        change = await read_json(request, GrantChange)
        grant = self._admin.grant(change.id)
        if change.action == "revoke":
            self._admin.revoke_grant(grant, ip=request.remote)
        else:
            self._admin.grants.expire_access_tokens(grant.id)
        return json_response("OK")

    async def list_clients(self, _request: web.Request) -> web.StreamResponse:
        """List the clients that have registered at the issuer."""
        return json_response(self._admin.clients.clients())

    async def remove_client(self, request: web.Request) -> web.StreamResponse:
        """Delete one of the issuer's clients and its grants, so that it must register again."""
        if not self._admin.clients.remove_client(request.match_info["id"]):
            raise RequestError(404, "no client with this ID exists; GET clients lists them")
        return json_response("OK")

    # --- settings, faults, and the request log ---

    async def show_settings(self, _request: web.Request) -> web.StreamResponse:
        """Return all settings."""
        return json_response(self._admin.settings)

    async def change_settings(self, request: web.Request) -> web.StreamResponse:
        """Change some settings and keep the others."""
        return await self._set(request, msgspec.structs.asdict(self._admin.settings))

    async def replace_settings(self, request: web.Request) -> web.StreamResponse:
        """Change some settings and reset the others to what they were at the start."""
        return await self._set(request, self._admin.default_settings)

    async def _set(self, request: web.Request, others: dict[str, Any]) -> web.StreamResponse:
        changes = await read_json(request, dict[str, Any])
        try:
            settings = validation.convert(others | changes, OAuthSettings)
        except validation.ValuesInvalid as error:
            raise invalid_values(error) from None
        self._admin.change_settings(msgspec.structs.asdict(settings))
        return json_response(self._admin.settings)

    async def list_faults(self, _request: web.Request) -> web.StreamResponse:
        """List the faults."""
        return json_response(self._admin.faults.active())

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """Activate a fault."""
        return json_response(self._admin.faults.add(await read_json(request, Fault)))

    async def switch_fault(self, request: web.Request) -> web.StreamResponse:
        """Turn a fault on or off."""
        enabled = (await read_json(request, FaultSwitch)).enabled
        self._admin.faults.set_enabled(_fault_id(request), enabled=enabled)
        return json_response("OK")

    async def remove_fault(self, request: web.Request) -> web.StreamResponse:
        """Remove a fault."""
        self._admin.faults.remove(_fault_id(request))
        return json_response("OK")

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        """Remove all faults."""
        self._admin.faults.clear()
        return json_response("OK")

    async def list_requests(self, request: web.Request) -> web.StreamResponse:
        """List received requests, oldest first, except those to the admin API and the console."""
        try:
            which = msgspec.convert(dict(request.query), RequestFilter, strict=False)
        except msgspec.ValidationError as error:
            raise RequestError(400, f"invalid query: {error}") from None
        return json_response(await self._admin.requests.wait_for(which))

    async def clear_requests(self, _request: web.Request) -> web.StreamResponse:
        """Clear the request log."""
        self._admin.requests.clear()
        return json_response("OK")

    # --- the sandbox itself ---

    async def add_console_link(self, _request: web.Request) -> web.StreamResponse:
        """Return a link to the console that works once."""
        return json_response({"url": self._new_console_link()})

    async def reset(self, _request: web.Request) -> web.StreamResponse:
        """Delete everything, and reset settings, faults, and the request log."""
        await self._admin.reset()
        return json_response("OK")

    async def stop(self, _request: web.Request) -> web.StreamResponse:
        """Stop the sandbox. Windows has no signal that lets it save its data first."""
        self._stop()
        return json_response("OK")

    def _require_token(self, handler: Handler) -> Handler:
        async def authenticated(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                message = "the admin token is required, as a bearer token; the sandbox prints it as admin_token"
                return error_response(401, message, {"WWW-Authenticate": "Bearer"})
            return await handler(request)

        return authenticated

    def _account(self, request: web.Request) -> Account:
        email = request.query.get("email")
        if email is None:
            raise RequestError(400, "invalid query: email is required")
        return self._admin.account(email)


def _fault_id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdecimal()):
        raise RequestError(400, "the ID of a fault is a number; GET faults lists them")
    return int(text[:18])
