"""Dynamic client registration (RFC 7591): any program registers itself as a public client."""

from __future__ import annotations

import secrets
import time
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth import redirect_uris
from upstash_helper.sandbox.oauth.settings import ISSUER_SCOPES, OAuthSettings
from upstash_helper.sandbox.oauth.store import OAuthStore, RegisteredClient
from upstash_helper.sandbox.responses import json_response, read_json

GRANT_TYPES = ("authorization_code", "refresh_token")
DEFAULT_NAME = "Unnamed app"
PUBLIC = "none"
"""The authentication method of clients without a secret."""

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$")]


class ClientMetadata(msgspec.Struct, kw_only=True):
    """The body of ``POST /oauth/register``. Unknown fields are ignored (RFC 7591, section 2)."""

    redirect_uris: Annotated[list[str], Meta(min_length=1, max_length=10)]
    client_name: Name = DEFAULT_NAME
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)
    token_endpoint_auth_method: str = PUBLIC
    scope: str = ""


class Registered(msgspec.Struct, kw_only=True):
    """The response (RFC 7591, section 3.2.1)."""

    client_id: str
    client_id_issued_at: int
    client_name: str
    redirect_uris: list[str]
    grant_types: tuple[str, ...]
    response_types: tuple[str, ...]
    token_endpoint_auth_method: str
    scope: str


class Registration:
    """``POST /oauth/register``."""

    def __init__(self, *, store: OAuthStore, settings: OAuthSettings) -> None:
        self._store = store
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.post("/oauth/register", self.register)]

    async def register(self, request: web.Request) -> web.StreamResponse:
        """Register a client."""
        if not self._settings.issuer_registration:
            return _error("access_denied", "Dynamic client registration is turned off.", status=403)
        if request.content_type != "application/json":
            return _error("invalid_client_metadata", "Send application/json.")
        try:
            metadata = await read_json(request, ClientMetadata)
        except RequestError as error:
            return _error("invalid_client_metadata", error.message)
        invalid = next((uri for uri in metadata.redirect_uris if not redirect_uris.allows(uri)), None)
        if invalid is not None:
            return _error(
                "invalid_redirect_uri",
                "A redirect URI must be https, http on 127.0.0.1, [::1], or localhost, or have the scheme of a native "
                "app such as com.example.app. It must have no fragment and no user name.",
            )
        if problem := _problem(metadata):
            return _error("invalid_client_metadata", problem)
        scope = metadata.scope or " ".join(sorted(ISSUER_SCOPES))
        now = time.time()
        client = RegisteredClient(
            id=f"client_{secrets.token_hex(12)}",
            redirect_uris=metadata.redirect_uris,
            name=metadata.client_name.strip() or DEFAULT_NAME,
            scope=scope,
            grant_types=metadata.grant_types,
            created_at=now,
        )
        self._store.register_client(client)
        registered = Registered(
            client_id=client.id,
            client_id_issued_at=int(now),
            client_name=client.name,
            redirect_uris=client.redirect_uris,
            grant_types=metadata.grant_types,
            response_types=metadata.response_types,
            token_endpoint_auth_method=PUBLIC,
            scope=scope,
        )
        return json_response(registered, status=201)


def _problem(metadata: ClientMetadata) -> str | None:
    """Return what is wrong, or None."""
    if metadata.token_endpoint_auth_method != PUBLIC:
        return "token_endpoint_auth_method must be none: only public clients can register."
    if metadata.response_types != ("code",):
        return "response_types must be code."
    if "authorization_code" not in metadata.grant_types or not set(GRANT_TYPES) >= set(metadata.grant_types):
        return "grant_types must be authorization_code, or authorization_code and refresh_token."
    unknown = sorted(set(metadata.scope.split()) - ISSUER_SCOPES)
    return f"Unknown scope {unknown[0]}." if unknown else None


def _error(code: str, description: str, *, status: int = 400) -> web.Response:
    """Return an error (RFC 7591, section 3.2.2)."""
    return json_response({"error": code, "error_description": description}, status=status)
