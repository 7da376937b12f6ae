"""The open authorization server for programs: discovery, tokens, revocation, and userinfo."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.sandbox.oauth import metadata
from upstash_helper.sandbox.oauth.settings import ISSUER_SCOPES, OAuthSettings
from upstash_helper.sandbox.oauth.token_endpoints import TokenEndpoints
from upstash_helper.sandbox.responses import json_response

CROSS_ORIGIN = (
    "/oauth/register",
    "/oauth/token",
    "/oauth/token/revoke",
    "/oauth/userinfo",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/jwks.json",
)
"""The paths that pages of every origin may use."""


class OpenOAuthApi:
    """The endpoints, apart from registration and the authorization endpoint."""

    def __init__(self, *, origin: str, endpoints: TokenEndpoints, settings: OAuthSettings) -> None:
        self._origin = origin
        self._endpoints = endpoints
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        endpoints = self._endpoints
        return [
            web.get("/.well-known/oauth-authorization-server", self.discovery, allow_head=False),
            web.get("/.well-known/openid-configuration", self.discovery, allow_head=False),
            web.get("/.well-known/jwks.json", endpoints.key_set, allow_head=False),
            web.post("/oauth/token", endpoints.token),
            web.post("/oauth/token/revoke", endpoints.revoke),
            web.get("/oauth/userinfo", endpoints.userinfo, allow_head=False),
            web.post("/oauth/userinfo", endpoints.userinfo),
        ]

    async def discovery(self, _request: web.Request) -> web.StreamResponse:
        """Describe the authorization server."""
        base = f"{self._origin}/oauth"
        endpoints = {
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "revocation_endpoint": f"{base}/token/revoke",
            "userinfo_endpoint": f"{base}/userinfo",
            "jwks_uri": f"{self._origin}/.well-known/jwks.json",
        }
        if self._settings.issuer_registration:
            endpoints["registration_endpoint"] = f"{base}/register"
        iss = self._settings.issuer_iss != "off"
        return json_response(metadata.describe(issuer=self._origin, scopes=ISSUER_SCOPES, iss=iss, endpoints=endpoints))
