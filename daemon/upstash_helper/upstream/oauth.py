"""Upstash's authorization server: OAuth 2.0 with oauthlib, over the one HTTP client."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import TYPE_CHECKING, Any, Final, Literal

from upstash_helper.broker.models import Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.upstream.claims import claims_of, emails_of
from upstash_helper.upstream.http_client import Upstream
from upstash_helper.upstream.reasons import failed_as, refusal
from upstash_helper.upstream.request import Call, Resend, TransportFailed
from upstash_helper.upstream.words import parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oauthlib.oauth2 import WebApplicationClient

    from upstash_helper.upstream.response import Reply

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
