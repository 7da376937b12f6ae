"""Upstash's authorization server: OAuth 2.0 with oauthlib, over the one HTTP client."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from upstash_helper.broker.models import Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.literals import FailureReason
from upstash_helper.upstream.http_client import Upstream
from upstash_helper.upstream.request import Call, Resend, TransportFailed
from upstash_helper.upstream.response import fit, parsed, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from oauthlib.oauth2 import WebApplicationClient

    from upstash_helper.upstream.response import Reply

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

_ADVICE: Final[dict[FailureReason, str]] = {
    "access_denied": "Upstash did not let this sign-in pass. Connect again.",
    "consent_required": "Upstash wants the user's consent first. Connect again.",
    "invalid_client": "Upstash does not know the client id; check `client_id` in the settings.",
    "invalid_grant": "The sign-in has expired or was used before. Connect again.",
    "invalid_request": "Upstash did not take the request; check `client_id` and the port in the settings.",
    "login_required": "Upstash wants the user to sign in first. Connect again.",
    "unauthorized": "Upstash does not let this user in.",
}


def reason_of(error: str, status: int) -> FailureReason:
    """
    Return the reason for an answer of the token endpoint.

    Args:
        error: Its ``error`` code (RFC 6749, section 5.2, and Auth0's own), or empty.
        status: Its HTTP status, which decides where it is plain and where the code is unknown.
    """
    if status == 429:
        return "rate_limited"
    if status >= 500:
        return "server_error"
    if status == 401 and error in {"", "access_denied"}:
        return "invalid_client"  # Auth0 says access_denied of a client, though no user denied anything
    if error in REASONS:
        return REASONS[error]
    return "invalid_request" if error else "invalid_response"


def refusal(reply: Reply, error: str, *secrets: str) -> AuthorizationFailed:
    """
    Return the failure for an answer of the token endpoint that has no tokens.

    Args:
        reply: The answer.
        error: Its ``error`` code, or empty.
        secrets: What must not be shown even if the answer repeats it.
    """
    reason = reason_of(error, reply.status)
    match reason:
        case "rate_limited":
            wait = "later" if reply.retry_after is None else f"in {reply.retry_after:.0f} s"
            detail = f"Upstash asks for fewer sign-ins. Connect again {wait}."
        case "server_error":
            detail = f"Upstash's sign-in failed (status {reply.status}). Connect again later."
        case "invalid_response":
            detail = f"Upstash's sign-in sent an answer that cannot be read (status {reply.status}). Connect again."
        case _:
            said = words_of(reply, *secrets) or fit(error, *secrets)
            detail = f"{_ADVICE[reason]} Upstash says: {said}" if said else _ADVICE[reason]
    return AuthorizationFailed(reason, detail)


def failed_as(failure: TransportFailed) -> FailureReason:
    """Return the reason for an answer that never came, or came in part."""
    if failure.kind == "timeout":
        return "timeout"
    return "invalid_response" if failure.stage == "answered" else "network_error"


logger = logging.getLogger(__name__)

# The port promises 30 seconds; what is left is for a busy machine.
EXCHANGE_SECONDS: Final = 25.0
REVOKE_SECONDS: Final = 5.0
USERINFO_SECONDS: Final = 5.0
LARGEST_ANSWER: Final = 64 * 1024

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
# RFC 6749, appendix A.12: what a token is made of. Anything else has no place in an Authorization header.
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,16384}")


class OAuth:
    """The ``AuthorizationServer`` port on Auth0's endpoints."""

    def __init__(
        self,
        *,
        http: Upstream,
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
            http: The client.
            auth_url: Where the authorization server is, such as ``https://auth.upstash.com``.
            client_id: What Upstash gave; public, there is no client secret.
            redirect_uri: Exactly as registered.
            audience: Auth0's name of the API that the access token is for.
            scope: ``offline_access`` is the guideline's; ``openid email`` make the tokens tell the e-mail.
            exchange_seconds: Deadline of the exchange, its retries included.
            revoke_seconds: Deadline for all revocations together.
            userinfo_seconds: Deadline of the question whose tokens these are.
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

    @property
    def issuer(self) -> str:
        """Auth0's issuers end with a slash."""
        return f"{self._auth_url}/"

    def authorization_url(self, *, state: Secret, code_verifier: Secret) -> str:
        """Return the address at which the user signs in (RFC 6749, section 4.1.1; RFC 7636, section 4.3)."""
        client = self._client()
        # oauthlib insists on https and knows an exception for the whole process only; the settings take plain http
        # for a sandbox on the loopback interface alone.
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
        """Spend the authorization code (RFC 6749, section 4.1.3)."""
        body = self._client().prepare_request_body(
            code=code.reveal(),
            redirect_uri=self._redirect_uri,
            code_verifier=code_verifier.reveal(),
            audience=self._audience,
        )
        call = Call(
            method="POST",
            url=f"{self._auth_url}/oauth/token",
            headers=_FORM,
            body=body.encode(),
            # If the server took the code from a connection that broke, it refuses the repeat with invalid_grant.
            resend=Resend.UNANSWERED,
            deadline=self._exchange_seconds,
            limit=LARGEST_ANSWER,
        )
        reply = await _answer(self._http, call)
        return self._tokens(reply, code.reveal(), code_verifier.reveal())

    async def email_of(self, tokens: TokenSet) -> tuple[str, ...]:
        """Return the e-mails of the id_token, of the access token and of ``/userinfo``, each once."""
        found: list[str] = []
        for token in (tokens.id_token, tokens.access_token):
            found += emails_of(claims_of(token.reveal())) if token else ()
        found += emails_of(await self._userinfo(tokens.access_token))
        return tuple(dict.fromkeys(found))

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the refresh token, then the access token; Auth0 refuses the latter, others take it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._revoke_seconds):
                if tokens.refresh_token:
                    await self._revoke(tokens.refresh_token, "refresh_token")
                await self._revoke(tokens.access_token, "access_token")

    async def _revoke(self, token: Secret, hint: Literal["refresh_token", "access_token"]) -> None:
        # oauthlib only prepares the body here, for which it wants an https address; see authorization_url.
        _, _, body = self._client().prepare_token_revocation_request(
            "https://localhost", token.reveal(), token_type_hint=hint, client_id=self._client_id
        )
        call = Call(
            method="POST",
            url=f"{self._auth_url}/oauth/revoke",
            headers=_FORM,
            body=body.encode(),
            resend=Resend.UNANSWERED,
            deadline=self._revoke_seconds,
            limit=LARGEST_ANSWER,
        )
        try:
            reply = await self._http.send(call)
        except TransportFailed as failure:
            logger.info("The %s was not revoked: %s", hint, failure.detail)
        else:
            logger.debug("Revocation of the %s: status %d", hint, reply.status)

    async def _userinfo(self, access_token: Secret) -> dict[str, Any]:
        call = Call(
            method="GET",
            url=f"{self._auth_url}/userinfo",
            headers={"Authorization": f"Bearer {access_token.reveal()}", "Accept": "application/json"},
            resend=Resend.ALWAYS,
            deadline=self._userinfo_seconds,
            limit=LARGEST_ANSWER,
        )
        try:
            reply = await self._http.send(call)
        except TransportFailed as failure:
            logger.info("The user's e-mail was not told: %s", failure.detail)
            return {}
        document = parsed(reply.body) if reply.status == 200 else None
        return document if isinstance(document, dict) else {}

    def _client(self) -> WebApplicationClient:
        """Return a client of its own for each request: oauthlib's keeps the code and the tokens that it saw."""
        from oauthlib.oauth2 import WebApplicationClient

        return WebApplicationClient(self._client_id)

    def _tokens(self, reply: Reply, *secrets: str) -> TokenSet:
        from oauthlib.oauth2 import OAuth2Error

        error = ""
        document = parsed(reply.body)
        try:
            if isinstance(document, dict):
                token = self._client().parse_request_body_response(reply.body.decode())
                if reply.status == 200:
                    return _token_set(token)
        except OAuth2Error as refused:
            # Without an `error` in the document this is oauthlib's own word, such as `missing_token`.
            if "error" in document and isinstance(refused.error, str):
                error = refused.error
        except (ValueError, TypeError, AttributeError, RecursionError):
            pass  # a document that oauthlib cannot read
        raise refusal(reply, error, *secrets)


def _token_set(token: dict[str, object]) -> TokenSet:
    access_token = _secret(token.get("access_token"))
    if access_token is None or str(token.get("token_type", "Bearer")).lower() != "bearer":
        message = "not a bearer token"
        raise ValueError(message)
    return TokenSet(
        access_token=access_token,
        refresh_token=_secret(token.get("refresh_token")),
        id_token=_secret(token.get("id_token")),
    )


def _secret(value: object) -> Secret | None:
    return Secret(value) if isinstance(value, str) and _TOKEN.fullmatch(value) else None


async def _answer(http: Upstream, call: Call) -> Reply:
    try:
        return await http.send(call)
    except TransportFailed as error:
        failure = error
    raise AuthorizationFailed(failed_as(failure), f"{failure.detail} Connect again.")


# Good enough for a guess that is proved by a call. No colon: HTTP Basic ends the user name there (RFC 7617, section 2).
_EMAIL: Final = re.compile(r"[^\s@:\x00-\x1f\x7f]{1,64}@[^\s@:\x00-\x1f\x7f]{1,190}")


def email(value: object) -> str | None:
    """Return ``value`` if it may be an e-mail address."""
    return value if isinstance(value, str) and _EMAIL.fullmatch(value) else None


def emails_of(claims: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the e-mails of a claim set: ``email``, then claims such as ``https://upstash.com/email``.

    Auth0 lets a tenant add claims to an access token only under a namespace.
    """
    names = sorted((name for name in claims if name == "email" or name.endswith("/email")), key="email".__ne__)
    yield from filter(None, (email(claims[name]) for name in names))


def claims_of(token: str) -> dict[str, Any]:
    """
    Return the claims of a JWT, or nothing if it is not one: an access token may be opaque.

    The signature is not looked at. The token came straight from the token endpoint over TLS, in which case OpenID
    Connect Core 1.0, section 3.1.3.7, item 6 takes the TLS server's certificate in place of the signature.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        body = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return {}
    claims = parsed(body)
    return claims if isinstance(claims, dict) else {}
