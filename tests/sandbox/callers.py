"""Clients of the sandbox: OAuth clients, and a user of the Developer API and of databases."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

import aiohttp
import msgspec
from yarl import URL

from tests.support.open_sign_in import allow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.sandbox import Sandbox

PASSWORD = "correct horse battery"
REDIRECT_URI = "http://localhost:3000"


@dataclass(frozen=True)
class Response:
    """A response with its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return msgspec.json.decode(self.body)


async def send(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Response:
    """Send a request and return the response. The URL is not normalized, and redirects are not followed."""
    async with session.request(method, URL(url, encoded=True), allow_redirects=False, **options) as response:
        return Response(response.status, response.headers, await response.read())


def unique_email() -> str:
    """Return an email that has no account yet."""
    return f"ada-{secrets.token_hex(6)}@example.com"


def basic(email: str, api_key: str) -> dict[str, str]:
    """Return the header with Basic credentials."""
    return {"Authorization": aiohttp.encode_basic_auth(email, api_key)}


def bearer(token: str) -> dict[str, str]:
    """Return the header with a Bearer token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass
class OAuthClient:
    """An app that signs its user in with OAuth."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    scope: str = "offline_access openid email"

    @property
    def challenge(self) -> str:
        """The S256 code challenge of the verifier."""
        return challenge_of(self.verifier)

    def url(self, **changes: str | None) -> str:
        """Return the authorization URL with some parameters changed. None removes a parameter."""
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.sandbox.client_id,
            "redirect_uri": REDIRECT_URI,
            "audience": "upstash-api",
            "scope": self.scope,
            "state": "state-1",
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        return f"{self.sandbox.auth_url}/authorize?{query}"

    async def code(self, email: str, *, sign_up: bool = True) -> str:
        """Sign a user in, and return the authorization code."""
        return parameters_of(await self.sandbox.authorize(self.url(), email, PASSWORD, sign_up=sign_up))["code"]

    async def token(self, **changes: str | None) -> Response:
        """Send a token request. None removes a parameter."""
        form = {"client_id": self.sandbox.client_id, **changes}
        data = {name: value for name, value in form.items() if value is not None}
        return await send(self.session, "POST", f"{self.sandbox.auth_url}/oauth/token", data=data)

    async def exchange(self, code: str, **changes: str | None) -> Response:
        """Exchange an authorization code."""
        form = {"code": code, "redirect_uri": REDIRECT_URI, "code_verifier": self.verifier, **changes}
        return await self.token(grant_type="authorization_code", **form)

    async def refresh(self, refresh_token: str) -> Response:
        """Exchange a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token)

    async def sign_in(self, email: str, *, sign_up: bool = True) -> dict[str, Any]:
        """Sign a user in, and return the tokens."""
        response = await self.exchange(await self.code(email, sign_up=sign_up))
        assert response.status == 200, response.body
        tokens: dict[str, Any] = response.json
        return tokens

    async def create_api_key(self, access_token: str, name: str) -> Response:
        """Create an API key with an access token."""
        url = f"{self.sandbox.api_url}/apikey"
        return await send(self.session, "POST", url, json={"name": name}, headers=bearer(access_token))

    async def userinfo(self, access_token: str) -> Response:
        """Request the claims about the access token's user."""
        return await send(self.session, "GET", f"{self.sandbox.auth_url}/userinfo", headers=bearer(access_token))


@dataclass
class OpenClient:
    """An app that registers itself at the issuer, and uses the Developer API with its access tokens."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    client_id: str = ""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    scope: str = "openid email offline_access"
    redirect_uri: str = "http://127.0.0.1:4567/callback"

    @classmethod
    async def new(cls, sandbox: Sandbox, session: aiohttp.ClientSession, name: str = "Book shop") -> Self:
        """Register an app, and return it."""
        client = cls(sandbox, session)
        response = await client.register(client_name=name)
        assert response.status == 201, response.body
        client.client_id = response.json["client_id"]
        return client

    async def register(self, **changes: Any) -> Response:
        """Send a registration request with some fields changed. None removes a field."""
        metadata: dict[str, Any] = {
            "client_name": "Book shop",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": self.scope,
            **changes,
        }
        body = {name: value for name, value in metadata.items() if value is not None}
        return await send(self.session, "POST", f"{self.sandbox.issuer_url}/oauth/register", json=body)

    def url(self, **changes: str | None) -> str:
        """Return the authorization URL with some parameters changed. None removes a parameter."""
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": "state-1",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({name: value for name, value in parameters.items() if value is not None})
        return f"{self.sandbox.issuer_url}/oauth/authorize?{query}"

    async def code(self, email: str, **choice: Any) -> str:
        """Sign a user in, and return the authorization code. ``choice``: see ``open_sign_in.allow``."""
        return parameters_of(await allow(self.url(), email, PASSWORD, **choice))["code"]

    async def token(self, **changes: str | None) -> Response:
        """Send a token request. None removes a parameter."""
        form = {"client_id": self.client_id, **changes}
        data = {name: value for name, value in form.items() if value is not None}
        return await send(self.session, "POST", f"{self.sandbox.issuer_url}/oauth/token", data=data)

    async def exchange(self, code: str, **changes: str | None) -> Response:
        """Exchange an authorization code."""
        form = {"code": code, "redirect_uri": self.redirect_uri, "code_verifier": self.verifier, **changes}
        return await self.token(grant_type="authorization_code", **form)

    async def refresh(self, refresh_token: str, **changes: str | None) -> Response:
        """Exchange a refresh token."""
        return await self.token(grant_type="refresh_token", refresh_token=refresh_token, **changes)

    async def sign_in(self, email: str, **choice: Any) -> dict[str, Any]:
        """Sign a user in, and return the tokens. ``choice``: see ``open_sign_in.allow``."""
        response = await self.exchange(await self.code(email, **choice))
        assert response.status == 200, response.body
        tokens: dict[str, Any] = response.json
        return tokens

    async def revoke(self, token: str) -> Response:
        """Revoke a token."""
        form = {"client_id": self.client_id, "token": token, "token_type_hint": "refresh_token"}
        return await send(self.session, "POST", f"{self.sandbox.issuer_url}/oauth/token/revoke", data=form)

    async def call(self, access_token: str, method: str, path: str, body: Any = None) -> Response:
        """Call the Developer API. ``path`` is relative to ``/v2``."""
        url, options = f"{self.sandbox.api_url}/v2/{path}", {} if body is None else {"json": body}
        return await send(self.session, method, url, headers=bearer(access_token), **options)

    async def token_info(self, access_token: str) -> Response:
        """Return what the Developer API says about an access token."""
        return await self.call(access_token, "GET", "account/oauth/token-info")


@dataclass
class Caller:
    """A user of the Developer API, and of the databases made with it."""

    sandbox: Sandbox
    session: aiohttp.ClientSession
    email: str
    api_key: str

    @classmethod
    async def new(cls, sandbox: Sandbox, session: aiohttp.ClientSession) -> Self:
        """Create an account with an API key, and return its caller."""
        email = unique_email()
        await sandbox.account(email, PASSWORD)
        return cls(sandbox, session, email, await sandbox.api_key(email, "tests"))

    async def call(self, method: str, path: str, body: Any = None, *, data: bytes | None = None) -> Response:
        """Call the Developer API. ``path`` is relative to ``/v2/redis`` unless it begins with a slash."""
        url = self.sandbox.api_url + (path if path.startswith("/") else f"/v2/redis/{path}")
        payload = data if data is not None else (None if body is None else msgspec.json.encode(body))
        headers = basic(self.email, self.api_key)
        return await send(self.session, method, url, data=payload, headers=headers)

    async def create(self, **fields: Any) -> dict[str, Any]:
        """Create a database."""
        body = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1", **fields}
        response = await self.call("POST", "database", body)
        assert response.status == 200, response.body
        database: dict[str, Any] = response.json
        return database

    async def get(self, database: dict[str, Any]) -> dict[str, Any]:
        """Return the database's current state."""
        response = await self.call("GET", f"database/{database['database_id']}")
        assert response.status == 200, response.body
        current: dict[str, Any] = response.json
        return current

    async def rest(
        self, token: str, path: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None, **body: Any
    ) -> Response:
        """Call the REST API."""
        url = self.sandbox.rest_url + path
        return await send(self.session, method, url, headers={**bearer(token), **(headers or {})}, **body)

    async def run(self, database: dict[str, Any], *command: str | float) -> Any:
        """Run one command over the REST API, and return its result."""
        response = await self.rest(database["rest_token"], method="POST", json=list(command))
        assert response.status == 200, response.body
        return response.json["result"]


def challenge_of(verifier: str) -> str:
    """Return the S256 code challenge of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def parameters_of(url: str) -> dict[str, str]:
    """Return the query parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JSON Web Token, without verifying its signature."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims
