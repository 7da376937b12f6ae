"""The endpoints for programs that both authorization servers have: tokens, revocation, userinfo, and the key set."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec
from aiohttp import web

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.authorization import AuthorizationServer, EndpointResponse
from upstash_helper.sandbox.oauth.jwt import TokenSigner
from upstash_helper.sandbox.oauth.settings import OAuthSettings
from upstash_helper.sandbox.oauth.store import IssuedToken
from upstash_helper.sandbox.responses import error_response, json_response

FORM_TYPE = "application/x-www-form-urlencoded"


class TokenEndpoints:
    """Handlers on one authorization server."""

    def __init__(
        self, *, server: AuthorizationServer, accounts: Accounts, signer: TokenSigner, settings: OAuthSettings
    ) -> None:
        self._server = server
        self._accounts = accounts
        self._signer = signer
        self._settings = settings

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Exchange a code or a refresh token (RFC 6749, sections 4.1.3 and 6)."""
        return _to_http(self._server.token(await _parameters(request)))

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke a token (RFC 7009)."""
        return _to_http(self._server.revoke(await _parameters(request)))

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        """Return the claims about the access token's user (OpenID Connect Core, section 5.3)."""
        if not self._settings.userinfo:
            return error_response(503, "userinfo is turned off")
        authenticated = self.authenticate(request)
        if authenticated is None:
            return unauthorized()
        token, account = authenticated
        scopes = token.scope.split()
        if "openid" not in scopes:
            return error_response(403, "insufficient_scope")
        claims = {"sub": account.id}
        return json_response(claims | ({"email": account.email, "email_verified": True} if "email" in scopes else {}))

    async def key_set(self, _request: web.Request) -> web.StreamResponse:
        """Publish the key that verifies the tokens (RFC 7517)."""
        return json_response(self._signer.key_set())

    def authenticate(self, request: web.Request) -> tuple[IssuedToken, Account] | None:
        """Return the request's access token and its account, or None if it has no valid one."""
        scheme, _, access_token = request.headers.get("Authorization", "").partition(" ")
        token = self._server.access_token(access_token.strip()) if scheme.lower() == "bearer" else None
        account = self._accounts.get(token.account_id) if token else None
        return (token, account) if token and account else None


def unauthorized() -> web.Response:
    """Return the response to a request without a valid access token (RFC 6750, section 3)."""
    return error_response(401, "Unauthorized", {"WWW-Authenticate": "Bearer"})


async def _parameters(request: web.Request) -> str:
    """Return the parameters, form-encoded. Like Auth0, accept JSON as well."""
    body = await request.read()
    if request.content_type == "application/json":
        try:
            return urlencode(msgspec.json.decode(body, type=dict[str, str]))
        except (msgspec.DecodeError, UnicodeError):
            raise RequestError(400, "invalid_request") from None
    if request.content_type != FORM_TYPE:
        raise RequestError(415, f"send {FORM_TYPE} or application/json")
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise RequestError(400, "invalid_request") from None


def _to_http(response: EndpointResponse) -> web.Response:
    return web.Response(status=response.status, headers=response.headers, body=response.body.encode())
