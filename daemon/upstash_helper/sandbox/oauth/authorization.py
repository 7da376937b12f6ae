"""An authorization server without HTTP: oauthlib's endpoints on the sandbox's store."""

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
    RevocationEndpoint,
    TokenEndpoint,
)
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant, RefreshTokenGrant

from upstash_helper.sandbox.accounts import Account
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.store import IssuedToken, OAuthStore
from upstash_helper.sandbox.oauth.validator import Subject, Validator

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A valid authorization request, waiting for the user to sign in."""

    client_name: str
    redirect_uri: str
    state: str | None
    scopes: list[str]


class ErrorRedirect(Exception):
    """An invalid authorization request whose error is sent to the client by redirect (RFC 6749, section 4.1.2.1)."""

    def __init__(self, location: str) -> None:
        super().__init__("the authorization request is invalid")
        self.location = location


class EndpointResponse(msgspec.Struct, frozen=True):
    """The HTTP response that oauthlib returns."""

    status: int
    headers: dict[str, str]
    body: str


class AuthorizationServer:
    """OAuth 2.0 and OpenID Connect. The validator has what differs between the sandbox's two servers."""

    def __init__(self, *, validator: Validator, store: OAuthStore) -> None:
        self.issuer = validator.issuer
        self._validator = validator
        self._store = store
        # `Any`, because the type stubs declare `default_token_type` as a string. oauthlib expects the token object.
        bearer: Any = BearerToken(
            validator,
            token_generator=validator.make_access_token,
            refresh_token_generator=lambda _: secrets.token_urlsafe(32),
            expires_in=lambda _: validator.token_lifetime,
        )
        code_grant = AuthorizationCodeGrant(validator)
        code_grant.custom_validators.pre_auth.append(validator.validate_parameters)
        code_grant.register_token_modifier(self._drop_unrequested_refresh_token)
        self._authorization = AuthorizationEndpoint(
            default_response_type="code", default_token_type=bearer, response_types={"code": code_grant}
        )
        self._token = TokenEndpoint(
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={"authorization_code": code_grant, "refresh_token": RefreshTokenGrant(validator)},
        )
        self._revocation = RevocationEndpoint(validator)

    def validate_request(self, uri: str) -> AuthorizationRequest:
        """
        Validate an authorization request.

        Args:
            uri: The full URL that the browser requested.

        Raises:
            RequestError: If the client or the redirect URI is invalid, so that redirecting is not safe.
            ErrorRedirect: If anything else is invalid.
        """
        try:
            scopes, parameters = self._authorization.validate_authorization_request(uri)
        except FatalClientError as error:
            raise RequestError(400, _fatal_message(error)) from None
        except OAuth2Error as error:
            raise ErrorRedirect(self._redirect_url(error.in_uri(error.redirect_uri or ""))) from None
        except ValueError:
            raise RequestError(400, "The URL's query contains invalid characters.") from None
        client = self._validator.client(parameters["client_id"])
        return AuthorizationRequest(
            client_name=client.name if client else "",
            redirect_uri=parameters["redirect_uri"],
            state=parameters["state"],
            scopes=scopes,
        )

    def issue_code(self, uri: str, account: Account, *, team_id: str | None = None, read_only: bool = False) -> str:
        """
        Return the redirect with an authorization code.

        Args:
            uri: The authorization request, which must have been validated.
            account: The user who allows it.
            team_id: The team that the app acts for; None: the personal account.
            read_only: Whether the app can only read.
        """
        request = Request(uri)
        subject = Subject(
            account=account,
            family=secrets.token_hex(16),
            audience=self._validator.audience_of(request),
            team_id=team_id,
            read_only=read_only,
        )
        headers, _, _ = self._authorization.create_authorization_response(
            uri, scopes=(request.scope or "").split(), credentials={"user": subject}
        )
        return self._redirect_url(headers["Location"])

    def deny(self, request: AuthorizationRequest, error: str, description: str) -> str:
        """Return the redirect with an error, for a user who did not sign in."""
        fields = {"error": error, "error_description": description}
        if request.state is not None:
            fields["state"] = request.state
        return self._redirect_url(add_params_to_uri(request.redirect_uri, list(fields.items())))

    def token(self, body: str) -> EndpointResponse:
        """Handle a token request (RFC 6749, sections 5.1 and 5.2)."""
        try:
            headers, content, status = self._token.create_token_response("/oauth/token", body=body, headers=dict(FORM))
        except OAuth2Error as error:
            headers, content, status = error.headers, error.json, error.status_code
        except ValueError:
            headers, content, status = {}, '{"error": "invalid_request"}', 400
        all_headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **headers}
        return EndpointResponse(status, all_headers, content)

    def revoke(self, body: str) -> EndpointResponse:
        """Handle a revocation request (RFC 7009)."""
        try:
            headers, content, status = self._revocation.create_revocation_response(
                "/oauth/revoke", body=body, headers=dict(FORM)
            )
        except ValueError:
            headers, content, status = {}, '{"error": "invalid_request"}', 400
        return EndpointResponse(status, dict(headers), content)

    def access_token(self, token_value: str) -> IssuedToken | None:
        """Return a valid access token, or None if it is unknown, expired, or revoked."""
        token = self._store.token(token_value)
        if token is None or token.kind != "access" or token.state != "live":
            return None
        return token if token.expires_at is not None and time.time() < token.expires_at else None

    def _drop_unrequested_refresh_token(self, token: dict[str, Any], _handler: Any, request: Request) -> dict[str, Any]:
        if not self._validator.may_refresh(request):
            token.pop("refresh_token", None)
        return token

    def _redirect_url(self, location: str) -> str:
        """Return the URL with a path, as browsers add it, and with the issuer (RFC 9207) if it is configured."""
        parts = urlsplit(location)
        location = urlunsplit(parts._replace(path=parts.path or "/"))
        iss = self._validator.redirect_iss
        return add_params_to_uri(location, [("iss", iss)]) if iss else location


def _fatal_message(error: FatalClientError) -> str:
    messages = {
        "InvalidClientIdError": "The client_id is not registered.",
        "MissingClientIdError": "The client_id is missing.",
        "MismatchingRedirectURIError": "The redirect_uri is not registered for this client.",
        "InvalidRedirectURIError": "The redirect_uri is not an absolute URL.",
        "MissingRedirectURIError": "The redirect_uri is missing.",
    }
    return messages.get(type(error).__name__, "The request has a parameter twice, or one that is not valid.")
