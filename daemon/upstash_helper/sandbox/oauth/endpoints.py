"""The authorization server's endpoints for programs, and ``/apikey``, which accepts its access tokens."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer, EndpointResponse
from upstash_helper.sandbox.oauth.jwt import TokenSigner
from upstash_helper.sandbox.oauth.settings import AUDIENCE, SCOPES, OAuthSettings
from upstash_helper.sandbox.oauth.store import IssuedToken
from upstash_helper.sandbox.responses import error_response, json_response, read_json


class NewApiKey(msgspec.Struct):
    """The body of ``POST /apikey``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class OAuthApi:
    """Tokens, revocation, userinfo, discovery, and API keys."""

    def __init__(
        self,
        *,
        origin: str,
        server: AuthorizationServer,
        accounts: Accounts,
        signer: TokenSigner,
        audit_log: AuditLog,
        settings: OAuthSettings,
    ) -> None:
        self._origin = origin
        self._server = server
        self._accounts = accounts
        self._signer = signer
        self._audit_log = audit_log
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/oauth/token", self.token),
            web.post("/oauth/revoke", self.revoke),
            web.get("/userinfo", self.userinfo, allow_head=False),
            web.get("/.well-known/openid-configuration", self.discovery, allow_head=False),
            web.get("/.well-known/jwks.json", self.key_set, allow_head=False),
            web.post("/apikey", self.create_api_key),
        ]

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Exchange a code or a refresh token (RFC 6749, sections 4.1.3 and 6)."""
        return _to_http(self._server.token(await _form(request)))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke a token (RFC 7009)."""
        return _to_http(self._server.revoke(await _form(request)))

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        """Return the claims about the access token's user (OpenID Connect Core, section 5.3)."""
        if not self._settings.userinfo:
            return error_response(503, "userinfo is turned off")
        authenticated = self._authenticate(request)
        if authenticated is None:
            return _unauthorized()
        token, account = authenticated
        scopes = token.scope.split()
        if "openid" not in scopes:
            return error_response(403, "insufficient_scope")
        claims = {"sub": account.id}
        return json_response(claims | ({"email": account.email, "email_verified": True} if "email" in scopes else {}))

    async def create_api_key(self, request: web.Request) -> web.StreamResponse:
        """Create a Developer API key for the access token's user."""
        authenticated = self._authenticate(request)
        if authenticated is None or authenticated[0].audience != AUDIENCE:
            return _unauthorized()
        _, account = authenticated
        name = (await read_json(request, NewApiKey)).name
        api_key = self._accounts.create_api_key(account, name)
        self._audit_log.add(account, "Create API Key", source="OAUTH", entity=name, ip=request.remote)
        body = {"api_key": api_key, "name": name, "creation_time": int(time.time())}
        return json_response(body | ({"email": account.email} if self._settings.api_key_email else {}))

    async def discovery(self, _request: web.Request) -> web.StreamResponse:
        """Describe the authorization server (RFC 8414)."""
        return json_response(
            {
                "issuer": self._server.issuer,
                "authorization_endpoint": f"{self._origin}/authorize",
                "token_endpoint": f"{self._origin}/oauth/token",
                "revocation_endpoint": f"{self._origin}/oauth/revoke",
                "userinfo_endpoint": f"{self._origin}/userinfo",
                "jwks_uri": f"{self._origin}/.well-known/jwks.json",
                "scopes_supported": sorted(SCOPES),
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "authorization_response_iss_parameter_supported": self._settings.redirect_iss,
            }
        )

    async def key_set(self, _request: web.Request) -> web.StreamResponse:
        """Publish the key that verifies the tokens (RFC 7517)."""
        return json_response(self._signer.key_set())

    def _authenticate(self, request: web.Request) -> tuple[IssuedToken, Account] | None:
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        token = self._server.access_token(access_token.strip()) if scheme.lower() == "bearer" else None
        account = self._accounts.get(token.account_id) if token else None
        return (token, account) if token and account else None


async def _form(request: web.Request) -> str:
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestError(415, "send application/x-www-form-urlencoded")
    try:
        return (await request.read()).decode("ascii")
    except UnicodeDecodeError:
        raise RequestError(400, "invalid_request") from None


def _to_http(response: EndpointResponse) -> web.Response:
    return web.Response(status=response.status, headers=response.headers, body=response.body.encode())


def _unauthorized() -> web.Response:
    return error_response(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})
