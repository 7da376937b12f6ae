"""
The public client for apps: access to the user's Upstash databases through the helper, which holds the credential.

It is synchronous and thread-safe. In ``asyncio``, use ``await asyncio.to_thread(Helper.pair, …)``.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, Literal

from msgspec import UNSET

from upstash_helper.client import locate
from upstash_helper.client.app_session import AppClient, AppSession, print_code, request_access, say
from upstash_helper.client.errors import DaemonUnreachable, OutcomeUnknown, RequestInProgress, SignInFailed
from upstash_helper.client.transport import Deadline
from upstash_helper.protocol.wire import ChangeDatabase, Connection, CreateDatabase
from upstash_helper.protocol.wire_apps import PairingRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from upstash_helper.client.app_session import OnCode
    from upstash_helper.client.events import Event
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.literals import Plan, Platform, Scope
    from upstash_helper.protocol.wire import Database, DatabaseCredentials, Region
    from upstash_helper.protocol.wire_apps import NewToken, TokenInfo

CREATE_SECONDS: Final = 150.0
"""After two minutes the daemon knows whether a create request with a lost answer has created anything."""

_SIGN_IN_NEEDED: Final = frozenset({"disconnected", "connecting", "reconnect_required"})

# The daemon closed the connection; it may be restarting.
_RETRY_SECONDS: Final = 0.5


class Databases:
    """
    ``helper.databases``. Each method names the scope that it requires, and raises ``InsufficientScope`` without it.

    All methods raise ``NotConnected`` if no account is connected, ``DatabaseNotFound`` for an unknown id, and the
    errors of ``Helper``.
    """

    def __init__(self, session: AppSession) -> None:
        """Created by ``Helper``."""
        self._session = session

    def list(self, *, refresh: bool = False) -> tuple[Database, ...]:
        """
        Return all databases, sorted by name. Scope: ``databases:read``.

        Args:
            refresh: Read from Upstash even if the daemon has a list that is a few seconds old.
        """
        return self._session.run(lambda daemon: tuple(daemon.databases(refresh=refresh)))

    def get(self, database_id: str) -> Database:
        """Return one database. Scope: ``databases:read``."""
        return self._session.run(lambda daemon: daemon.database(database_id))

    def create(
        self,
        name: str,
        *,
        primary_region: str,
        read_regions: Iterable[str] = (),
        platform: Platform | None = None,
        plan: Plan | None = None,
        budget: int | None = None,
        eviction: bool | None = None,
        tls: bool | None = None,
        idempotency_key: str | None = None,
        timeout: float = CREATE_SECONDS,
    ) -> Database:
        """
        Create a database and return it. Scope: ``databases:write``. Upstash chooses the properties that are not given.

        One call creates one database, even if connections break: the request is repeated with the same idempotency key
        until the outcome is known.

        Args:
            name: 1 to 64 letters, digits, spaces, and ``.:@+-_``.
            primary_region: The id of a region from ``Helper.regions``, such as ``eu-west-1``.
            read_regions: Further regions with read replicas.
            platform: ``aws`` or ``gcp``; by default the region's.
            plan: Such as ``free`` or ``payg``.
            budget: US dollars per month.
            eviction: Whether old keys are evicted when the database is full.
            tls: Whether clients must use TLS. In a sandbox, they need the file ``REDIS_CA_FILE`` of ``env`` then.
            idempotency_key: 1 to 255 visible ASCII characters that identify this database: for 24 hours the same key
                returns it, even after a restart of the app. By default a new one for each call.
            timeout: Seconds during which the request is repeated if the outcome is unknown.

        Raises:
            OutcomeUnknown: If the outcome is still unknown after ``timeout``, or only a person can tell which database
                was created.
        """
        new = CreateDatabase(
            name=name,
            primary_region=primary_region,
            read_regions=tuple(read_regions),
            platform=platform,
            plan=plan,
            budget=budget,
            eviction=eviction,
            tls=tls,
        )
        return self._create(new, idempotency_key or str(uuid.uuid4()), Deadline(timeout))

    def change(
        self,
        database_id: str,
        *,
        name: str | None = None,
        eviction: bool | None = None,
        auto_upgrade: bool | None = None,
        daily_backup: bool | None = None,
        read_regions: Iterable[str] | None = None,
        plan: Plan | None = None,
        budget: int | None = None,
        tls: Literal[True] | None = None,
    ) -> Database:
        """
        Rename a database or change its settings, and return the changed database. Scope: ``databases:write``.

        Properties that are not given stay unchanged. Upstash makes one change after the other: if one fails,
        ``problem.applied`` of the ``ApiProblem`` lists those that were made.

        Args:
            database_id: The database.
            name: 1 to 64 letters, digits, spaces, and ``.:@+-_``.
            eviction: Whether old keys are evicted when the database is full.
            auto_upgrade: Whether it is upgraded to a larger plan automatically when it is full.
            daily_backup: Whether it is backed up daily.
            read_regions: All regions with read replicas.
            plan: Such as ``payg``.
            budget: US dollars per month.
            tls: True requires TLS. This cannot be undone.
        """
        change = ChangeDatabase(
            name=UNSET if name is None else name,
            eviction=UNSET if eviction is None else eviction,
            auto_upgrade=UNSET if auto_upgrade is None else auto_upgrade,
            daily_backup=UNSET if daily_backup is None else daily_backup,
            read_regions=UNSET if read_regions is None else tuple(read_regions),
            plan=UNSET if plan is None else plan,
            budget=UNSET if budget is None else budget,
            tls=UNSET if tls is None else tls,
        )
        return self._session.run(lambda daemon: daemon.change_database(database_id, change))

    def reset_password(self, database_id: str) -> Database:
        """Replace the password and REST tokens. The old ones stop working. Scope: ``databases:write``."""
        return self._session.run(lambda daemon: daemon.reset_password(database_id))

    def delete(self, database_id: str) -> None:
        """Delete the database and its data. Scope: ``databases:delete``."""
        self._session.run(lambda daemon: daemon.delete_database(database_id))

    def credentials(self, database_id: str) -> DatabaseCredentials:
        """
        Return the URLs, password, and tokens for connecting to one database. Scope: ``databases:credentials``.

        Raises:
            NotTheCreator: If the app did not create the database and the user did not grant access to all databases.
        """
        return self._session.run(lambda daemon: daemon.credentials(database_id))

    def env(self, database_id: str) -> dict[str, str]:
        """Return the credentials as variables for a ``.env`` file or ``os.environ``; see ``credentials``."""
        return self.credentials(database_id).env

    def _create(self, new: CreateDatabase, key: str, deadline: Deadline) -> Database:
        may_have_been_sent = False
        while True:
            try:
                return self._session.run(lambda daemon: daemon.create_database(new, idempotency_key=key))
            except DaemonUnreachable as error:
                may_have_been_sent = may_have_been_sent or error.sent
                if not may_have_been_sent or not deadline.wait(_RETRY_SECONDS):
                    raise
            except (OutcomeUnknown, RequestInProgress) as error:
                may_have_been_sent = True
                if error.retry_after is None or not deadline.wait(error.retry_after):
                    raise


def print_url(url: str) -> None:
    """Print the address at which the user signs in to stderr."""
    say(f"To sign in to Upstash, open this address in a browser on this machine: {url}")


class Helper:
    """
    The user's helper, for an app that has access.

    Every method raises a ``ClientError`` if it fails: ``DaemonUnreachable`` if the helper is not running,
    ``UnexpectedAnswer`` if another program is at its address, ``TokenRevoked`` if the user has revoked the access, and
    ``InsufficientScope`` if the user has not granted the required scope. ``str()`` of each is a sentence for a person.
    """

    def __init__(self, session: AppSession, name: str, granted: TokenInfo | NewToken) -> None:
        """Called by ``Helper.pair``."""
        self._session = session
        self._name = name
        self._granted = granted.scopes
        self._all_databases = granted.all_databases
        self.databases = Databases(session)
        """The databases of the connected account."""

    @classmethod
    def pair(
        cls,
        *,
        name: str,
        scopes: tuple[Scope, ...],
        reason: str = "",
        required: tuple[Scope, ...] | None = None,
        connect_if_needed: bool = False,
        on_code: OnCode = print_code,
        timeout: float | None = None,
        base_url: str | None = None,
        token_store: TokenStore | None = None,
    ) -> Helper:
        """
        Return a helper with access. The user is asked only if there is no stored token yet.

        The user sees the program, its name, the code, and the meaning of the scopes, and may grant fewer of them: check
        ``scopes`` of the result. The app's token is kept in the token store for the next run.

        An app that gets access again is a new app to the helper: it can read the credentials of databases that it
        created before only if the user grants access to all databases.

        Args:
            name: The app's name, shown to the user and in the keyring.
            scopes: The requested scopes: ``connection:read``, ``connection:write``, ``databases:read``,
                ``databases:write``, ``databases:delete``, ``databases:credentials``, ``upstash:read``,
                ``upstash:write``.
            reason: Why the app needs access, in a sentence that is shown to the user.
            required: The scopes without which a stored token is not used and the user is asked again; by default all.
                Pass fewer if the app works without the others, so that the user is not asked again for scopes that were
                refused.
            connect_if_needed: Also request ``connection:write``, but only while no account is connected, so that
                ``connect`` works and the user is not asked about a permission that the app does not need. Include
                ``connection:read`` in ``scopes``.
            on_code: Called with the code to show and the time (UTC) by which the user has to decide. By default both
                are printed to stderr.
            timeout: Seconds for the whole process. If a request cannot be made right now, it is retried within this
                time. None: until the request expires, without retries.
            base_url: The helper's loopback address; by default from the discovery file, or ``http://127.0.0.1:3000``.
            token_store: Stores the token; by default the system's keyring (``KeyringTokens``).

        Raises:
            PairingDenied: If the user denies the request.
            PairingExpired: If the user does not decide in time.
            PairingReplaced: If this program requests access again with the same name, such as in another thread.
            PairingPending: If a request from another process of this program with the same name is pending.
            TooManyPairings: If there were too many requests, or the user has just denied one.
            AppBlocked: If the user has blocked the app.
            WaitTimedOut: After ``timeout``.
            TokenStoreUnavailable: If the token cannot be stored; raised before the user is asked, if it is known then.
            DaemonUnreachable: If the helper is not running. The message contains the command that starts it.
            UnexpectedAnswer: If another program is at the helper's address. No token was sent to it.
            ValueError: If ``base_url`` is not a loopback address.
        """
        daemon = locate.find(base_url)
        session = AppSession(daemon, _keyring(name, daemon.label) if token_store is None else token_store)
        known = session.resume()
        if known is not None and set(scopes if required is None else required) <= set(known.scopes):
            helper = cls(session, name, known)
            if not (connect_if_needed and helper._needs_to_connect()):
                return helper
        request = PairingRequest(name=name, scopes=scopes, reason=reason, connect_if_needed=connect_if_needed)
        new = request_access(request, connect=session.client, on_code=on_code, deadline=Deadline(timeout))
        session.set_token(new)
        return cls(session, name, new)

    def __repr__(self) -> str:
        return f"Helper({self._name!r}, {self.base_url!r}, scopes={self._granted!r})"

    # --- the token ----------------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """The helper's address."""
        return self._session.base_url

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The granted scopes, which may be fewer than the requested ones."""
        return self._granted

    @property
    def all_databases(self) -> bool:
        """Whether ``databases:credentials`` applies to all databases, not only to those that the app created."""
        return self._all_databases

    def token(self) -> TokenInfo:
        """Return the current properties of the token: the app's id, identity, scopes, and expiration."""
        return self._session.run(AppClient.token)

    def rotate(self) -> None:
        """
        Replace the token by a new one, and store it. The old one stops working.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. This object uses it nevertheless.
        """
        self._session.rotate()

    def sign_out(self) -> None:
        """Revoke the token and remove it from the store. Later calls raise ``SignedOut``; ``pair`` asks again."""
        self._session.sign_out()

    # --- the account --------------------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """Return the connection to an Upstash account. Scope: ``connection:read``."""
        return self._session.run(AppClient.connection)

    def connect(
        self,
        *,
        open_browser: bool = True,
        wait: bool = True,
        timeout: float | None = None,
        on_url: Callable[[str], object] = print_url,
    ) -> Connection:
        """
        Let the user connect an Upstash account, and return the connection. Returns immediately if one is connected.

        Scopes: ``connection:read``, and ``connection:write`` unless an account is connected. If a sign-in is already
        pending, it is joined. If it was started elsewhere, it has to be finished there: its address is not given out.

        Args:
            open_browser: Whether the helper opens the user's browser, which it does at most once a minute.
            wait: Whether to wait for the sign-in. If not, the returned state is ``connecting``.
            timeout: Seconds to wait; None: until the sign-in expires after ten minutes.
            on_url: Called with the address at which the user signs in if no browser was opened. By default it is
                printed to stderr.

        Raises:
            SignInFailed: If the user canceled, or the sign-in failed; ``reason`` is a code for programs. It is
                ``replacement_declined`` if another account was connected meanwhile and the user decided to keep it.
            WaitTimedOut: After ``timeout``. The sign-in stays pending.
        """
        if "connection:write" not in self._granted:
            connection = self.connection()
            if connection.state == "connected":
                return connection
        started = self._session.run(lambda daemon: daemon.connect(open_browser=open_browser))
        if isinstance(started, Connection):
            return started
        if started.authorization_url and not started.browser_opened:
            on_url(started.authorization_url)
        if wait:
            ended = self._session.run(lambda daemon: daemon.wait_for_attempt(started.attempt_id, timeout=timeout))
            if ended.state != "succeeded":
                raise SignInFailed(ended)
        return self.connection()

    def _needs_to_connect(self) -> bool:
        """Return whether no account is connected, and the app may not start a sign-in."""
        if "connection:write" in self._granted or "connection:read" not in self._granted:
            return False
        return self.connection().state in _SIGN_IN_NEEDED

    # --- regions and events -------------------------------------------------------------------------------------------

    def regions(self) -> tuple[Region, ...]:
        """Return the regions in which a database can be created."""
        return self._session.run(AppClient.regions)

    def events(self, *, last_event_id: str = "", timeout: float | None = None) -> Iterator[Event]:
        """
        Yield events until the helper stops. Scope: ``connection:read``.

        If the stream breaks, it is resumed after the last event. Changes of databases require ``databases:read``.

        Args:
            last_event_id: Resume after this event.
            timeout: Seconds after which to stop.

        Raises:
            WaitTimedOut: After ``timeout``.
            TokenRevoked: If the access is revoked.
        """
        return self._session.events(last_event_id=last_event_id, timeout=timeout)


def _keyring(name: str, label: str) -> TokenStore:
    from upstash_helper.client.token_store import KeyringTokens

    return KeyringTokens(name, daemon=label)
