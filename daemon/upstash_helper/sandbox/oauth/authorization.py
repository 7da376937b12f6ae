"""The authorization server: oauthlib's endpoints around our store, without HTTP."""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from oauthlib.common import Request, add_params_to_uri
from oauthlib.oauth2 import (
    AuthorizationEndpoint,
    BearerToken,
    FatalClientError,
    OAuth2Error,
    RefreshTokenGrant,
    RevocationEndpoint,
    TokenEndpoint,
)
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant

from upstash_helper.sandbox.developer_api.accounts import Account
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.faults import Switches
from upstash_helper.sandbox.oauth.grants import Grants, Token
from upstash_helper.sandbox.oauth.validator import Grantee, Validator, audience_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid authorization request: somebody may sign in now."""

    client_id: str
    redirect_uri: str
    state: str | None
    scopes: list[str]


class SendBack(Exception):
    """The authorization request is refused, and the client is told by a redirect (RFC 6749, section 4.1.2.1)."""

    def __init__(self, location: str) -> None:
        super().__init__("the authorization request is refused")
        self.location = location


class Reply(msgspec.Struct, frozen=True):
    """What oauthlib wants answered."""

    status: int
    headers: dict[str, str]
    body: str


class AuthorizationServer:
    """OAuth 2.0 as Upstash's Auth0 tenant speaks it."""

    def __init__(self, *, issuer: str, validator: Validator, grants: Grants, switches: Switches) -> None:
        self.issuer = issuer
        self._grants = grants
        self._switches = switches
        # The stubs want a token's name, oauthlib the token itself.
        bearer: Any = BearerToken(
            validator,
            token_generator=validator.make_access_token,
            refresh_token_generator=lambda _: secrets.token_urlsafe(32),
            expires_in=lambda _: int(switches.token_lifetime),
        )
        code_grant = AuthorizationCodeGrant(validator)
        code_grant.custom_validators.pre_auth.append(validator.require_s256)
        code_grant.register_token_modifier(_only_with_offline_access)
        self._authorization = AuthorizationEndpoint(
            default_response_type="code", default_token_type=bearer, response_types={"code": code_grant}
        )
        self._token = TokenEndpoint(
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={"authorization_code": code_grant, "refresh_token": RefreshTokenGrant(validator)},
        )
        self._revocation = RevocationEndpoint(validator)

    def check(self, uri: str) -> AuthorizationRequest:
        """
        Check an authorization request.

        Args:
            uri: The whole address that the browser asked for.

        Raises:
            Refused: If the client or redirect URI is wrong: then nobody may be redirected.
            SendBack: If something else is wrong.
        """
        try:
            scopes, found = self._authorization.validate_authorization_request(uri)
        except FatalClientError as error:
            raise Refused(400, _fatal_message(error)) from None
        except OAuth2Error as error:
            raise SendBack(self._finished(error.in_uri(error.redirect_uri or ""))) from None
        except ValueError:
            raise Refused(400, "The address has characters that do not belong into a query.") from None
        return AuthorizationRequest(
            client_id=found["client_id"], redirect_uri=found["redirect_uri"], state=found["state"], scopes=scopes
        )

    def grant(self, uri: str, account: Account) -> str:
        """Return the redirect with an authorization code for ``account``. ``uri`` was checked."""
        request = Request(uri)
        grantee = Grantee(account=account, family=secrets.token_hex(16), audience=audience_of(request))
        headers, _, _ = self._authorization.create_authorization_response(
            uri, scopes=(request.scope or "").split(), credentials={"user": grantee}
        )
        return self._finished(headers["Location"])

    def deny(self, request: AuthorizationRequest, error: str, description: str) -> str:
        """Return the redirect that tells the client that the user did not sign in."""
        fields = {"error": error, "error_description": description}
        if request.state is not None:
            fields["state"] = request.state
        return self._finished(add_params_to_uri(request.redirect_uri, list(fields.items())))

    def token(self, body: str) -> Reply:
        """Answer a token request (RFC 6749, sections 5.1 and 5.2)."""
        try:
            headers, content, status = self._token.create_token_response("/oauth/token", body=body, headers=dict(FORM))
        except OAuth2Error as error:
            headers, content, status = error.headers, error.json, error.status_code
        except ValueError:
            headers, content, status = {}, '{"error": "invalid_request"}', 400
        return Reply(status, {"Content-Type": "application/json", "Cache-Control": "no-store", **headers}, content)

    def revoke(self, body: str) -> Reply:
        """Answer a revocation request (RFC 7009)."""
        try:
            headers, content, status = self._revocation.create_revocation_response(
                "/oauth/revoke", body=body, headers=dict(FORM)
            )
        except ValueError:
            headers, content, status = {}, '{"error": "invalid_request"}', 400
        return Reply(status, dict(headers), content)

    def bearer(self, access_token: str) -> Token | None:
        """Return the live access token, or None if it is unknown, expired or revoked."""
        token = self._grants.token(access_token)
        if token is None or token.kind != "access" or token.state != "live":
            return None
        return token if token.expires_at is not None and time.time() < token.expires_at else None

    def _finished(self, location: str) -> str:
        """Return a redirect as a browser sees it: with a path, and with the issuer if that is switched on."""
        parts = urlsplit(location)
        location = urlunsplit(parts._replace(path=parts.path or "/"))
        return add_params_to_uri(location, [("iss", self.issuer)]) if self._switches.redirect_iss else location


def _only_with_offline_access(token: dict[str, Any], _handler: Any, request: Request) -> dict[str, Any]:
    """Drop the refresh token unless it was asked for (OpenID Connect Core, section 11)."""
    if "offline_access" not in (request.scopes or ()):
        token.pop("refresh_token", None)
    return token


def _fatal_message(error: FatalClientError) -> str:
    messages = {
        "InvalidClientIdError": "The client_id is not known here.",
        "MissingClientIdError": "The client_id is missing.",
        "MismatchingRedirectURIError": "The redirect_uri is not registered for this client.",
        "InvalidRedirectURIError": "The redirect_uri is not an absolute address.",
        "MissingRedirectURIError": "The redirect_uri is missing.",
    }
    return messages.get(type(error).__name__, error.description or "The request cannot be used.")
