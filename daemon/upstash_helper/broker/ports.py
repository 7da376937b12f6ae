"""
What the broker needs of the world: small protocols whose docstrings are promises.

Each has one contract test, run on every adapter. No method raises anything but what it names.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from upstash_helper.broker.models import Change, Credential, Database, DatabaseSecrets, IssuedKey, NewDatabase, TokenSet
from upstash_helper.broker.secret import Secret


class Clock(Protocol):
    """Time, as this machine tells it."""

    def monotonic(self) -> float:
        """Return seconds that never go back; for deadlines."""

    def time(self) -> float:
        """Return the Unix time; for what is shown or sent, never for a deadline."""


class Browser(Protocol):
    """The user's web browser."""

    async def open(self, url: str) -> bool:
        """Open ``url`` in the user's browser. Return False where none could be started; never raise."""


class CallbackAddress(Protocol):
    """The loopback addresses at which the authorization server's redirect arrives."""

    async def conflict(self) -> str | None:
        """
        Return None if every address of ``localhost`` that this machine has is ours. Else say which one is not, who has
        it if the system tells, and what to do: a browser may prefer that address and give the code to a stranger.
        """


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the credential store is."""

    kind: str
    """The store in words a user knows: ``Secret Service``, ``macOS Keychain``, ``file``, ``memory`` …"""
    state: Literal["unknown", "ok", "locked", "unavailable"]
    """``unknown`` until it has been used once."""
    detail: str = ""
    """Why, and what to do, unless ``ok``."""


class CredentialStore(Protocol):
    """Where the credential of one profile is kept. Every call ends within a few seconds, however the keyring hangs."""

    async def load(self) -> Credential | None:
        """
        Return the stored credential, or None if there is none.

        Raises:
            StoreLocked: If the keyring is locked, or does not answer in time (it waits for the user to unlock it).
            StoreUnavailable: If there is no keyring that can be trusted, or what it holds cannot be read.
        """

    async def save(self, credential: Credential) -> None:
        """
        Store ``credential`` in place of the one before, and read it back to be sure that it is there.

        Raises:
            StoreLocked: As ``load``.
            StoreUnavailable: As ``load``; also if what is read back differs (the null keyring keeps nothing).
        """

    async def delete(self) -> None:
        """
        Forget the stored credential; succeed as well if there is none.

        Raises:
            StoreLocked: As ``load``.
            StoreUnavailable: As ``load``.
        """

    def health(self) -> StoreHealth:
        """Return the state as of the last call, without a call."""


class AuthorizationServer(Protocol):
    """Upstash's sign-in, as an OAuth 2.0 client sees it. Failures are ``AuthorizationFailed``."""

    def authorization_url(self, *, state: Secret, code_verifier: Secret) -> str:
        """Return the address at which the user signs in, with PKCE's S256 challenge of ``code_verifier`` (RFC 7636)."""

    @property
    def issuer(self) -> str:
        """The issuer that an ``iss`` parameter of the redirect must name (RFC 9207)."""

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> TokenSet:
        """
        Spend the authorization code. It is never sent twice once any answer was received.

        Raises:
            AuthorizationFailed: With the reason; within 30 seconds.
        """

    async def email_of(self, tokens: TokenSet) -> tuple[str, ...]:
        """
        Return the e-mails that the tokens speak of, most trustworthy first: the id_token's ``email``, the access
        token's if it is a JWT, the answer of ``/userinfo``. Empty if none does; never raises.
        """

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke what can be revoked (RFC 7009). Best effort: returns within 5 seconds and never raises."""


class AuthorizationFailed(Exception):
    """The sign-in did not give tokens."""

    def __init__(self, reason: FailureReason, detail: str) -> None:
        """
        Args:
            reason: A stable word for programs.
            detail: What happened and what to do, for a person. Never holds a secret.
        """
        super().__init__(detail)
        self.reason: FailureReason = reason
        self.detail = detail


FailureReason = Literal[
    "access_denied",  # the user said no
    "login_required",
    "consent_required",
    "unauthorized",  # Auth0: a rule of the tenant refused the user
    "invalid_request",  # the authorization server does not like our request (also invalid_scope)
    "invalid_client",  # the client id is not known there
    "invalid_grant",  # the code is spent, expired or was not ours
    "rate_limited",
    "server_error",
    "network_error",  # never got an answer
    "timeout",
    "invalid_response",  # an answer that cannot be read
    "issuer_mismatch",  # RFC 9207
    "api_key_refused",  # signed in, but no Developer API key was made
    "api_key_limit",  # the account has as many keys as it may have
    "keyring_locked",
    "keyring_unavailable",
    "cancelled",  # by the user, or because another attempt was forced
    "internal_error",
]


class KeyIssuer(Protocol):
    """Makes Developer API keys for a signed-in user."""

    async def issue(self, *, access_token: Secret, name: str) -> IssuedKey:
        """
        Make a key called ``name``.

        Raises:
            AuthorizationFailed: ``api_key_refused``, ``api_key_limit``, ``rate_limited``, ``server_error``,
                ``network_error``, ``timeout`` or ``invalid_response``.
        """


class DatabasesApi(Protocol):
    """
    The Redis part of the Developer API.

    Every method may raise, of ``broker.errors``: ``ReconnectRequired`` (401), ``UpstreamForbidden`` (403),
    ``DatabaseNotFound`` (404, where an id is given), ``UpstreamConflict`` (409), ``UpstreamRateLimited`` (429, with
    ``retry_after``), ``UpstreamRejected`` (other 4xx), ``UpstreamUnavailable`` (5xx, no or unreadable answer),
    ``UpstreamTimeout``.
    """

    async def list(self, credential: Credential) -> tuple[Database, ...]:
        """Return all databases of the account."""

    async def get(self, credential: Credential, database_id: str) -> tuple[Database, DatabaseSecrets]:
        """Return one database with its secrets."""

    async def create(self, credential: Credential, new: NewDatabase) -> Database:
        """
        Make a database. Sent once: a failure after sending is ``OutcomeUnknown``, for a repeat could make a second one.
        """

    async def change(self, credential: Credential, database_id: str, change: Change) -> None:
        """Make one change."""

    async def delete(self, credential: Credential, database_id: str) -> None:
        """Delete the database and what is in it."""
