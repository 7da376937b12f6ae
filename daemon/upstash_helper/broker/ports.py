"""
What the broker needs of the world: small protocols whose docstrings are promises.

Each has one contract test, run on every adapter. No method raises anything but what it names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

from upstash_helper.broker.models import (
    Change,
    Credential,
    Database,
    DatabaseSecrets,
    IssuedKey,
    NewDatabase,
    Secret,
    TokenSet,
)


class Clock(Protocol):
    """Time, as this machine tells it."""

    def monotonic(self) -> float:
        """Return seconds that never go back; for deadlines."""

    def time(self) -> float:
        """Return the Unix time; for what is shown or sent, never for a deadline."""

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """
        Have the event loop call ``call`` when ``monotonic`` has come to ``when``; after a sleep of the machine some
        seconds late. For telling others in time: whoever asks is told by the clock.
        """


class Browser(Protocol):
    """The user's web browser."""

    async def open(self, url: str) -> bool:
        """Open ``url`` in the user's browser. Return False where none could be started; never raise."""


class Notifier(Protocol):
    """The desktop's notifications."""

    async def show(self, *, title: str, body: str) -> bool:
        """
        Show a notification, without taking the focus from what the user is doing. Return False where none can be shown.
        Never raises, and ends within 3 seconds.

        Args:
            title: One line. Plain text, like the body: no part of either is markup, or code of any kind.
            body: Some lines' worth; shown on as many as the desktop likes.
        """


class PeerProgram(Protocol):
    """The program at the other end of a connection."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def executable(self) -> str:
        """Its file, in printable characters; empty if it is unknown."""


class Peers(Protocol):
    """
    Who is at the other end of a loopback connection. Both methods take the two addresses of the connection, ours and
    the client's, and neither raises.
    """

    def is_other_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """
        Return True if the system says that the client's end belongs to another user. False if it is this user's or
        root's, who can read everything anyway, and if the system does not tell. At once: for every request.
        """

    async def program(self, local: tuple[str, int], remote: tuple[str, int]) -> PeerProgram | None:
        """Return the program at the client's end, or None if it is unknown. Takes about 10 ms, in a thread."""


class CallbackAddress(Protocol):
    """
    The loopback addresses at which the authorization server's redirect arrives. They are ours always, or from ``take``
    to ``release``: then others may have them in between, and that is no conflict.
    """

    async def conflict(self) -> str | None:
        """
        Return None unless an address of ``localhost`` that should be ours now is not. Else say which one, who has it if
        the system tells, and what to do: a browser may prefer that address and give the code to a stranger.
        """

    async def take(self) -> str | None:
        """
        Return None if every address of ``localhost`` that this machine has is ours from now on. Else say what stands
        against it, as ``conflict`` does; then nothing more is held than before. Taking what is held is no error.
        """

    async def release(self) -> None:
        """
        Let go what ``take`` took; succeed as well if nothing is held. What is being answered still is, and the address
        is free for others at once.
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


class KeyNameTaken(AuthorizationFailed):
    """The account has an API key of that name; none was made."""


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
            KeyNameTaken: If the account has a key of that name (``api_key_refused``).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughRequest:
    """A request of an app's to the Developer API, as the app sent it."""

    method: str
    target: str
    """Path and query without the first slash, percent-encoded: ``v2/redis/databases?x=y``."""
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: AsyncIterator[bytes] | None = field(default=None, repr=False)
    """In pieces, read once and as fast as Upstash takes it. What it raises, ``PassThroughApi.open`` raises."""
    length: int | None = None
    """Of the body, if the app has declared it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughResponse:
    """Upstash's answer, whose body is still to come."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """Those that are meant for the app, in order."""
    pieces: AsyncIterator[bytes] = field(repr=False)
    """
    The body as it arrives, in the encoding that Content-Encoding names. It raises ``UpstreamUnavailable`` if it breaks
    off and ``UpstreamTimeout`` if it stalls: then what came is not all of it.
    """


class PassThroughApi(Protocol):
    """The way to all of the Developer API, for whatever the daemon itself knows nothing of."""

    def open(
        self, credential: Credential, request: PassThroughRequest
    ) -> AbstractAsyncContextManager[PassThroughResponse]:
        """
        Send ``request`` once, with ``credential`` in place of what the app authenticated itself with, and hand out the
        answer when its headers are there. It goes to the Developer API's host and to no other. Leaving ends the
        exchange, however far it has come.

        Raises:
            ReconnectRequired: For 401. Every other status is an answer.
            InvalidRequest: If the target cannot be sent as it is.
            UpstreamUnavailable: If there is no answer that can be read, or a redirect.
            UpstreamTimeout: If there is none in time.
        """
