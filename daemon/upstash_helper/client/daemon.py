"""A synchronous client of the daemon's loopback API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from upstash_helper import __version__
from upstash_helper.client import wake
from upstash_helper.client.errors import DaemonUnreachable, UnexpectedAnswer
from upstash_helper.client.events import GOODBYE, Event, FrameParser, typed
from upstash_helper.client.transport import ANSWER_SECONDS, Transport, not_running, restart_command
from upstash_helper.protocol import discovery, literals, wire, wire_apps
from upstash_helper.protocol.errors import VersionMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from upstash_helper.client.transport import Hangup
    from upstash_helper.protocol.wire import RequestBody

LARGEST_AUDIT_PAGE: Final = 500
"""Entries that the API answers at once."""

START_COMMAND: Final = "upstash-helper start"

# A stream that ends without a goodbye is resumed; the pause keeps a daemon that cannot serve it from being hammered.
_RESUME_SECONDS: Final = 0.5
_MOST_RESUMES: Final = 5

_FINAL_STATES: Final = frozenset({"succeeded", "failed", "expired"})

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Tray(NamedTuple):
    """How the tray icon introduces itself to the daemon."""

    backend: str
    """How it gets on the panel: lower-case letters, digits and hyphens."""
    notifies: bool
    """Whether it tells the user by itself that an app waits."""


class DaemonClient:
    """
    Calls the daemon. One instance may be used by several threads, for it keeps nothing between two calls.

    Every method raises ``DaemonUnreachable`` if the daemon is not there, ``ApiProblem`` if it refuses or fails, and
    ``UnexpectedAnswer`` if what answers is not this version of the API.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout: float = ANSWER_SECONDS,
        start_command: str = START_COMMAND,
        daemon_version: str = "",
        prove: bool = False,
        renew: Callable[[], str | None] | None = None,
    ) -> None:
        """
        Args:
            base_url: Such as ``http://127.0.0.1:3000``.
            token: The owner's or an app's token; None for the calls that need none.
            timeout: Seconds to wait for an answer.
            start_command: What to tell the user to run if the daemon is not there.
            daemon_version: The version it announced, to explain an answer that cannot be read.
            prove: See with each connection that it is the helper that answers, before the token is sent.
            renew: Returns the token of the daemon that runs now, for when another has been started meanwhile.

        Raises:
            ValueError: If ``base_url`` is not on this machine's loopback.
        """
        self._transport = Transport(base_url, token, start_command=start_command, prove=prove, renew=renew)
        self._timeout = timeout
        self._daemon_version = daemon_version

    @classmethod
    def discover(
        cls,
        runtime: Path,
        *,
        state: Path | None = None,
        timeout: float = ANSWER_SECONDS,
        start_command: str = START_COMMAND,
    ) -> DaemonClient:
        """
        Return a client of the daemon that announced itself in the runtime folder ``runtime``, as its owner.

        Args:
            runtime: The profile's runtime folder.
            state: Its state folder, to have a daemon started that a service manager starts on demand; None leaves one
                that is not there alone.
            timeout: Seconds to wait for an answer.
            start_command: What to tell the user to run if the daemon is not there.

        Raises:
            DaemonUnreachable: If none did.
            DiscoveryRefused: If the announcement may be another user's.
            VersionMismatch: If the daemon that runs speaks another version of the protocol.
        """
        restart = restart_command(start_command)
        found = _alive(runtime, restart)
        if found is None and state is not None and wake.wake(runtime, state):
            found = _alive(runtime, restart)
        if found is None:
            raise DaemonUnreachable(discovery.waiting_reason(runtime) or not_running(start_command))
        base_url = found.base_url
        version = "" if found.version == __version__ else found.version
        return cls(
            found.base_url,
            found.owner_token,
            timeout=timeout,
            start_command=start_command,
            daemon_version=version,
            renew=lambda: _token_at(base_url, runtime, restart),
        )

    @property
    def base_url(self) -> str:
        """Where the daemon is."""
        return self._transport.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open; ``with`` reads well and leaves room."""

    # --- the daemon ---------------------------------------------------------------------------------------------------

    def health(self) -> wire.Health:
        """Return the constant that says that it is an upstash-helper that answers."""
        return self._ask("GET", "/health", wire.Health)

    def status(self) -> wire.DaemonStatus:
        """Return the daemon's own state and that of the connection."""
        return self._ask("GET", "/v1/daemon", wire.DaemonStatus)

    def stop(self) -> None:
        """Ask the daemon to stop cleanly. It answers before it does."""
        self._send("POST", "/v1/daemon/stop")

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection(self) -> wire.Connection:
        """Return what the connection is now."""
        return self._ask("GET", "/v1/connection", wire.Connection)

    def connect(
        self, *, open_browser: bool | None = None, force: bool = False
    ) -> wire.StartedAttempt | wire.Connection:
        """
        Start connecting an account. Returns the attempt, or the connection if there is nothing to do.

        Args:
            open_browser: Whether the daemon opens the user's browser; None: as it is configured.
            force: Sign in anew although an account is connected or an attempt runs.
        """
        body = msgspec.json.encode(wire.Connect(open_browser=open_browser, force=force))
        with self._transport.open("POST", "/v1/connection", body=body, timeout=self._timeout) as response:
            content = self._transport.read(response)
            if response.status == 202:
                return self._decode(content, wire.StartedAttempt)
            return self._decode(content, wire.Connection)

    def attempt(self, attempt_id: str) -> wire.Attempt:
        """Return what became of an attempt."""
        return self._ask("GET", _attempt(attempt_id), wire.Attempt)

    def cancel_attempt(self, attempt_id: str) -> wire.Attempt:
        """Give up an attempt."""
        return self._ask("DELETE", _attempt(attempt_id), wire.Attempt)

    def redirect_attempt(self, attempt_id: str, address: str) -> wire.Attempt:
        """
        Give the ``address`` that the browser ended at, where it did not reach the daemon by itself.

        It goes over the wire once, and is neither kept nor repeated in an error.
        """
        body = wire.PastedAddress(address=address)
        return self._ask("POST", f"{_attempt(attempt_id)}/redirect", wire.Attempt, body=body)

    def wait_for_attempt(
        self, attempt_id: str, *, timeout: float | None = None, tell: Callable[[wire.Attempt], None] | None = None
    ) -> wire.Attempt:
        """
        Wait until an attempt has succeeded, failed or expired, and return it.

        Args:
            attempt_id: As the attempt's start answered it.
            timeout: Seconds; None: as long as the attempt lives.
            tell: Is called with the attempt whenever there is news of it and it is not over.

        Raises:
            WaitTimedOut: If it is still running then.
        """
        for event in self.events(timeout=timeout, hello=True):
            if event.event in {"hello", "reset"}:
                # What happened before the stream was open is not in it.
                attempt = self.attempt(attempt_id)
            elif isinstance(event.data, wire.Attempt) and event.data.attempt_id == attempt_id:
                attempt = event.data
            else:
                continue
            if attempt.state in _FINAL_STATES:
                return attempt
            if tell is not None:
                tell(attempt)
        message = "The daemon was stopped while the sign-in was running."
        raise DaemonUnreachable(message)

    def disconnect(self) -> wire.Disconnected:
        """Forget the account."""
        return self._ask("DELETE", "/v1/connection", wire.Disconnected)

    def use_api_key(self, *, email: str, api_key: str) -> wire.Connection:
        """Connect with an API key that was made in the Upstash console. It is proved by one call, then stored."""
        body = wire.ApiKey(email=email, api_key=api_key)
        return self._ask("PUT", "/v1/connection/api-key", wire.Connection, body=body)

    def give_email(self, email: str) -> wire.Connection:
        """Name the account when the sign-in did not (state ``needs_email``)."""
        return self._ask("PUT", "/v1/connection/email", wire.Connection, body=wire.Email(email=email))

    # --- databases ----------------------------------------------------------------------------------------------------

    def regions(self) -> tuple[wire.Region, ...]:
        """Return the regions that a database can be made in."""
        return self._ask("GET", "/v1/regions", wire.RegionList).regions

    def database_page(
        self, *, page_size: int | None = None, page_token: str | None = None, refresh: bool = False
    ) -> wire.DatabaseList:
        """Return one page of the databases. ``refresh`` asks Upstash even if the daemon knows a recent list."""
        query = {
            "page_size": page_size,
            "page_token": page_token,
            "refresh": "true" if refresh else None,
        }
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", f"/v1/databases?{given}" if given else "/v1/databases", wire.DatabaseList)

    def databases(self, *, refresh: bool = False) -> Iterator[wire.Database]:
        """Yield all databases of the account, by name."""
        page = self.database_page(refresh=refresh)
        yield from page.databases
        while page.next_page_token is not None:
            page = self.database_page(page_token=page.next_page_token)
            yield from page.databases

    def create_database(self, new: wire.CreateDatabase, *, idempotency_key: str) -> wire.Database:
        """
        Make a database.

        Args:
            new: What to make.
            idempotency_key: Repeat a call whose outcome is not known with the same key, and there will be one database.
        """
        headers = {"Idempotency-Key": idempotency_key}
        return self._ask("POST", "/v1/databases", wire.Database, body=new, headers=headers)

    def database(self, database_id: str) -> wire.Database:
        """Return one database."""
        return self._ask("GET", _database(database_id), wire.Database)

    def credentials(self, database_id: str) -> wire.DatabaseCredentials:
        """Return what lets a client into one database."""
        return self._ask("GET", f"{_database(database_id)}/credentials", wire.DatabaseCredentials)

    def change_database(self, database_id: str, change: wire.ChangeDatabase) -> wire.Database:
        """Change what ``change`` names, and return the database as it is then."""
        return self._ask("PATCH", _database(database_id), wire.Database, body=change)

    def reset_password(self, database_id: str) -> wire.Database:
        """Give the database a new password and new REST tokens; the old ones stop working."""
        return self._ask("POST", f"{_database(database_id)}/reset-password", wire.Database)

    def delete_database(self, database_id: str) -> None:
        """Delete the database and what is in it."""
        self._send("DELETE", _database(database_id))

    # --- who wants in -------------------------------------------------------------------------------------------------

    def pairings(self) -> tuple[wire_apps.Pairing, ...]:
        """Return the requests that wait for the user, the oldest first."""
        return self._ask("GET", "/v1/pairings", wire_apps.PairingList).pairings

    def approve(
        self,
        pairing_id: str,
        *,
        scopes: tuple[literals.Scope, ...] | None = None,
        all_databases: bool = False,
        once: bool = False,
    ) -> wire_apps.Pairing:
        """
        Let an app in. A second yes changes nothing.

        Args:
            pairing_id: Whose.
            scopes: Fewer than it wishes for; None: all of them.
            all_databases: With ``databases:credentials``: of all databases, not only of those that it created.
            once: For an hour.
        """
        body = wire_apps.Approve(scopes=scopes, all_databases=all_databases, once=once)
        return self._ask("POST", f"{_pairing(pairing_id)}/approve", wire_apps.Pairing, body=body)

    def deny(self, pairing_id: str) -> wire_apps.Pairing:
        """Do not let an app in. It may ask again after a while."""
        return self._ask("POST", f"{_pairing(pairing_id)}/deny", wire_apps.Pairing)

    def block(self, pairing_id: str) -> wire_apps.Blocked:
        """Do not let an app in, and never be asked by it again."""
        return self._ask("POST", f"{_pairing(pairing_id)}/block", wire_apps.Blocked)

    def blocks(self) -> tuple[wire_apps.Blocked, ...]:
        """Return who may not ask."""
        return self._ask("GET", "/v1/blocks", wire_apps.BlockList).blocks

    def unblock(self, block_id: str) -> None:
        """Let somebody ask again."""
        self._send("DELETE", f"/v1/blocks/{quote(block_id, safe='')}")

    # --- who is in ----------------------------------------------------------------------------------------------------

    def apps(self) -> tuple[wire_apps.App, ...]:
        """Return the apps that are let in, the newest first."""
        return self._ask("GET", "/v1/apps", wire_apps.AppList).apps

    def app(self, app_id: str) -> wire_apps.App:
        """Return one app."""
        return self._ask("GET", _app(app_id), wire_apps.App)

    def rename_app(self, app_id: str, name: str) -> wire_apps.App:
        """Give an app the name that the user wants to see."""
        return self._ask("PATCH", _app(app_id), wire_apps.App, body=wire_apps.RenameApp(name=name))

    def revoke_app(self, app_id: str) -> None:
        """Let an app in no longer. Its token stops working at once."""
        self._send("DELETE", _app(app_id))

    # --- who did what -------------------------------------------------------------------------------------------------

    def audit_page(
        self,
        *,
        app: str | None = None,
        since: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> wire_apps.AuditPage:
        """
        Return one page of the audit, the newest entry first.

        Args:
            app: Only of the app with this id or name; ``owner`` for the user's own tools.
            since: Only from this moment on (RFC 3339).
            page_size: Entries, at most ``LARGEST_AUDIT_PAGE``; None leaves it to the daemon.
            page_token: Of the page before.
        """
        query = {"app": app, "since": since, "page_size": page_size, "page_token": page_token}
        given = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", f"/v1/audit?{given}" if given else "/v1/audit", wire_apps.AuditPage)

    def audit(
        self, *, app: str | None = None, since: str | None = None, limit: int | None = None
    ) -> Iterator[wire_apps.AuditPage]:
        """
        Yield the audit page by page, the newest entry first.

        Args:
            app: As for ``audit_page``.
            since: As for ``audit_page``.
            limit: How many entries there are at most on all pages together; None: all.
        """
        left, token = limit, None
        while left is None or left > 0:
            size = LARGEST_AUDIT_PAGE if left is None else min(left, LARGEST_AUDIT_PAGE)
            page = self.audit_page(app=app, since=since, page_size=size, page_token=token)
            yield page
            token = page.next_page_token
            if token is None:
                return
            left = None if left is None else left - len(page.entries)

    # --- the dashboard ------------------------------------------------------------------------------------------------

    def open_dashboard(self) -> wire_apps.DashboardTicket:
        """
        Return an address that opens the dashboard with all that its user may do, once, within a minute. It is a secret:
        it belongs on no command line and in no log.
        """
        return self._ask("POST", "/v1/dashboard/tickets", wire_apps.DashboardTicket)

    # --- events -------------------------------------------------------------------------------------------------------

    def events(
        self, *, last_event_id: str = "", timeout: float | None = None, hello: bool = False, tray: Tray | None = None
    ) -> Iterator[Event]:
        """
        Yield what happens, until the daemon stops. A stream that breaks is resumed where it broke.

        Args:
            last_event_id: Go on after this event.
            timeout: Seconds after which to stop waiting; None: never.
            hello: Yield an event ``hello`` whenever a stream is open: from then on nothing is missed.
            tray: Follow as the tray icon.

        Raises:
            WaitTimedOut: After ``timeout``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        parser, idle = FrameParser(last_event_id), 0
        while idle < _MOST_RESUMES:
            if idle:
                time.sleep(_RESUME_SECONDS)
            idle += 1
            for event in self._stream(parser, deadline, tray):
                if event.event == GOODBYE:
                    return
                if event.event != "hello":
                    idle = 0
                if event.event != "hello" or hello:
                    yield event
        message = f"The daemon at {self.base_url} breaks off its event stream again and again. See its log."
        raise DaemonUnreachable(message)

    def follow(self, *, tray: Tray | None = None, hangup: Hangup | None = None) -> Iterator[Event]:
        """
        Yield what happens for as long as one stream lasts: first ``hello``, from which on nothing is missed, and last
        ``bye`` if the daemon stops. A stream that breaks just ends.

        Args:
            tray: Follow as the tray icon.
            hangup: Ends it from another thread.
        """
        yield from self._stream(FrameParser(), None, tray, hangup)

    def _stream(
        self, parser: FrameParser, deadline: float | None, tray: Tray | None, hangup: Hangup | None = None
    ) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"}
        if parser.last_id:
            headers["Last-Event-ID"] = parser.last_id
        path = "/v1/events"
        if tray is not None:
            path += f"?{urlencode({'tray': tray.backend, 'notifies': str(tray.notifies).lower()})}"
        with self._transport.stream(path, headers, deadline=deadline, hangup=hangup) as lines:
            yield Event(id=parser.last_id, event="hello", data=None)
            for frame in parser.frames(lines):
                yield typed(frame)

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[_Answer],
        *,
        body: RequestBody | None = None,
        headers: dict[str, str] | None = None,
    ) -> _Answer:
        return self._decode(self._send(method, path, body=body, headers=headers), kind)

    def _send(
        self, method: str, path: str, *, body: RequestBody | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        with self._transport.open(method, path, body=content, headers=headers, timeout=self._timeout) as response:
            return self._transport.read(response)

    def _decode(self, content: bytes, kind: type[_Answer]) -> _Answer:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            why = f"it has version {self._daemon_version}" if self._daemon_version else "it may be another program"
            message = f"The answer of {self.base_url} cannot be read ({why}). Try: upstash-helper restart"
            raise UnexpectedAnswer(message) from error


def _alive(runtime: Path, restart: str) -> discovery.Discovery | None:
    try:
        found = discovery.read(runtime, restart_command=restart)
    except VersionMismatch:
        if discovery.is_running(runtime):
            raise
        return None  # left behind before an update
    # Only a live daemon holds the lock. Without it the address may by now belong to any program.
    return found if discovery.is_running(runtime) else None


def _token_at(base_url: str, runtime: Path, restart: str) -> str | None:
    found = _alive(runtime, restart)
    return found.owner_token if found is not None and found.base_url == base_url else None


def _attempt(attempt_id: str) -> str:
    return f"/v1/connection/attempts/{quote(attempt_id, safe='')}"


def _database(database_id: str) -> str:
    return f"/v1/databases/{quote(database_id, safe='')}"


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"


def _app(app_id: str) -> str:
    return f"/v1/apps/{quote(app_id, safe='')}"
