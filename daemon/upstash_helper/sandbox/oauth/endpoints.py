"""The endpoints of the authorization server that programs call, and ``/apikey``, which takes its tokens."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from aiohttp import web

from upstash_helper.sandbox.answers import error_answer, json_answer, read_json
from upstash_helper.sandbox.developer_api.accounts import Account, Accounts
from upstash_helper.sandbox.developer_api.audit import Audit
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.faults import Switches
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer, Reply
from upstash_helper.sandbox.oauth.grants import Token
from upstash_helper.sandbox.oauth.tokens import TokenSigner
from upstash_helper.sandbox.oauth.validator import AUDIENCE, SCOPES


class NewKey(msgspec.Struct):
    """The body of ``POST /apikey``."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class OAuthApi:
    """Tokens, revocation, userinfo, discovery and API keys."""

    def __init__(
        self,
        *,
        origin: str,
        server: AuthorizationServer,
        accounts: Accounts,
        signer: TokenSigner,
        audit: Audit,
        switches: Switches,
    ) -> None:
        self._origin = origin
        self._server = server
        self._accounts = accounts
        self._signer = signer
        self._audit = audit
        self._switches = switches

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [
            web.post("/oauth/token", self.token),
            web.post("/oauth/revoke", self.revoke),
            web.get("/userinfo", self.userinfo, allow_head=False),
            web.get("/.well-known/openid-configuration", self.discovery, allow_head=False),
            web.get("/.well-known/jwks.json", self.key_set, allow_head=False),
            web.post("/apikey", self.make_api_key),
        ]

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Exchange a code or a refresh token (RFC 6749, sections 4.1.3 and 6)."""
        return _rendered(self._server.token(await _form(request)))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke a token (RFC 7009)."""
        return _rendered(self._server.revoke(await _form(request)))

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        """Say who the access token was made for (OpenID Connect Core, section 5.3)."""
        if not self._switches.userinfo:
            return error_answer(503, "userinfo is switched off")
        found = self._bearer(request)
        if found is None:
            return _unauthorized()
        token, account = found
        scopes = token.scope.split()
        if "openid" not in scopes:
            return error_answer(403, "insufficient_scope")
        claims = {"sub": account.id}
        return json_answer(claims | ({"email": account.email, "email_verified": True} if "email" in scopes else {}))

    async def make_api_key(self, request: web.Request) -> web.StreamResponse:
        """Make a Developer API key for whom the access token was made for."""
        found = self._bearer(request)
        if found is None or found[0].audience != AUDIENCE:
            return _unauthorized()
        _, account = found
        name = (await read_json(request, NewKey)).name
        api_key = self._accounts.make_key(account, name)
        self._audit.add(account, "Create API Key", source="OAUTH", entity=name, ip=request.remote)
        answer = {"api_key": api_key, "name": name, "creation_time": int(time.time())}
        return json_answer(answer | ({"email": account.email} if self._switches.api_key_email else {}))

    async def discovery(self, _request: web.Request) -> web.StreamResponse:
        """Describe the authorization server (RFC 8414)."""
        return json_answer(
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
                "authorization_response_iss_parameter_supported": self._switches.redirect_iss,
            }
        )

    async def key_set(self, _request: web.Request) -> web.StreamResponse:
        """Publish the key that signs the tokens."""
        return json_answer(self._signer.key_set())

    def _bearer(self, request: web.Request) -> tuple[Token, Account] | None:
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        token = self._server.bearer(access_token.strip()) if scheme.lower() == "bearer" else None
        account = self._accounts.get(token.account_id) if token else None
        return (token, account) if token and account else None


async def _form(request: web.Request) -> str:
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused(415, "send application/x-www-form-urlencoded")
    try:
        return (await request.read()).decode("ascii")
    except UnicodeDecodeError:
        raise Refused(400, "invalid_request") from None


def _rendered(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body.encode())


def _unauthorized() -> web.Response:
    return error_answer(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})
