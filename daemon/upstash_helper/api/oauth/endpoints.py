"""The endpoints for OAuth clients: the metadata documents, registration, tokens, and revocation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.oauth import wire
from upstash_helper.api.oauth.form import single_values
from upstash_helper.api.server.routes import BODY
from upstash_helper.broker import errors
from upstash_helper.broker.authorization.clients import Wanted
from upstash_helper.broker.authorization.errors import Code, OAuthError
from upstash_helper.broker.authorization.requests import DEFAULT_SCOPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.authorization.server import McpAuthorization
    from upstash_helper.broker.identity import Identity

_STATUS: Final[dict[Code, int]] = {
    "invalid_client": 401,
    "server_error": 503,
    "temporarily_unavailable": 429,
}
"""The statuses other than 400."""


def resource_metadata(origin: str) -> web.Response:
    """Return the metadata of the MCP endpoint at ``origin`` (RFC 9728)."""
    return _json(
        wire.ResourceMetadata(
            resource=f"{origin}/mcp", authorization_servers=(origin,), scopes_supported=DEFAULT_SCOPES
        )
    )


def server_metadata(origin: str) -> web.Response:
    """Return the metadata of the authorization server at ``origin`` (RFC 8414)."""
    return _json(
        wire.ServerMetadata(
            issuer=origin,
            authorization_endpoint=f"{origin}/oauth/authorize",
            token_endpoint=f"{origin}/oauth/token",
            registration_endpoint=f"{origin}/oauth/register",
            revocation_endpoint=f"{origin}/oauth/revoke",
            # Some agents request every scope that is named here.
            scopes_supported=DEFAULT_SCOPES,
        )
    )


async def register(request: web.Request, server: McpAuthorization, program: Identity) -> web.Response:
    """Register a client (RFC 7591)."""
    try:
        given = msgspec.json.decode(request[BODY], type=wire.ClientMetadata)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        detail = "Send the metadata of the client as JSON, with redirect_uris as a list of strings."
        raise OAuthError("invalid_client_metadata", detail) from None
    optional = {
        name: value
        for name in ("client_name", "grant_types", "response_types")
        if (value := getattr(given, name)) is not None
    }
    client = await server.registration.register(Wanted(redirect_uris=given.redirect_uris, **optional), program=program)
    registered = wire.RegisteredClient(
        client_id=client.id,
        client_id_issued_at=int(client.created_at),
        client_name=client.name,
        redirect_uris=client.redirect_uris,
    )
    return _json(registered, status=201)


async def token(request: web.Request, server: McpAuthorization, program: Identity) -> web.Response:
    """Return tokens for a code or a refresh token (RFC 6749, section 3.2)."""
    _refuse_secret(request)
    tokens = await server.tokens.issue(single_values(request[BODY]), program=program)
    return _json(
        wire.TokenResponse(
            access_token=tokens.access_token.reveal(),
            expires_in=int(tokens.expires_in),
            refresh_token=tokens.refresh_token.reveal(),
            scope=tokens.scope,
        )
    )


async def revoke(request: web.Request, server: McpAuthorization) -> web.Response:
    """Revoke a token (RFC 7009)."""
    _refuse_secret(request)
    await server.tokens.revoke(single_values(request[BODY]))
    return web.Response(status=200)


def _refuse_secret(request: web.Request) -> None:
    """Refuse a client that authenticates: no client has a secret, so the request is for another server."""
    if hdrs.AUTHORIZATION in request.headers:
        raise OAuthError(
            "invalid_client", "Clients are public: send the client_id in the body, without an Authorization header."
        )


async def answered(work: Callable[[], Awaitable[web.Response]]) -> web.Response:
    """Return the response of an endpoint, with an error in the form that OAuth clients read."""
    try:
        return await work()
    except OAuthError as error:
        return _problem(error.code, error.description, status=_STATUS.get(error.code, 400), wait=error.retry_after)
    except errors.AppBlocked as error:
        return _problem("access_denied", error.detail, status=403)
    except (errors.TooManyPairings, errors.PairingPending) as error:
        return _problem("temporarily_unavailable", error.detail, status=429, wait=error.retry_after)
    except (errors.LedgerUnavailable, errors.LedgerFull) as error:
        return _problem("server_error", error.detail, status=503)


def _problem(code: Code, detail: str, *, status: int, wait: float | None = None) -> web.Response:
    description = OAuthError(code, detail).description
    response = _json(wire.OAuthProblem(error=code, error_description=description), status=status)
    if wait is not None:
        response.headers[hdrs.RETRY_AFTER] = str(max(1, math.ceil(wait)))
    if status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="upstash-helper"'  # RFC 6749, section 5.2
    return response


def _json(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
