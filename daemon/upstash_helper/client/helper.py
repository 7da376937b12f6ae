"""
The public client: an app's way to the user's databases at Upstash, through the helper that has the API key.

It is synchronous, and may be used by several threads. In ``asyncio``: ``await asyncio.to_thread(Helper.pair, …)``.
"""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Final, Literal

from msgspec import UNSET

from upstash_helper.client import locate
from upstash_helper.client.app_session import AppClient, AppSession, ask_user, print_code
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
"""The daemon is sure after two minutes that a create whose answer was lost has made nothing."""

# After a daemon that broke off; it may be starting again.
_AGAIN_SECONDS: Final = 0.5


class Databases:
    """
    ``helper.databases``. Each method tells the scope that it needs, and raises ``InsufficientScope`` without it.

    All raise ``NotConnected`` if no account is connected, ``DatabaseNotFound`` for an id that the account does not
    have, and otherwise what ``Helper`` says.
    """

    def __init__(self, session: AppSession) -> None:
        """Is made by ``Helper``."""
        self._session = session

    def list(self, *, refresh: bool = False) -> tuple[Database, ...]:
        """
        Return all databases, by name. Scope: ``databases:read``.

        Args:
            refresh: Ask Upstash even if the daemon knows a list that is some seconds old.
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
        Make a database, and return it. Scope: ``databases:write``. What is left out is left to Upstash.

        However often the connection breaks on the way, one call makes one database: it is repeated with the same
        idempotency key until the outcome is known.

        Args:
            name: 1 to 64 letters, digits, spaces and ``.:@+-_``.
            primary_region: As ``Helper.regions`` lists them, such as ``eu-west-1``.
            read_regions: Further regions, to read from.
            platform: ``aws`` or ``gcp``; by default that of the region.
            plan: Such as ``free`` or ``payg``.
            budget: US dollars a month.
            eviction: Whether old keys make room for new ones when the database is full.
            tls: Whether clients must use TLS.
            idempotency_key: 1 to 255 visible ASCII characters that stand for this very database: for 24 hours the same
                key returns it, also when the app was started anew in between. By default one that is made for this
                call.
            timeout: Seconds in which an unknown outcome is asked for again.

        Raises:
            OutcomeUnknown: If it is not known in time, or only a person can tell which database it is.
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
        Rename a database, or change its settings, and return it as it is then. Scope: ``databases:write``.

        What is left out stays as it is. Upstash makes one change after the other: if one fails, ``ApiProblem`` has
        those that were made in ``problem.applied``.

        Args:
            database_id: Which one.
            name: 1 to 64 letters, digits, spaces and ``.:@+-_``.
            eviction: Whether old keys make room for new ones when the database is full.
            auto_upgrade: Whether it goes to a larger plan by itself when it is full.
            daily_backup: Whether it is backed up each day.
            read_regions: All the regions to read from.
            plan: Such as ``payg``.
            budget: US dollars a month.
            tls: True turns TLS on, and nothing turns it off again.
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
        """Give the database a new password and new REST tokens; the old ones stop working. ``databases:write``."""
        return self._session.run(lambda daemon: daemon.reset_password(database_id))

    def delete(self, database_id: str) -> None:
        """Delete the database and all that is in it. Scope: ``databases:delete``."""
        self._session.run(lambda daemon: daemon.delete_database(database_id))

    def credentials(self, database_id: str) -> DatabaseCredentials:
        """
        Return what lets a client into one database: URLs, password and tokens. Scope: ``databases:credentials``.

        Raises:
            NotTheCreator: If the app did not create it, and the user did not allow all databases.
        """
        return self._session.run(lambda daemon: daemon.credentials(database_id))

    def env(self, database_id: str) -> dict[str, str]:
        """Return the variables for a ``.env`` file or ``os.environ``, by their names; otherwise as ``credentials``."""
        return self.credentials(database_id).env

    def _create(self, new: CreateDatabase, key: str, deadline: Deadline) -> Database:
        begun = False
        while True:
            try:
                return self._session.run(lambda daemon: daemon.create_database(new, idempotency_key=key))
            except DaemonUnreachable as error:
                begun = begun or error.sent
                wait = _AGAIN_SECONDS if begun else None
                if wait is None or not deadline.wait(wait):
                    raise
            except (OutcomeUnknown, RequestInProgress) as error:
                begun = True
                if error.retry_after is None or not deadline.wait(error.retry_after):
                    raise


def print_url(url: str) -> None:
    """Show on stderr where the user signs in."""
    sys.stderr.write(f"Sign in to Upstash in a browser on this machine: {url}\n")


class Helper:
    """
    The user's helper, as one app that the user has let in.

    Every method raises a ``ClientError`` if it fails: ``DaemonUnreachable`` if the helper is not there,
    ``UnexpectedAnswer`` if another program is in its place, ``TokenRevoked`` if the user has shut the app out again,
    and ``InsufficientScope`` if the user has not granted what the method needs. Each is a sentence for a person, too.
    """

    def __init__(self, session: AppSession, name: str, granted: TokenInfo | NewToken) -> None:
        """Is called by ``Helper.pair``."""
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
        on_code: OnCode = print_code,
        timeout: float | None = None,
        base_url: str | None = None,
        token_store: TokenStore | None = None,
    ) -> Helper:
        """
        Return the helper, asking the user to let the app in unless that has been done before.

        The user is shown which program asks, its name, the code, and the scopes in plain words, and may grant fewer:
        look at ``scopes`` of what is returned. The app's token is kept in the token store, and used again next time.

        Whoever is let in anew is another app to the helper: it reads the credentials of the databases that it created
        before only if the user allows it all databases.

        Args:
            name: What the app calls itself, to the user and in the keyring.
            scopes: What it asks for: ``connection:read``, ``connection:write``, ``databases:read``,
                ``databases:write``, ``databases:delete``, ``databases:credentials``, ``upstash:read``,
                ``upstash:write``.
            reason: What for, in a sentence; the user reads it.
            required: Without which of them a stored token is not used and the user is asked again; by default all.
                Name fewer if the app can do without the others, so that the user is not asked again for what was
                refused.
            on_code: Is called with the code to show and the time (UTC) until which the user can decide. By default it
                is written to stderr.
            timeout: Seconds for all of it. The app waits its turn in them if the user cannot be asked now. None: as
                long as the user has for deciding, and no waiting for a turn.
            base_url: Where the helper is, on this machine's loopback; by default where it has announced itself, else
                ``http://127.0.0.1:3000``.
            token_store: Keeps the token; by default the system's keyring (``KeyringTokens``).

        Raises:
            PairingDenied: If the user says no.
            PairingExpired: If the user does not decide in time.
            PairingPending: If another request of this program still waits for the user.
            TooManyPairings: If the user was asked too often, or has just said no.
            AppBlocked: If the user does not want to be asked any more.
            WaitTimedOut: After ``timeout``.
            TokenStoreUnavailable: If the token cannot be kept: before the user is asked, wherever that is known.
            DaemonUnreachable: If the helper is not there. The sentence has the command that starts it.
            UnexpectedAnswer: If another program is at its address. It was sent no token.
            ValueError: If ``base_url`` is not on this machine's loopback.
        """
        daemon = locate.find(base_url)
        session = AppSession(daemon, _keyring(name, daemon.world) if token_store is None else token_store)
        known = session.resume()
        if known is not None and set(scopes if required is None else required) <= set(known.scopes):
            return cls(session, name, known)
        wish = PairingRequest(name=name, scopes=scopes, reason=reason)
        new = ask_user(wish, connect=session.connect, on_code=on_code, deadline=Deadline(timeout))
        session.adopt(new)
        return cls(session, name, new)

    def __repr__(self) -> str:
        return f"Helper({self._name!r}, {self.base_url!r}, scopes={self._granted!r})"

    # --- the token ----------------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        """Where the helper is."""
        return self._session.base_url

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What the user granted, which may be less than what was asked for."""
        return self._granted

    @property
    def all_databases(self) -> bool:
        """Whether ``databases:credentials`` is for all databases, and not only for those that the app created."""
        return self._all_databases

    def token(self) -> TokenInfo:
        """Return what the token is, as the helper sees it now: the app's id, its identity, scopes and end."""
        return self._session.run(AppClient.token)

    def rotate(self) -> None:
        """
        Take a new token in the place of the old one, which stops working, and store it.

        Raises:
            TokenStoreUnavailable: If it cannot be stored. This object goes on with it all the same.
        """
        self._session.rotate()

    def sign_out(self) -> None:
        """Give the token up and remove it from the store. Every later call raises ``SignedOut``; ``pair`` asks anew."""
        self._session.sign_out()

    # --- the account --------------------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """Return what the connection to an Upstash account is now. Scope: ``connection:read``."""
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
        Have the user connect an Upstash account, and return the connection; at once if one is connected.

        Scopes: ``connection:write`` and ``connection:read``. If a sign-in is under way already it is joined.

        Args:
            open_browser: Have the helper open the user's browser.
            wait: Until the user is through; else the state that is returned is ``connecting``.
            timeout: Seconds to wait; None: as long as the sign-in may take, which is ten minutes.
            on_url: Is called with the address at which the user signs in, if no browser was opened. By default it is
                written to stderr.

        Raises:
            SignInFailed: If the user gave up, or it went wrong; ``reason`` is for programs.
            WaitTimedOut: After ``timeout``. The sign-in goes on.
        """
        started = self._session.run(lambda daemon: daemon.connect(open_browser=open_browser))
        if isinstance(started, Connection):
            return started
        if not started.browser_opened:
            on_url(started.authorization_url)
        if wait:
            ended = self._session.run(lambda daemon: daemon.wait_for_attempt(started.attempt_id, timeout=timeout))
            if ended.state != "succeeded":
                raise SignInFailed(ended)
        return self.connection()

    # --- what else there is -------------------------------------------------------------------------------------------

    def regions(self) -> tuple[Region, ...]:
        """Return the regions that a database can be made in."""
        return self._session.run(AppClient.regions)

    def events(self, *, last_event_id: str = "", timeout: float | None = None) -> Iterator[Event]:
        """
        Yield what happens, until the helper stops or the app is shut out. Scope: ``connection:read``.

        A stream that breaks is resumed where it broke. Changes of databases come with ``databases:read``.

        Args:
            last_event_id: Go on after this event.
            timeout: Seconds after which to stop.

        Raises:
            WaitTimedOut: After ``timeout``.
        """
        return self._session.events(last_event_id=last_event_id, timeout=timeout)


def _keyring(name: str, world: str) -> TokenStore:
    from upstash_helper.client.token_store import KeyringTokens

    return KeyringTokens(name, daemon=world)
