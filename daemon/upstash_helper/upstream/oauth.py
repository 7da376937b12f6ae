"""
The ``AuthorizationServer`` port: OAuth 2.0 with oauthlib, over the HTTP client.

Upstash's authorization server is run by Auth0. This module also decides what its errors mean, and which email addresses
the tokens name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.broker.models import Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.literals import FailureReason
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text, parse_json, sanitize

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oauthlib.oauth2 import WebApplicationClient

    from upstash_helper.upstream.response import Response

logger = logging.getLogger(__name__)

# The port promises 30 seconds; the rest is a reserve for a busy machine.
EXCHANGE_SECONDS: Final = 25.0
REVOKE_SECONDS: Final = 5.0
USERINFO_SECONDS: Final = 5.0
MAX_RESPONSE_BYTES: Final = 64 * 1024

FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
# The characters of a token (RFC 6749, appendix A.12). No others may end up in an Authorization header.
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")
# Sufficient for a candidate, which is verified by a request. No colon: it ends the user name in HTTP Basic (RFC 7617,
# section 2).
_LIFETIMES: Final = frozenset({"expires_in", "expires_at"})
_EMAIL: Final = re.compile(r"[^\s@:\x00-\x1f\x7f]{1,64}@[^\s@:\x00-\x1f\x7f]{1,190}")

REASONS: Final[dict[str, FailureReason]] = {
    "access_denied": "access_denied",
    "consent_required": "consent_required",
    "interaction_required": "login_required",
    "invalid_client": "invalid_client",
    "invalid_grant": "invalid_grant",
    "invalid_request": "invalid_request",
    "invalid_scope": "invalid_request",
    "login_required": "login_required",
    "server_error": "server_error",
    "slow_down": "rate_limited",
    "temporarily_unavailable": "server_error",
    "too_many_attempts": "rate_limited",
    "too_many_requests": "rate_limited",
    "unauthorized": "unauthorized",
    "unauthorized_client": "invalid_client",
    "unsupported_grant_type": "invalid_request",
    "unsupported_response_type": "invalid_request",
}


class OAuth:
    """The adapter, with Auth0's endpoints."""

    uses_callback_port: Final = True

    def __init__(
        self,
        *,
        http: HttpClient,
        auth_url: str,
        client_id: str,
        redirect_uri: str,
        audience: str = "upstash-api",
        scope: Sequence[str] = ("offline_access", "openid", "email"),
        exchange_seconds: float = EXCHANGE_SECONDS,
        revoke_seconds: float = REVOKE_SECONDS,
        userinfo_seconds: float = USERINFO_SECONDS,
    ) -> None:
        """
        Args:
            http: The HTTP client.
            auth_url: The authorization server's URL, such as ``https://auth.upstash.com``.
            client_id: The client ID from Upstash. It is public, and there is no client secret.
            redirect_uri: Exactly as registered.
            audience: Auth0's name of the API that the access token is for.
            scope: Upstash's guideline asks for ``offline_access``; ``openid email`` adds the email address to tokens.
            exchange_seconds: Deadline for exchanging the code, including retries.
            revoke_seconds: Deadline for all revocations together.
            userinfo_seconds: Deadline for ``/userinfo``.
        """
        self._http = http
        self._auth_url = auth_url.rstrip("/")
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._audience = audience
        self._scope = tuple(scope)
        self._exchange_seconds = exchange_seconds
        self._revoke_seconds = revoke_seconds
        self._userinfo_seconds = userinfo_seconds

    async def prepare(self) -> None:
        """Do nothing: the endpoints and the client ID are known."""

    def is_issuer(self, issuer: str | None) -> bool:
        """Return whether a redirect with this ``iss`` is from the server. Auth0 may leave it out."""
        return issuer is None or issuer == f"{self._auth_url}/"

    def authorization_url(self, *, state: Secret, code_verifier: Secret) -> str:
        """Return the URL of the authorization request (RFC 6749, section 4.1.1; RFC 7636, section 4.3)."""
        client = self._client()
        # oauthlib requires https, and can be relaxed for the whole process only. The settings allow plain http for a
        # sandbox on the loopback interface, so the scheme is put back afterwards.
        scheme, _, rest = self._auth_url.partition("://")
        url: str = client.prepare_request_uri(
            f"https://{rest}/authorize",
            redirect_uri=self._redirect_uri,
            scope=list(self._scope),
            state=state.reveal(),
            code_challenge=client.create_code_challenge(code_verifier.reveal(), "S256"),
            code_challenge_method="S256",
            audience=self._audience,
        )
        return scheme + url.removeprefix("https")

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> TokenSet:
        """Exchange the authorization code for tokens (RFC 6749, section 4.1.3)."""
        body = self._client().prepare_request_body(
            code=code.reveal(),
            redirect_uri=self._redirect_uri,
            code_verifier=code_verifier.reveal(),
            audience=self._audience,
        )
        request = Request(
            method="POST",
            url=f"{self._auth_url}/oauth/token",
            headers=FORM,
            body=body.encode(),
            # If the server used the code before the connection broke, it rejects the repetition with invalid_grant.
            retry=RetryPolicy.UNANSWERED,
            deadline=self._exchange_seconds,
            limit=MAX_RESPONSE_BYTES,
        )
        try:
            response = await self._http.send(request)
        except TransportFailed as error:
            failure = error
        else:
            return tokens_in(response, self._client_id, code.reveal(), code_verifier.reveal())
        raise AuthorizationFailed(transport_failure_reason(failure), failure.detail)

    async def email_of(self, tokens: TokenSet) -> tuple[str, ...]:
        """Return the email addresses in the id_token, the access token and ``/userinfo``, without duplicates."""
        found: list[str] = []
        for token in (tokens.id_token, tokens.access_token):
            found += emails_in(jwt_claims(token.reveal())) if token else ()
        found += emails_in(await self._userinfo(tokens.access_token))
        return tuple(dict.fromkeys(found))

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the refresh token, then the access token. Auth0 rejects the latter; other servers accept it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._revoke_seconds):
                if tokens.refresh_token:
                    await self._revoke(tokens.refresh_token, "refresh_token")
                await self._revoke(tokens.access_token, "access_token")

    async def _revoke(self, token: Secret, hint: Literal["refresh_token", "access_token"]) -> None:
        url = f"{self._auth_url}/oauth/revoke"
        await revoke_token(self._http, url, token, hint, client_id=self._client_id, seconds=self._revoke_seconds)

    async def _userinfo(self, access_token: Secret) -> dict[str, Any]:
        request = Request(
            method="GET",
            url=f"{self._auth_url}/userinfo",
            headers={"Authorization": f"Bearer {access_token.reveal()}", "Accept": "application/json"},
            retry=RetryPolicy.ALWAYS,
            deadline=self._userinfo_seconds,
            limit=MAX_RESPONSE_BYTES,
        )
        try:
            response = await self._http.send(request)
        except TransportFailed as failure:
            logger.info("The user's email address could not be requested: %s", failure.detail)
            return {}
        document = parse_json(response.body) if response.status == 200 else None
        return document if isinstance(document, dict) else {}

    def _client(self) -> WebApplicationClient:
        """Return a new oauthlib client for each request: it stores the code and the tokens."""
        from oauthlib.oauth2 import WebApplicationClient

        return WebApplicationClient(self._client_id)


def tokens_in(response: Response, client_id: str, *secrets: str) -> TokenSet:
    """
    Return the tokens in a response of the token endpoint.

    Raises:
        AuthorizationFailed: If it has none. ``secrets`` are removed from the server's message.
    """
    from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

    error = ""
    document = parse_json(response.body)
    try:
        if isinstance(document, dict):
            # Without the lifetime, since a wrong one must not cost the tokens: a refresh token may be used up for them.
            rest = {name: value for name, value in document.items() if name not in _LIFETIMES}
            token = WebApplicationClient(client_id).parse_request_body_response(msgspec.json.encode(rest).decode())
            if response.status == 200:
                return _token_set({**token, "expires_in": document.get("expires_in")})
    except OAuth2Error as rejected:
        # If the document has no `error`, this is oauthlib's own code, such as `missing_token`.
        if "error" in document and isinstance(rejected.error, str):
            error = rejected.error
    except (ValueError, TypeError, AttributeError, RecursionError):
        pass  # oauthlib cannot read the document
    raise _authorization_failed(response, error, *secrets)


async def revoke_token(
    http: HttpClient,
    url: str,
    token: Secret,
    hint: Literal["refresh_token", "access_token"],
    *,
    client_id: str,
    seconds: float,
) -> None:
    """Revoke one token (RFC 7009, section 2.1). Best effort: never raises."""
    from oauthlib.oauth2 import WebApplicationClient

    # oauthlib only prepares the body, but requires an https URL for that; see ``OAuth.authorization_url``.
    _, _, body = WebApplicationClient(client_id).prepare_token_revocation_request(
        "https://localhost", token.reveal(), token_type_hint=hint, client_id=client_id
    )
    request = Request(
        method="POST",
        url=url,
        headers=FORM,
        body=body.encode(),
        retry=RetryPolicy.UNANSWERED,
        deadline=seconds,
        limit=MAX_RESPONSE_BYTES,
    )
    try:
        response = await http.send(request)
    except TransportFailed as failure:
        logger.info("The %s was not revoked: %s", hint, failure.detail)
    else:
        logger.debug("Revocation of the %s: status %d", hint, response.status)


def _token_set(token: dict[str, object]) -> TokenSet:
    access_token = _secret(token.get("access_token"))
    if access_token is None or str(token.get("token_type", "Bearer")).lower() != "bearer":
        message = "not a bearer token"
        raise ValueError(message)
    return TokenSet(
        access_token=access_token,
        refresh_token=_secret(token.get("refresh_token")),
        id_token=_secret(token.get("id_token")),
        expires_in=_seconds(token.get("expires_in")),
    )


def _seconds(value: object) -> float | None:
    """Return a lifetime; None if it is missing, or not a positive and finite number."""
    try:
        seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < math.inf else None


def _secret(value: object) -> Secret | None:
    return Secret(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None


# --- reasons for a failure --------------------------------------------------------------------------------------------


def transport_failure_reason(failure: TransportFailed) -> FailureReason:
    """Return the reason for a response that is missing or incomplete."""
    if failure.kind == "timeout":
        return "timeout"
    # A captive portal's response says nothing about the account.
    return "invalid_response" if failure.stage == "answered" and failure.kind != "intercepted" else "network_error"


def _failure_reason(error: str, status: int) -> FailureReason:
    """
    Return the reason for an error response of the token endpoint.

    Args:
        error: Its ``error`` code (RFC 6749, section 5.2, and Auth0's own codes), or empty.
        status: Its HTTP status, which takes precedence where it is unambiguous, or the code is unknown.
    """
    if status == 429:
        return "rate_limited"
    if status >= 500:
        return "server_error"
    if status == 401 and error in {"", "access_denied"}:
        return "invalid_client"  # Auth0 uses access_denied for an unknown client too, although no user denied anything
    if error in REASONS:
        return REASONS[error]
    return "invalid_request" if error else "invalid_response"


def _authorization_failed(response: Response, error: str, *secrets: str) -> AuthorizationFailed:
    reason = _failure_reason(error, response.status)
    match reason:
        case "rate_limited":
            wait = "" if response.retry_after is None else f" Try again in {response.retry_after:.0f} s."
            detail = f"Upstash's rate limit for sign-ins is reached.{wait}"
        case "server_error":
            detail = f"Upstash's sign-in failed (status {response.status})."
        case "invalid_response":
            detail = f"Upstash's sign-in sent an unreadable response (status {response.status})."
        case _:
            from upstash_helper.protocol.messages import FAILURES

            message = error_text(response, *secrets) or sanitize(error, *secrets)
            detail = f"{FAILURES[reason].detail} Upstash says: {message}" if message else ""
    return AuthorizationFailed(reason, detail, retry_after=response.retry_after)


# --- email addresses in tokens ----------------------------------------------------------------------------------------


def valid_email(value: object) -> str | None:
    """
    Return ``value`` if it looks like an email address. The user decides by it which account to use, so it must not have
    characters that change what is shown, such as those that reverse the direction of text.
    """
    return value if isinstance(value, str) and value.isprintable() and _EMAIL.fullmatch(value) else None


def emails_in(claims: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the email addresses in a set of claims: ``email`` first, then claims such as ``https://upstash.com/email``.

    Auth0 requires a namespace for claims that a tenant adds to an access token.
    """
    names = sorted((name for name in claims if name == "email" or name.endswith("/email")), key="email".__ne__)
    yield from filter(None, (valid_email(claims[name]) for name in names))


def jwt_claims(token: str) -> dict[str, Any]:
    """
    Return the claims of a JWT, or none if it is not one: an access token may be opaque.

    The signature is not verified. The token came directly from the token endpoint over TLS, and then the TLS server's
    certificate may be used instead (OpenID Connect Core 1.0, section 3.1.3.7, item 6).
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        body = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return {}
    claims = parse_json(body)
    return claims if isinstance(claims, dict) else {}
