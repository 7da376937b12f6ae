"""An independent OAuth client for Python, Authlib, signs in at the issuer."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.sandbox.callers import PASSWORD, OpenClient, unique_email
from tests.support.open_sign_in import allow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sandbox import Sandbox

REDIRECT_URI = "http://127.0.0.1:50505/callback"


class App:
    """A native app that knows only the issuer, and uses the library for everything else."""

    def __init__(self, issuer: str) -> None:
        with OAuth2Session() as http:
            self.metadata: dict[str, Any] = http.request(
                "GET", f"{issuer}/.well-known/oauth-authorization-server", withhold_token=True
            ).json()
            registration = {
                "client_name": "Authlib app",
                "redirect_uris": ["http://127.0.0.1/callback"],
                "grant_types": ["authorization_code", "refresh_token"],
                "token_endpoint_auth_method": "none",
            }
            registered = http.request(
                "POST", self.metadata["registration_endpoint"], json=registration, withhold_token=True
            )
        self.session = OAuth2Session(
            registered.json()["client_id"],
            scope="openid email offline_access",
            redirect_uri=REDIRECT_URI,
            code_challenge_method="S256",
            token_endpoint=self.metadata["token_endpoint"],
            token_endpoint_auth_method="none",
            revocation_endpoint_auth_method="none",
        )
        self.verifier = secrets.token_urlsafe(48)
        self.nonce = secrets.token_urlsafe(16)
        self.url, self.state = self.session.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=self.verifier, nonce=self.nonce
        )

    def fetch_token(self, redirect: str) -> Any:
        """Exchange the code, after comparing the state."""
        return self.session.fetch_token(authorization_response=redirect, state=self.state, code_verifier=self.verifier)

    def claims(self, id_token: str) -> dict[str, Any]:
        """Verify an ID token (OpenID Connect Core, section 3.1.3.7), and return its claims."""
        keys = self.session.request("GET", self.metadata["jwks_uri"], withhold_token=True).json()
        decoded = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=["RS256"])
        jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": self.metadata["issuer"]},
            aud={"essential": True, "value": self.session.client_id},
            exp={"essential": True},
        ).validate(decoded.claims)
        return decoded.claims


@pytest.fixture
async def app(sandbox: Sandbox) -> AsyncIterator[App]:
    """The app, before anybody has signed in."""
    app = await asyncio.to_thread(App, sandbox.issuer_url)
    yield app
    app.session.close()


async def test_authlib_signs_in_refreshes_and_revokes(sandbox: Sandbox, app: App) -> None:
    """
    Authlib discovers the endpoints, signs in with PKCE, calls the Developer API, refreshes, and revokes.
    """
    redirect = await allow(app.url, email := unique_email(), PASSWORD, full_access=True)

    tokens = await asyncio.to_thread(app.fetch_token, redirect)
    claims = await asyncio.to_thread(app.claims, tokens["id_token"])
    info = await asyncio.to_thread(app.session.get, f"{sandbox.api_url}/v2/account/oauth/token-info")
    userinfo = await asyncio.to_thread(app.session.get, app.metadata["userinfo_endpoint"])
    refreshed = await asyncio.to_thread(app.session.refresh_token, app.metadata["token_endpoint"])
    again = await asyncio.to_thread(app.session.get, f"{sandbox.api_url}/v2/redis/databases")
    revoked = await asyncio.to_thread(
        app.session.revoke_token,
        app.metadata["revocation_endpoint"],
        token=refreshed["refresh_token"],
        token_type_hint="refresh_token",
    )

    assert (email, app.nonce) == (claims["email"], claims["nonce"])
    assert {"email": email} == info.json()
    assert (claims["sub"], email) == (userinfo.json()["sub"], userinfo.json()["email"])
    assert tokens["refresh_token"] != refreshed["refresh_token"]
    assert (200, []) == (again.status_code, again.json())
    assert revoked.status_code == 200
    assert [] == await sandbox.grants(email)


async def test_authlib_refreshes_an_expired_token_by_itself(sandbox: Sandbox, app: App) -> None:
    """
    Authlib refreshes an expired access token before the next request, and stores the new refresh token.
    """
    await sandbox.settings(issuer_token_lifetime=1)
    redirect = await allow(app.url, unique_email(), PASSWORD)
    tokens = await asyncio.to_thread(app.fetch_token, redirect)
    await sandbox.settings()

    info = await asyncio.to_thread(app.session.get, f"{sandbox.api_url}/v2/account/oauth/token-info")

    assert info.status_code == 200
    assert tokens["refresh_token"] != app.session.token["refresh_token"]


async def test_authlib_reports_a_revoked_login(sandbox: Sandbox, app: App) -> None:
    """
    Authlib raises `invalid_grant` at the next refresh after the grant was revoked.
    """
    redirect = await allow(app.url, email := unique_email(), PASSWORD)
    await asyncio.to_thread(app.fetch_token, redirect)
    (grant,) = await sandbox.grants(email)
    await sandbox.revoke_grant(grant["id"])

    with pytest.raises(OAuthError, match="invalid_grant"):
        await asyncio.to_thread(app.session.refresh_token, app.metadata["token_endpoint"])


async def test_authlib_app_and_another_app_have_separate_grants(
    sandbox: Sandbox, app: App, open_client: OpenClient
) -> None:
    """
    The user sees the app under the name that it registered, beside other apps.
    """
    redirect = await allow(app.url, email := unique_email(), PASSWORD)
    await asyncio.to_thread(app.fetch_token, redirect)
    await open_client.sign_in(email, sign_up=False)

    assert ["Authlib app", "Book shop"] == [grant["client_name"] for grant in await sandbox.grants(email)]
