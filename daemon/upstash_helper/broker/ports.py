"""
The broker's ports: what it needs from the outside, as small protocols whose docstrings are promises.

Each port has one contract test that runs on every adapter. A method raises only the errors that it lists.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import msgspec

from upstash_helper.broker.models import (
    Change,
    CommandReply,
    Credential,
    Database,
    DatabaseSecrets,
    Grant,
    GrantInfo,
    IssuedKey,
    NewDatabase,
    Registration,
    Secret,
    TokenSet,
)
from upstash_helper.protocol.literals import CredentialStoreState, FailureReason, ProgramWarning


class Clock(Protocol):
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Return a time in seconds that never goes back, and includes sleep. For deadlines."""

    def time(self) -> float:
        """Return the Unix time. For display and for the wire, never for a deadline."""

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """
        Have the event loop call ``call`` once ``monotonic`` reaches ``when``; some seconds late if the machine slept.
        For notifications only: state is computed from the clock on every read and does not depend on the call.
        """


class Browser(Protocol):
    """The user's web browser."""

    async def open(self, url: str, *, link: str | None = None) -> bool:
        """
        Open ``url`` in the user's browser. Return False if no browser could be started. Never raises.

        Args:
            url: The address, which may contain a secret.
            link: A one-time link to it, which other users may see. None: the browser gets a private file.
        """


class Notifier(Protocol):
    """Desktop notifications."""

    async def show(self, *, title: str, body: str) -> bool:
        """
        Show a notification without taking the focus. Return False if none can be shown. Never raises, and ends within
        3 seconds.

        Args:
            title: One line. Title and body are plain text: nothing in them is interpreted as markup or code.
            body: A few lines of text.
        """


class PeerProgram(Protocol):
    """The program at the other end of a connection."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    @property
    def executable(self) -> str:
        """Its file, with unprintable characters escaped; empty if it is unknown."""

    @property
    def warnings(self) -> tuple[ProgramWarning, ...]:
        """Why the file at that path may not be the program."""

    @property
    def others(self) -> tuple[PeerProgram, ...]:
        """Other processes that hold the same connection, a few at most; these have no others themselves."""

    @property
    def sender(self) -> str:
        """The executable that holds the connection, if this is the program that started it; otherwise empty."""

    @property
    def sender_pid(self) -> int | None:
        """The ID of that process; None if this is the sender itself."""


class Peers(Protocol):
    """
    Identifies the process at the other end of a loopback connection. The methods take the connection's local and
    remote address, and none of them raises.
    """

    def is_other_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """
        Return True if the system reports that the remote end belongs to another user. False for this user, for root
        (who can read everything anyway), and if the system does not report the user. Fast enough for every request.
        """

    def is_this_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """
        Return True if the system reports that the remote end belongs to this user or to root. False also if the system
        does not report the user.
        """

    def identifies_users(self) -> bool:
        """Return whether the system reports the users of loopback connections. Takes about a millisecond, once."""

    def is_running(self, pid: int) -> bool:
        """Return whether a process is running. True if the system does not report that."""

    async def program(self, local: tuple[str, int], remote: tuple[str, int]) -> PeerProgram | None:
        """
        Return the program at the remote end, or None if the system does not report it. Takes about 10 ms in a thread,
        so it is for pairings only.
        """

    async def starter(self, local: tuple[str, int], remote: tuple[str, int]) -> PeerProgram | None:
        """
        Like ``program``, but if that one is a launcher, such as a shell or this project's stdio bridge, return the
        program that started it, with the launcher as ``sender``. If that is unknown, return the launcher with the
        warning ``unknown_starter``.
        """


class NumericAddress(Protocol):
    """
    A second address of the owner's pages, with numbers only, for browsers that do not resolve names below
    ``localhost``. It is open only while it is in use, and no other program can have prepared for it.
    """

    async def open(self, in_use: Callable[[str], bool]) -> str | None:
        """
        Open it, unless it is open. Return its Host (address and port), or None if it cannot be opened.

        Args:
            in_use: Called now and then with the Host. The address is closed once it returns False.
        """


class PublicSuffixes(Protocol):
    """The domains below which everyone can register names."""

    def registrable_domain(self, host: str) -> str:
        """
        Return the part of ``host``, a lowercase DNS name, that one party registered: ``example.co.uk`` for
        ``a.b.example.co.uk``, and ``a.github.io`` for itself. Return ``host`` if it has no such part.
        """


class CallbackAddress(Protocol):
    """
    The loopback addresses at which the authorization server's redirect arrives. The daemon holds them always, or from
    ``take`` to ``release``; then other programs may have them in between, which is no conflict.
    """

    async def conflict(self) -> str | None:
        """
        Return None unless another program has an address of ``localhost`` that the daemon should hold now. Otherwise
        return which address, which program if the system reports it, and what to do: a browser may prefer that address
        and send the code to the other program.
        """

    async def take(self) -> str | None:
        """
        Take every address of ``localhost`` that this machine has, and return None. If that is not possible, hold no
        more than before and return why, as ``conflict`` does. Taking addresses that are already held is no error.
        """

    async def release(self) -> None:
        """
        Release what ``take`` took, if anything. The addresses are free for other programs at once; responses in
        progress are finished.
        """


class StoreHealth(msgspec.Struct, frozen=True, kw_only=True):
    """State of the credential store."""

    kind: str
    """The store's name as users know it: ``Secret Service``, ``macOS Keychain``, ``file``, ``memory`` …"""
    state: CredentialStoreState
    detail: str = ""
    """The problem and what to do about it, unless ``ok``."""


class CredentialStore(Protocol):
    """Stores the credential of one profile. Every call ends within a few seconds, even if the keyring hangs."""

    async def load(self, *, prompt: bool = True) -> Credential | None:
        """
        Return the stored credential, or None if there is none.

        Args:
            prompt: Whether the user may be asked for the keyring's password, or for access to the entry.

        Raises:
            StoreLocked: If the keyring is locked, also if it waits for the user to unlock it.
            StoreUnavailable: If there is no trustworthy keyring, it does not respond, its user did not allow access to
                the entry, or its content cannot be read.
        """

    async def save(self, credential: Credential) -> None:
        """
        Replace the stored credential with ``credential``, and read it back to be sure that it was stored.

        Raises:
            StoreLocked: Like ``load``.
            StoreUnavailable: Like ``load``; also if the value read back differs (the null keyring stores nothing).
        """

    async def delete(self) -> None:
        """
        Delete the stored credential, if there is one.

        Raises:
            StoreLocked: Like ``load``.
            StoreUnavailable: Like ``load``.
        """

    def health(self) -> StoreHealth:
        """Return the state as of the last call. Does not use the store."""


class Tombstones(Protocol):
    """
    Remembers revocations across a restart while the ledger or the keyring cannot be written. No method
    raises, and each ends within a few seconds.
    """

    async def load(self) -> Container[str]:
        """Return the names that are kept, and reserve the space for more."""

    async def add(self, name: str) -> bool:
        """Keep ``name``. Return whether that was possible."""

    async def remove(self, name: str) -> None:
        """Forget ``name``, if it is kept."""


class AuthorizationServer(Protocol):
    """Upstash's authorization server. Failures are ``AuthorizationFailed``."""

    @property
    def uses_callback_port(self) -> bool:
        """Whether the redirect goes to the callback port, at ``localhost``, rather than to the API's own address."""

    async def prepare(self) -> None:
        """
        Find out what ``authorization_url`` needs. To be called before each sign-in.

        Raises:
            AuthorizationFailed: With the reason, within 30 seconds.
        """

    def authorization_url(self, *, state: Secret, code_verifier: Secret) -> str:
        """Return the URL at which the user signs in, with the S256 challenge of ``code_verifier`` (RFC 7636)."""

    def is_issuer(self, issuer: str | None) -> bool:
        """Return whether a redirect with this ``iss`` parameter, or without any, is from the server (RFC 9207)."""

    async def exchange(self, *, code: Secret, code_verifier: Secret) -> TokenSet:
        """
        Exchange the authorization code for tokens. It is not sent again once any response was received.

        Raises:
            AuthorizationFailed: With the reason, within 30 seconds.
        """

    async def email_of(self, tokens: TokenSet) -> tuple[str, ...]:
        """
        Return the email addresses found with the tokens, the most trustworthy first: the ID token's ``email`` claim,
        the access token's if it is a JWT, the response of the userinfo endpoint. Empty if there is none. Never raises.
        """

    async def revoke(self, tokens: TokenSet) -> None:
        """Revoke the tokens (RFC 7009). Best effort: returns within 5 seconds and never raises."""


class GrantServer(AuthorizationServer, Protocol):
    """The authorization server of the open sign-in, whose access tokens are good at the Developer API."""

    @property
    def registration(self) -> Registration | None:
        """This installation's registration as a client; None before ``prepare``."""

    async def info_of(self, access_token: Secret) -> GrantInfo:
        """
        Ask Upstash which account and access a token is for.

        Raises:
            AuthorizationFailed: With the reason, within 15 seconds.
        """

    async def reach(self, grant: Grant) -> None:
        """
        Check that ``refresh`` could send its request now, without sending the refresh token.

        Raises:
            AuthorizationFailed: ``issuer_mismatch``: the grant is another server's. Others: the server does not answer.
        """

    async def refresh(self, grant: Grant) -> TokenSet:
        """
        Exchange the grant's refresh token for new tokens. One request is sent, and it is not repeated once the server
        may have received it.

        Raises:
            AuthorizationFailed: ``invalid_grant``: the grant has ended. ``registration_lost``: the server does not know
                the client any more, and ``prepare`` will register it again. ``issuer_mismatch``: the grant is another
                server's, so nothing was sent. Others: nothing is known about the grant.
        """

    async def revoke_grant(self, grant: Grant) -> None:
        """Revoke a grant (RFC 7009). Best effort: returns within 5 seconds and never raises."""


class Registrations(Protocol):
    """Keeps this installation's registrations as a client, one for each issuer. No method raises."""

    async def load(self, issuer: str) -> Registration | None:
        """Return the registration at ``issuer``, or None if there is none, or none that can be read."""

    async def save(self, registration: Registration) -> None:
        """Keep ``registration``, in place of an earlier one at the same issuer."""

    async def forget(self, registration: Registration) -> None:
        """Forget ``registration``, unless another one has replaced it."""


class AuthorizationFailed(Exception):
    """The sign-in failed."""

    def __init__(self, reason: FailureReason, detail: str = "", *, retry_after: float | None = None) -> None:
        """
        Args:
            reason: Stable code for programs.
            detail: What happened, for a person, where more is known than the catalog says
                (``protocol.messages.FAILURES``). Never contains a secret.
            retry_after: Seconds that the server asks to wait before the next request, if it names any.
        """
        super().__init__(detail or reason)
        self.reason: FailureReason = reason
        self.detail = detail
        self.retry_after = retry_after


class KeyNameTaken(AuthorizationFailed):
    """The account already has an API key of that name, so none was created."""


class KeyIssuer(Protocol):
    """Creates Developer API keys for a signed-in user."""

    async def issue(self, *, access_token: Secret, name: str) -> IssuedKey:
        """
        Create a key called ``name``.

        Raises:
            KeyNameTaken: If the account has a key of that name (reason ``api_key_refused``).
            AuthorizationFailed: ``api_key_refused``, ``api_key_limit``, ``rate_limited``, ``server_error``,
                ``network_error``, ``timeout`` or ``invalid_response``.
        """


class DatabasesApi(Protocol):
    """
    The Redis part of the Developer API.

    Every method may raise these ``broker.errors``: ``ReconnectRequired`` (401), ``UpstreamForbidden`` (403),
    ``DatabaseNotFound`` (404, if an ID is given), ``UpstreamConflict`` (409), ``UpstreamRateLimited`` (429, with
    ``retry_after``), ``UpstreamRejected`` (other 4xx), ``UpstreamUnavailable`` (5xx, no or unreadable response),
    ``UpstreamTimeout``.
    """

    async def list(self, credential: Credential) -> tuple[Database, ...]:
        """Return all databases of the account."""

    async def get(self, credential: Credential, database_id: str) -> tuple[Database, DatabaseSecrets]:
        """Return one database with its secrets."""

    async def create(self, credential: Credential, new: NewDatabase) -> Database:
        """
        Create a database. The request is sent once: a failure after sending it is ``OutcomeUnknown``, because a retry
        could create a second database.
        """

    async def change(self, credential: Credential, database_id: str, change: Change) -> None:
        """Apply one change."""

    async def delete(self, credential: Credential, database_id: str) -> None:
        """Delete the database and its data."""


Command = tuple[str | int | float, ...]
"""A Redis command and its arguments."""


class CommandsApi(Protocol):
    """The REST API of a database."""

    async def run(self, rest_url: str, token: Secret, commands: tuple[Command, ...]) -> tuple[CommandReply, ...]:
        """
        Run the commands in order, in one request that is sent once, and return the reply to each. A command that fails
        does not keep the later ones from running.

        Raises:
            InvalidRequest: If the commands cannot be sent, such as text that is not Unicode.
            UpstreamForbidden: If the database does not accept the token.
            UpstreamRateLimited: If it limits the number of requests.
            UpstreamRejected: If it rejects the request as a whole.
            UpstreamUnavailable: If there is no readable response, or it is too large. The commands may have run.
            UpstreamTimeout: If there is no response in time. The commands may have run.
        """


class ResourceRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a part of the Developer API that has no port of its own."""

    method: Literal["GET", "POST", "DELETE"]
    path: tuple[str, ...]
    """The segments of the path after ``/v2``."""
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None


class ResourcesApi(Protocol):
    """The parts of the Developer API that have no ports of their own: backups, statistics, Vector, Search, QStash."""

    async def send(self, credential: Credential, request: ResourceRequest) -> bytes:
        """
        Send ``request`` and return the body of the response, which can contain secrets. Only a GET is repeated.

        Raises:
            InvalidRequest: If a segment of the path cannot be the ID of anything.
            HelperError: As for ``DatabasesApi``; 404 is ``UpstreamRejected``.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughRequest:
    """An app's request to the Developer API, as the app sent it."""

    method: str
    target: str
    """Path and query without the leading slash, percent-encoded: ``v2/redis/databases?x=y``."""
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: AsyncIterator[bytes] | None = field(default=None, repr=False)
    """
    The body in chunks, read once and only as fast as Upstash accepts it. An error that it raises is raised by
    ``PassThroughApi.open``.
    """
    length: int | None = None
    """Length of the body, if the app declared it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassThroughResponse:
    """Upstash's response, before its body is read."""

    status: int
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    """The headers that are passed on to the app, in order."""
    pieces: AsyncIterator[bytes] = field(repr=False)
    """
    The body as it arrives, in the encoding that Content-Encoding names. Raises ``UpstreamUnavailable`` if the
    connection breaks and ``UpstreamTimeout`` if it stalls; the body is incomplete then.
    """


class PassThroughApi(Protocol):
    """The whole Developer API, for requests that the daemon does not implement itself."""

    def open(
        self, credential: Credential, request: PassThroughRequest
    ) -> AbstractAsyncContextManager[PassThroughResponse]:
        """
        Send ``request`` once, with ``credential`` in place of the app's own authentication, and yield the response as
        soon as its headers have arrived. The request goes to the Developer API's host and nowhere else. Leaving the
        context ends the exchange, even if it is not complete.

        Raises:
            ReconnectRequired: For status 401. Every other status is a response.
            InvalidRequest: If the target is not a valid request target.
            UpstreamUnavailable: If there is no readable response, or if it is a redirect.
            UpstreamTimeout: If there is no response in time.
        """
