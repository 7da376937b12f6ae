"""
The public client: an app's way to the user's databases at Upstash, through the helper that has the API key.

It is synchronous, and may be used by several threads. In ``asyncio``: ``await asyncio.to_thread(Helper.pair, …)``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from upstash_helper.client import locate
from upstash_helper.client.app_calls import AppClient
from upstash_helper.client.app_databases import Databases
from upstash_helper.client.app_session import AppSession
from upstash_helper.client.asking import ask_user, print_code
from upstash_helper.client.deadline import Deadline
from upstash_helper.client.errors import SignInFailed
from upstash_helper.protocol.wire import Connection
from upstash_helper.protocol.wire_apps import AskPairing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upstash_helper.client.asking import OnCode
    from upstash_helper.client.events import Event
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.wire import Region
    from upstash_helper.protocol.wire_apps import NewToken, Scope, TokenInfo


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
        wish = AskPairing(name=name, scopes=scopes, reason=reason)
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
    from upstash_helper.client.keyring_tokens import KeyringTokens

    return KeyringTokens(name, world=world)
