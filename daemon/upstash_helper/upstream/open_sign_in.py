"""
The ``GrantServer`` port: Upstash's open authorization server, at which any program may register itself.

Endpoints come from the issuer's metadata (RFC 8414), the client ID from dynamic registration (RFC 7591), and the
redirect goes to a loopback address with a port of the client's choice (RFC 8252, section 7.3).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, TypeGuard, TypeVar
from urllib.parse import urlsplit

import msgspec
from yarl import URL

from upstash_helper.broker.models import GrantInfo, Registration, Secret
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.oauth import (
    EXCHANGE_SECONDS,
    FORM,
    MAX_RESPONSE_BYTES,
    REVOKE_SECONDS,
    emails_in,
    jwt_claims,
    revoke_token,
    tokens_in,
    transport_failure_reason,
    valid_email,
)
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text, parse_json

if TYPE_CHECKING:
    from oauthlib.oauth2 import WebApplicationClient

    from upstash_helper.broker.models import Grant, TokenSet
    from upstash_helper.broker.ports import Clock, Registrations
    from upstash_helper.protocol.literals import FailureReason
    from upstash_helper.upstream.response import Response

SCOPES: Final = ("openid", "email", "offline_access")
REDIRECT: Final = "http://127.0.0.1/callback"
"""As registered: the server ignores the port when it compares a loopback redirect."""

METADATA_SECONDS: Final = 8.0
METADATA_LIFETIME: Final = 3600.0
REGISTER_SECONDS: Final = 15.0
INFO_SECONDS: Final = 12.0

_WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"
_JSON: Final = {"Accept": "application/json"}
# Both are stored with each grant, and Windows stores at most 2560 bytes of UTF-16.
_MAX_CLIENT_ID: Final = 255
_MAX_NAME: Final = 128
_URL: Final = re.compile(r"[\x21-\x7e]{1,2048}")
_TEAM: Final = re.compile(r"[A-Za-z0-9._:@-]{1,128}")
_NO_CODE: Final = "upstash-helper-asks-for-its-registration"

T = TypeVar("T")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """Authorization server metadata (RFC 8414, section 2), as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    authorization_response_iss_parameter_supported: bool | None = None


class _Registered(msgspec.Struct, frozen=True):
    client_id: str
    client_name: object = None


class _TokenInfo(msgspec.Struct, frozen=True):
    """``GET /v2/account/oauth/token-info``."""

    email: object = None
    team_id: object = None
    team_role: object = None
    read_only: bool | None = None
    blocked: bool | None = None


class OpenSignIn:
    """The adapter."""

    uses_callback_port: Final = False

    def __init__(
        self,
        *,
        http: HttpClient,
        issuer_url: str,
        api_url: str,
        redirect_uri: str,
        client_name: str,
        registrations: Registrations,
        clock: Clock,
        refresh_seconds: float = EXCHANGE_SECONDS,
        metadata_seconds: float = METADATA_SECONDS,
        register_seconds: float = REGISTER_SECONDS,
        revoke_seconds: float = REVOKE_SECONDS,
    ) -> None:
        """
        Args:
            http: The HTTP client.
            issuer_url: The authorization server's issuer identifier.
            api_url: The Developer API's URL without ``/v2``.
            redirect_uri: ``REDIRECT`` with the port.
            client_name: The name to register.
            registrations: Keeps the registration.
            clock: For the age of the metadata.
            refresh_seconds: Deadline for refreshing a token.
            metadata_seconds: Deadline for reading the metadata, and for asking whether the client is known.
            register_seconds: Deadline for registering.
            revoke_seconds: Deadline for revoking a token.
        """
        self._http = http
        self._issuer = issuer_url.rstrip("/")
        self._api_url = api_url.rstrip("/")
        self._redirect_uri = redirect_uri
        self._client_name = client_name
        self._registrations = registrations
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._metadata_seconds = metadata_seconds
        self._register_seconds = register_seconds
        self._revoke_seconds = revoke_seconds
        self._metadata: Metadata | None = None
        self._metadata_at = 0.0
        self._registration: Registration | None = None
        self._preparing = asyncio.Lock()
        self._is_in_doubt = False
        """Whether the last authorization request had no answer, as when the server does not know the client."""

    @property
    def registration(self) -> Registration | None:
        """This installation's registration."""
        return self._registration

    async def prepare(self) -> None:
        """
        Read the metadata, and register unless that has been done.

        A server that does not know the client shows that to the user, and sends no redirect (RFC 6749, section
        4.1.2.1). So after an authorization request without an answer, the server is asked about the client.
        """
        async with self._preparing:
            metadata = await self._current_metadata()
            if self._registration is None:
                kept = await self._registrations.load(self._issuer)
                self._registration = kept if kept is not None and _is_usable(kept) else None
            if self._registration is not None and self._is_in_doubt:
                await self._ask_for_registration(metadata, self._registration)
            self._is_in_doubt = False
            if self._registration is None:
                self._registration = await self._register(metadata)
                await self._registrations.save(self._registration)

    def authorization_url(self, *, state: Secret, code_verifier: Secret) -> str:
        """Return the URL of the authorization request (RFC 6749, section 4.1.1; RFC 7636, section 4.3)."""
        metadata, registration = self._prepared()
        self._is_in_doubt = True
        client = _client(registration.client_id)
        # oauthlib requires https, and can be relaxed for the whole process only; see ``OAuth.authorization_url``.
        scheme, _, rest = metadata.authorization_endpoint.partition("://")
        url: str = client.prepare_request_uri(
            f"https://{rest}",
            redirect_uri=self._redirect_uri,
            scope=list(SCOPES),
            state=state.reveal(),
            code_challenge=client.create_code_challenge(code_verifier.reveal(), "S256"),
            code_challenge_method="S256",
        )
        return scheme + url.removeprefix("https")

    def is_issuer(self, issuer: str | None) -> bool:
        """Return whether ``iss`` is the issuer. It may be missing only if the server does not announce it."""
        self._is_in_doubt = False
        if self._metadata is None:
            return False
        if issuer is None:
            return not self._metadata.authorization_response_iss_parameter_supported
        return issuer == self._metadata.issuer

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> TokenSet:
        """Exchange the authorization code for tokens (RFC 6749, section 4.1.3)."""
        metadata, registration = self._prepared()
        body = _client(registration.client_id).prepare_request_body(
            code=code.reveal(), redirect_uri=self._redirect_uri, code_verifier=code_verifier.reveal()
        )
        # If the server used the code before the connection broke, it rejects the repetition.
        response = await self._post_form(metadata, body, RetryPolicy.UNANSWERED, deadline=EXCHANGE_SECONDS)
        secrets = (code.reveal(), code_verifier.reveal())
        tokens = await self._knowing_the_client(registration, response, *secrets)
        if tokens.refresh_token is None:
            detail = "Upstash sent no refresh token, so the account would be disconnected within a day."
            raise AuthorizationFailed("invalid_response", detail)
        return tokens

    async def reach(self, grant: Grant) -> None:
        """Read the metadata. Earlier metadata is used if the server only failed to send it."""
        self._check_issuer(grant)
        await self._current_metadata(again=True)

    def _check_issuer(self, grant: Grant) -> None:
        if grant.issuer != self._issuer:
            detail = f"It was made at {grant.issuer}, and the setting issuer_url now names {self._issuer}."
            raise AuthorizationFailed("issuer_mismatch", detail)

    async def refresh(self, grant: Grant) -> TokenSet:
        """Exchange the refresh token (RFC 6749, section 6)."""
        self._check_issuer(grant)
        metadata = await self._current_metadata()
        secret = grant.refresh_token.reveal()
        body = _client(grant.client_id).prepare_refresh_body(refresh_token=secret, client_id=grant.client_id)
        response = await self._post_form(metadata, body, RetryPolicy.UNSENT, deadline=self._refresh_seconds)
        registration = Registration(issuer=grant.issuer, client_id=grant.client_id, client_name=grant.client_name)
        return await self._knowing_the_client(registration, response, secret)

    async def info_of(self, access_token: Secret) -> GrantInfo:
        """Ask the Developer API about the token; without that endpoint, only the email in the token is known."""
        response = await self._send(
            Request(
                method="GET",
                url=f"{self._api_url}/v2/account/oauth/token-info",
                headers={"Authorization": f"Bearer {access_token.reveal()}", **_JSON},
                retry=RetryPolicy.ALWAYS,
                deadline=INFO_SECONDS,
                limit=MAX_RESPONSE_BYTES,
            )
        )
        if response.status == 404:
            return GrantInfo(email=next(emails_in(jwt_claims(access_token.reveal())), None))
        info = _decoded(response, _TokenInfo) if response.status == 200 else None
        if info is None:
            message = error_text(response, access_token.reveal())
            detail = f"Upstash did not say which account you signed in to (status {response.status})."
            raise AuthorizationFailed(_reason(response), f"{detail} Upstash says: {message}" if message else detail)
        if info.team_id and _team(info.team_id) is None:
            raise AuthorizationFailed("invalid_response", "Upstash named the team you chose in an unknown format.")
        return GrantInfo(
            email=valid_email(info.email),
            team_id=_team(info.team_id),
            team_role=_team(info.team_role),
            read_only=bool(info.read_only),
            blocked=bool(info.blocked),
        )

    async def email_of(self, tokens: TokenSet) -> tuple[str, ...]:
        """Return the email addresses in the tokens. The Developer API knows more; see ``info_of``."""
        given = [token.reveal() for token in (tokens.id_token, tokens.access_token) if token]
        return tuple(dict.fromkeys(email for token in given for email in emails_in(jwt_claims(token))))

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the refresh token, and with it the grant."""
        if tokens.refresh_token is not None and self._registration is not None:
            await self._revoke(tokens.refresh_token, self._registration.client_id)

    async def revoke_grant(self, grant: Grant) -> None:
        """Revoke the refresh token of a grant, and with it the grant."""
        if grant.issuer != self._issuer:
            return
        await self._revoke(grant.refresh_token, grant.client_id)

    async def _revoke(self, refresh_token: Secret, client_id: str) -> None:
        try:
            async with asyncio.timeout(self._revoke_seconds):
                url = (await self._current_metadata()).revocation_endpoint
                if url is not None:
                    await revoke_token(
                        self._http,
                        url,
                        refresh_token,
                        "refresh_token",
                        client_id=client_id,
                        seconds=self._revoke_seconds,
                    )
        except (AuthorizationFailed, TimeoutError):
            return  # best effort

    # --- metadata and registration ------------------------------------------------------------------------------------

    def _prepared(self) -> tuple[Metadata, Registration]:
        if self._metadata is None or self._registration is None:
            raise AuthorizationFailed("registration_lost")  # meanwhile, at a refresh
        return self._metadata, self._registration

    async def _current_metadata(self, *, again: bool = False) -> Metadata:
        age = self._clock.monotonic() - self._metadata_at
        if self._metadata is None or again or age > METADATA_LIFETIME:
            try:
                self._metadata, self._metadata_at = await self._read_metadata(), self._clock.monotonic()
            except AuthorizationFailed as error:
                if self._metadata is None or (again and error.reason in {"network_error", "timeout"}):
                    raise
        return self._metadata

    async def _read_metadata(self) -> Metadata:
        parts = urlsplit(self._issuer)
        # RFC 8414, section 3.1: the well-known path is inserted before the issuer's own.
        url = f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path}"
        response = await self._send(
            Request(
                method="GET",
                url=url,
                headers=_JSON,
                retry=RetryPolicy.ALWAYS,
                deadline=self._metadata_seconds,
                limit=MAX_RESPONSE_BYTES,
            )
        )
        metadata = _decoded(response, Metadata) if response.status == 200 else None
        problem = _unreadable(response) if metadata is None else self._problem(metadata)
        if metadata is None or problem is not None:
            detail = f"The description of Upstash's sign-in at {parts.netloc} cannot be used: {problem}."
            raise AuthorizationFailed("invalid_response" if response.status < 500 else "server_error", detail)
        return metadata

    def _problem(self, metadata: Metadata) -> str | None:
        if metadata.issuer.rstrip("/") != self._issuer:
            return "it names another issuer"  # RFC 8414, section 3.3
        if "S256" not in metadata.code_challenge_methods_supported:
            return "the server does not support PKCE with S256"
        endpoints = (
            metadata.authorization_endpoint,
            metadata.token_endpoint,
            metadata.registration_endpoint,
            metadata.revocation_endpoint,
        )
        is_local = self._issuer.startswith("http://")
        if not all(_is_protected(url, is_local=is_local) for url in endpoints if url is not None):
            return "an endpoint is not an https URL"
        return None

    async def _register(self, metadata: Metadata) -> Registration:
        if metadata.registration_endpoint is None:
            detail = "Upstash's sign-in does not accept new apps at the moment. Connect with an API key."
            raise AuthorizationFailed("invalid_response", detail)
        wanted = {
            "client_name": self._client_name,
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
            "scope": " ".join(SCOPES),
        }
        response = await self._send(
            Request(
                method="POST",
                url=metadata.registration_endpoint,
                headers={"Content-Type": "application/json", **_JSON},
                body=msgspec.json.encode(wanted),
                retry=RetryPolicy.UNSENT,  # each request that is received makes another client
                deadline=self._register_seconds,
                limit=MAX_RESPONSE_BYTES,
            )
        )
        registered = _decoded(response, _Registered) if response.status in {200, 201} else None
        if registered is None or not _is_client_id(registered.client_id):
            message = error_text(response)
            detail = f"Upstash did not register this installation of upstash-helper (status {response.status})."
            raise AuthorizationFailed(_reason(response), f"{detail} Upstash says: {message}" if message else detail)
        name = registered.client_name if _is_name(registered.client_name) else self._client_name
        return Registration(issuer=self._issuer, client_id=registered.client_id, client_name=name)

    async def _knowing_the_client(self, registration: Registration, response: Response, *secrets: str) -> TokenSet:
        """Return the tokens; if the server does not know the client any more, forget the registration."""
        if _names_unknown_client(response):
            await self._forget(registration)
            raise AuthorizationFailed("registration_lost")
        try:
            return tokens_in(response, "", *secrets)
        except AuthorizationFailed as error:
            if error.reason != "invalid_client":
                raise
        # Its usual text is about the partner sign-in's client ID. A gateway or a proxy may answer 401 as well.
        detail = f"Upstash's sign-in refused the request (status {response.status})."
        raise AuthorizationFailed("invalid_response", detail)

    async def _ask_for_registration(self, metadata: Metadata, registration: Registration) -> None:
        """Forget the registration if the server does not know it: a code that it never issued is refused otherwise."""
        body = _client(registration.client_id).prepare_request_body(code=_NO_CODE, redirect_uri=self._redirect_uri)
        try:
            response = await self._post_form(metadata, body, RetryPolicy.ALWAYS, deadline=self._metadata_seconds)
        except AuthorizationFailed:
            return
        if _names_unknown_client(response):
            await self._forget(registration)

    async def _forget(self, registration: Registration) -> None:
        await self._registrations.forget(registration)
        if self._registration is not None and self._registration.client_id == registration.client_id:
            self._registration = None

    async def _post_form(self, metadata: Metadata, body: str, retry: RetryPolicy, *, deadline: float) -> Response:
        """Send a request to the token endpoint."""
        return await self._send(
            Request(
                method="POST",
                url=metadata.token_endpoint,
                headers=FORM,
                body=body.encode(),
                retry=retry,
                deadline=deadline,
                limit=MAX_RESPONSE_BYTES,
            )
        )

    async def _send(self, request: Request) -> Response:
        try:
            return await self._http.send(request)
        except TransportFailed as error:
            failure = error
        raise AuthorizationFailed(transport_failure_reason(failure), failure.detail)


def _client(client_id: str) -> WebApplicationClient:
    """Return a new oauthlib client for each request: it stores the code and the tokens."""
    from oauthlib.oauth2 import WebApplicationClient

    return WebApplicationClient(client_id)


def _decoded(response: Response, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_protected(url: str, *, is_local: bool) -> bool:
    """
    Return whether what is sent to ``url`` cannot be read on the way: over TLS, or, if the issuer itself is a sandbox on
    this machine, without.
    """
    if _URL.fullmatch(url) is None:
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        URL(url, encoded=True)  # as the HTTP client reads it
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (is_local and parts.scheme == "http" and host in LOOPBACK_HOSTS)


def _is_usable(registration: Registration) -> bool:
    return _is_client_id(registration.client_id) and _is_name(registration.client_name)


def _is_client_id(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= _MAX_CLIENT_ID


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= _MAX_NAME


def _team(value: object) -> str | None:
    """Return a team's ID, or a role in it. They are shown to users."""
    return value if isinstance(value, str) and _TEAM.fullmatch(value) else None


def _names_unknown_client(response: Response) -> bool:
    """Return whether the token endpoint does not know the client (RFC 6749, section 5.2)."""
    document = parse_json(response.body)
    return response.status < 500 and isinstance(document, dict) and document.get("error") == "invalid_client"


def _unreadable(response: Response) -> str:
    return "it is not what RFC 8414 defines" if response.status == 200 else f"status {response.status}"


def _reason(response: Response) -> FailureReason:
    if response.status == 429:
        return "rate_limited"
    return "server_error" if response.status >= 500 else "invalid_response"
