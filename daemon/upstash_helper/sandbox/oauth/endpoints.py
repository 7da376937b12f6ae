"""The partners' authorization server for programs, and ``/apikey``, which accepts its access tokens."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Accounts
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.oauth import metadata
from upstash_helper.sandbox.oauth.settings import AUDIENCE, SCOPES, OAuthSettings
from upstash_helper.sandbox.oauth.token_endpoints import TokenEndpoints, unauthorized
from upstash_helper.sandbox.responses import json_response, read_json

CROSS_ORIGIN = (
    "/oauth/token",
    "/oauth/revoke",
    "/userinfo",
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
    "/apikey",
)
"""The paths that pages of every origin may use."""


class NewApiKey(msgspec.Struct):
    """The body of ``POST /apikey``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class OAuthApi:
    """Tokens, revocation, userinfo, discovery, and API keys."""

    def __init__(
        self,
        *,
        origin: str,
        endpoints: TokenEndpoints,
        accounts: Accounts,
        audit_log: AuditLog,
        settings: OAuthSettings,
    ) -> None:
        self._origin = origin
        self._endpoints = endpoints
        self._accounts = accounts
        self._audit_log = audit_log
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        endpoints = self._endpoints
        return [
            web.post("/oauth/token", endpoints.token),
            web.post("/oauth/revoke", endpoints.revoke),
            web.get("/userinfo", endpoints.userinfo, allow_head=False),
            web.get("/.well-known/openid-configuration", self.discovery, allow_head=False),
            web.get("/.well-known/jwks.json", endpoints.key_set, allow_head=False),
            web.post("/apikey", self.create_api_key),
        ]

    async def create_api_key(self, request: web.Request) -> web.StreamResponse:
        """Create a Developer API key for the access token's user."""
        authenticated = self._endpoints.authenticate(request)
        if authenticated is None or authenticated[0].audience != AUDIENCE:
            return unauthorized()
        _, account = authenticated
        name = (await read_json(request, NewApiKey)).name
        api_key = self._accounts.create_api_key(account, name)
        self._audit_log.add(account, "Create API Key", source="OAUTH", entity=name, ip=request.remote)
        body = {"api_key": api_key, "name": name, "creation_time": int(time.time())}
        return json_response(body | ({"email": account.email} if self._settings.api_key_email else {}))

    async def discovery(self, _request: web.Request) -> web.StreamResponse:
        """Describe the authorization server."""
        endpoints = {
            "authorization_endpoint": f"{self._origin}/authorize",
            "token_endpoint": f"{self._origin}/oauth/token",
            "revocation_endpoint": f"{self._origin}/oauth/revoke",
            "userinfo_endpoint": f"{self._origin}/userinfo",
            "jwks_uri": f"{self._origin}/.well-known/jwks.json",
        }
        issuer, iss = f"{self._origin}/", self._settings.redirect_iss
        return json_response(metadata.describe(issuer=issuer, scopes=SCOPES, iss=iss, endpoints=endpoints))
