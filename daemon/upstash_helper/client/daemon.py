"""The synchronous client of the daemon's loopback API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from upstash_helper import __version__
from upstash_helper.client import wake
from upstash_helper.client.errors import DaemonNotRunning, DaemonUnreachable, UnexpectedAnswer
from upstash_helper.client.events import GOODBYE, Event, FrameParser, decode_frame
from upstash_helper.client.transport import ANSWER_SECONDS, Transport, not_running, restart_command
from upstash_helper.protocol import discovery, literals, wire, wire_apps
from upstash_helper.protocol.errors import VersionMismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from upstash_helper.client.transport import CancelToken
    from upstash_helper.protocol.wire import RequestBody

MAX_AUDIT_PAGE: Final = 500
"""Entries that the API returns at most in one page."""

START_COMMAND: Final = "upstash-helper start"

# A stream that ends without a goodbye is resumed, after a delay so that a failing daemon is not overloaded.
_RESUME_SECONDS: Final = 0.5
_MAX_RESUMES: Final = 5

_ANNOUNCE_SECONDS: Final = 1.0
"""How long a daemon may take from its first answer until its discovery file has been replaced; see ``open_files``."""
_POLL_SECONDS: Final = 0.02

_FINAL_STATES: Final = frozenset({"succeeded", "failed", "expired"})

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class TrayInfo(NamedTuple):
    """What the tray icon reports about itself to the daemon."""

    backend: str
    """How the icon is shown: lower-case letters, digits, and hyphens."""
    notifies: bool
    """Whether the tray notifies the user of access requests, so that the daemon does not."""


class DaemonClient:
    """
    Calls the daemon. An instance keeps no connection and no state between calls, so threads may share it.

    Every method raises ``DaemonUnreachable`` if the daemon is not running or does not answer, ``ApiProblem`` if it
    answers with an error, and ``UnexpectedAnswer`` if the answer does not match this version of the API.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        timeout: float = ANSWER_SECONDS,
        start_command: str = START_COMMAND,
        daemon_version: str = "",
        verify_server: bool = False,
        proves: bool = True,
        reload_token: Callable[[], str | None] | None = None,
        may_use_sandbox: bool = False,
    ) -> None:
        """
        Args:
            base_url: Such as ``http://127.0.0.1:3000``.
            token: The owner's or an app's token; None for calls that need none.
            timeout: Seconds to wait for an answer.
            start_command: Command that error messages suggest if the daemon is not running.
            daemon_version: The daemon's version if it differs from ours, to explain an answer that cannot be read.
            verify_server: Without a token, check on each connection that the server is the daemon.
            proves: Whether the server must prove that it knows the token; see ``Transport``.
            reload_token: Returns the token of the daemon that is running now, in case it was restarted.
            may_use_sandbox: Whether its upstream is on this machine.

        Raises:
            ValueError: If ``base_url`` is not a loopback address.
        """
        self._transport = Transport(
            base_url,
            token,
            start_command=start_command,
            verify_server=verify_server,
            proves=proves,
            reload_token=reload_token,
        )
        self._timeout = timeout
        self._daemon_version = daemon_version
        self._may_use_sandbox = may_use_sandbox

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
        Return a client of the daemon that has announced itself in a runtime folder, with the owner's token.

        Args:
            runtime: The profile's runtime folder.
            state: The profile's state folder, to wake a socket-activated daemon; None does not wake one.
            timeout: Seconds to wait for an answer.
            start_command: Command that error messages suggest if the daemon is not running.

        Raises:
            DaemonUnreachable: If no daemon is running.
            DiscoveryRefused: If the discovery file may have been written by another user.
            VersionMismatch: If the running daemon speaks another version of the protocol.
        """
        restart = restart_command(start_command)
        found = _running_daemon(runtime, restart)
        if found is None and state is not None and wake.wake(runtime, state):
            found = _running_daemon(runtime, restart)
        if found is None:
            if (reason := discovery.waiting_reason(runtime)) is not None:
                raise DaemonUnreachable(reason)
            raise DaemonNotRunning(not_running(start_command))
        version = "" if found.version == __version__ else found.version
        return cls(
            found.base_url,
            found.owner_token,
            timeout=timeout,
            start_command=start_command,
            daemon_version=version,
            proves=found.proves,
            reload_token=_NewerToken(found, runtime, restart),
            may_use_sandbox=found.may_use_sandbox,
        )

    @property
    def base_url(self) -> str:
        """The daemon's address."""
        return self._transport.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: no resource is held. Supported for symmetry with other clients."""

    # --- the daemon ---------------------------------------------------------------------------------------------------

    def health(self) -> wire.Health:
        """Return the constant that identifies the daemon. Needs no token."""
        return self._ask("GET", "/health", wire.Health)

    def status(self, *, prompt: bool = True) -> wire.DaemonStatus:
        """
        Return the state of the daemon and of the connection.

        Args:
            prompt: Whether the keyring may ask the user for its password, or for access to the account's entry.
        """
        return self._ask("GET", "/v1/daemon" if prompt else "/v1/daemon?prompt=false", wire.DaemonStatus)

    def uses_sandbox(self) -> bool:
        """Return whether the daemon uses a sandbox, not Upstash. For Upstash, no request is sent."""
        return self._may_use_sandbox and self.status(prompt=False).upstream == "sandbox"

    def stop(self) -> wire.Recorded:
        """Stop the daemon. It answers before it stops."""
        return self._act("POST", "/v1/daemon/stop")

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection(self) -> wire.Connection:
        """Return the connection to an Upstash account."""
        return self._ask("GET", "/v1/connection", wire.Connection)

    def connect(
        self, *, open_browser: bool | None = None, force: bool = False, link: bool = False
    ) -> wire.StartedAttempt | wire.Connection:
        """
        Start a sign-in. Return the attempt, or the connection if an account is already connected.

        Args:
            open_browser: Whether the daemon opens the user's browser; None: as configured.
            force: Start a new sign-in even if an account is connected or a sign-in is pending.
            link: Whether to return ``link``, which may be on the command line of a browser.
        """
        path = "/v1/connection?link=true" if link else "/v1/connection"
        body = msgspec.json.encode(wire.Connect(open_browser=open_browser, force=force))
        with self._transport.open("POST", path, body=body, timeout=self._timeout) as response:
            content = self._transport.read(response)
            if response.status == 202:
                return self._decode(content, wire.StartedAttempt)
            return self._decode(content, wire.Connection)

    def attempt(self, attempt_id: str) -> wire.Attempt:
        """Return an attempt."""
        return self._ask("GET", _attempt(attempt_id), wire.Attempt)

    def cancel_attempt(self, attempt_id: str) -> wire.Attempt:
        """Cancel an attempt. In the state ``confirmation_required``, the connected account is kept."""
        return self._ask("DELETE", _attempt(attempt_id), wire.Attempt)

    def confirm_attempt(self, attempt_id: str) -> wire.Attempt:
        """Let an attempt in the state ``confirmation_required`` replace the connected account."""
        return self._ask("POST", f"{_attempt(attempt_id)}/confirm", wire.Attempt)

    def redirect_attempt(self, attempt_id: str, address: str) -> wire.Attempt:
        """
        Complete an attempt with the ``address`` at which the browser ended, if the redirect did not reach the daemon.

        The address contains the authorization code. It is sent once, and is neither kept nor part of any error.
        """
        body = wire.PastedAddress(address=address)
        return self._ask("POST", f"{_attempt(attempt_id)}/redirect", wire.Attempt, body=body)

    def wait_for_attempt(
        self,
        attempt_id: str,
        *,
        timeout: float | None = None,
        on_progress: Callable[[wire.Attempt], None] | None = None,
    ) -> wire.Attempt:
        """
        Wait until an attempt has succeeded, failed, or expired, and return it.

        Args:
            attempt_id: The attempt.
            timeout: Seconds; None: until the attempt expires.
            on_progress: Called with the attempt when it changes, until it is in a final state.

        Raises:
            WaitTimedOut: After ``timeout``.
        """
        for event in self.events(timeout=timeout, hello=True):
            if event.event in {"hello", "reset"}:
                # What happened before the stream was opened is not in it.
                attempt = self.attempt(attempt_id)
            elif isinstance(event.data, wire.Attempt) and event.data.attempt_id == attempt_id:
                attempt = event.data
            else:
                continue
            if attempt.state in _FINAL_STATES:
                return attempt
            if on_progress is not None:
                on_progress(attempt)
        message = "The daemon was stopped during the sign-in."
        raise DaemonUnreachable(message)

    def disconnect(self) -> wire.Disconnected:
        """Disconnect the account."""
        return self._ask("DELETE", "/v1/connection", wire.Disconnected)

    def use_api_key(self, *, email: str, api_key: str) -> wire.Connection:
        """Connect with an API key created in the Upstash console. It is verified with one call, then stored."""
        body = wire.ApiKey(email=email, api_key=api_key)
        return self._ask("PUT", "/v1/connection/api-key", wire.Connection, body=body)

    def give_email(self, email: str) -> wire.Connection:
        """Set the account's email address if the sign-in did not report it (state ``needs_email``)."""
        return self._ask("PUT", "/v1/connection/email", wire.Connection, body=wire.Email(email=email))

    # --- databases ----------------------------------------------------------------------------------------------------

    def regions(self) -> tuple[wire.Region, ...]:
        """Return the regions in which a database can be created."""
        return self._ask("GET", "/v1/regions", wire.RegionList).regions

    def databases(self, *, refresh: bool = False) -> Iterator[wire.Database]:
        """Yield all databases of the account, sorted by name. ``refresh`` bypasses the daemon's cache."""
        page = self.database_page(refresh=refresh)
        yield from page.databases
        while page.next_page_token is not None:
            page = self.database_page(page_token=page.next_page_token)
            yield from page.databases

    def database_page(
        self, *, page_size: int | None = None, page_token: str | None = None, refresh: bool = False
    ) -> wire.DatabaseList:
        """Return one page of the databases. ``refresh`` bypasses the daemon's cache."""
        query = {
            "page_size": page_size,
            "page_token": page_token,
            "refresh": "true" if refresh else None,
        }
        return self._ask("GET", _with_query("/v1/databases", query), wire.DatabaseList)

    def database(self, database_id: str) -> wire.Database:
        """Return one database."""
        return self._ask("GET", _database(database_id), wire.Database)

    def create_database(self, new: wire.CreateDatabase, *, idempotency_key: str) -> wire.Database:
        """
        Create a database.

        Args:
            new: Its properties.
            idempotency_key: If the outcome of a call is unknown, repeating it with the same key creates no second
                database.
        """
        headers = {"Idempotency-Key": idempotency_key}
        return self._ask("POST", "/v1/databases", wire.Database, body=new, headers=headers)

    def change_database(self, database_id: str, change: wire.ChangeDatabase) -> wire.Database:
        """Change the properties that are set in ``change``, and return the changed database."""
        return self._ask("PATCH", _database(database_id), wire.Database, body=change)

    def credentials(self, database_id: str) -> wire.DatabaseCredentials:
        """Return the credentials for connecting to one database."""
        return self._ask("GET", f"{_database(database_id)}/credentials", wire.DatabaseCredentials)

    def reset_password(self, database_id: str) -> wire.Database:
        """Replace the database's password and REST tokens. The old ones stop working."""
        return self._ask("POST", f"{_database(database_id)}/reset-password", wire.Database)

    def delete_database(self, database_id: str) -> None:
        """Delete the database and its data."""
        self._send("DELETE", _database(database_id))

    # --- access requests ----------------------------------------------------------------------------------------------

    def pairings(self) -> tuple[wire_apps.Pairing, ...]:
        """Return the pending requests, oldest first."""
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
        Approve a request. Approving it a second time has no effect.

        Args:
            pairing_id: The request.
            scopes: The scopes to grant, out of the requested ones; None: all of them.
            all_databases: Extend ``databases:credentials`` and ``databases:commands`` to all databases, not only those
                that the app created.
            once: Grant access for one hour only.
        """
        body = wire_apps.Approve(scopes=scopes, all_databases=all_databases, once=once)
        return self._ask("POST", f"{_pairing(pairing_id)}/approve", wire_apps.Pairing, body=body)

    def deny(self, pairing_id: str) -> wire_apps.Pairing:
        """Deny a request. The app may request access again after a while."""
        return self._ask("POST", f"{_pairing(pairing_id)}/deny", wire_apps.Pairing)

    def block(self, pairing_id: str, *, scope: literals.BlockScope = "identity") -> wire_apps.Blocked:
        """Deny a request, and reject further requests of the app, or of its whole site."""
        return self._ask("POST", f"{_pairing(pairing_id)}/block", wire_apps.Blocked, body=wire_apps.Block(scope=scope))

    def blocks(self) -> tuple[wire_apps.Blocked, ...]:
        """Return the blocked apps."""
        return self._ask("GET", "/v1/blocks", wire_apps.BlockList).blocks

    def unblock(self, block_id: str) -> None:
        """Allow a blocked app to request access again."""
        self._send("DELETE", f"/v1/blocks/{quote(block_id, safe='')}")

    # --- confirmations ------------------------------------------------------------------------------------------------

    def confirmations(self) -> tuple[wire_apps.Confirmation, ...]:
        """Return the questions from apps that are about to destroy or write something, oldest first."""
        return self._ask("GET", "/v1/confirmations", wire_apps.ConfirmationList).confirmations

    def allow_confirmation(self, confirmation_id: str) -> wire_apps.Confirmation:
        """Allow what the app is about to do: once, unless it is ``lasting``. Repeating this has no effect."""
        return self._ask("POST", f"{_confirmation(confirmation_id)}/allow", wire_apps.Confirmation)

    def deny_confirmation(self, confirmation_id: str) -> wire_apps.Confirmation:
        """Deny what the app is about to do. The app is told so."""
        return self._ask("POST", f"{_confirmation(confirmation_id)}/deny", wire_apps.Confirmation)

    # --- apps with access ---------------------------------------------------------------------------------------------

    def apps(self) -> tuple[wire_apps.App, ...]:
        """Return the apps that have access, newest first."""
        return self._ask("GET", "/v1/apps", wire_apps.AppList).apps

    def app(self, app_id: str) -> wire_apps.App:
        """Return one app."""
        return self._ask("GET", _app(app_id), wire_apps.App)

    def rename_app(self, app_id: str, name: str) -> wire_apps.App:
        """Set the name that the user sees for an app."""
        return self._ask("PATCH", _app(app_id), wire_apps.App, body=wire_apps.RenameApp(name=name))

    def revoke_app(self, app_id: str) -> wire.Recorded:
        """Revoke an app's access. Its token stops working immediately, even if that cannot be saved yet."""
        return self._act("DELETE", _app(app_id))

    # --- the audit log ------------------------------------------------------------------------------------------------

    def audit(
        self, *, app: str | None = None, since: str | None = None, limit: int | None = None
    ) -> Iterator[wire_apps.AuditPage]:
        """
        Yield the audit log page by page, newest entries first.

        Args:
            app: As for ``audit_page``.
            since: As for ``audit_page``.
            limit: Maximum number of entries on all pages together; None: no limit.
        """
        left, token = limit, None
        while left is None or left > 0:
            size = MAX_AUDIT_PAGE if left is None else min(left, MAX_AUDIT_PAGE)
            page = self.audit_page(app=app, since=since, page_size=size, page_token=token)
            yield page
            token = page.next_page_token
            if token is None:
                return
            left = None if left is None else left - len(page.entries)

    def audit_page(
        self,
        *,
        app: str | None = None,
        since: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> wire_apps.AuditPage:
        """
        Return one page of the audit log, newest entries first.

        Args:
            app: Only entries of the app with this id or name; ``owner`` for the user's own tools.
            since: Only entries from this time on (RFC 3339).
            page_size: Number of entries, at most ``MAX_AUDIT_PAGE``; None: the daemon's default.
            page_token: ``next_page_token`` of the previous page.
        """
        query = {"app": app, "since": since, "page_size": page_size, "page_token": page_token}
        return self._ask("GET", _with_query("/v1/audit", query), wire_apps.AuditPage)

    # --- the dashboard ------------------------------------------------------------------------------------------------

    def open_dashboard(
        self, *, numeric: bool = False, link: bool = False, section: str = "overview"
    ) -> wire_apps.DashboardTicket:
        """
        Return an address that opens the dashboard with the owner's rights. It works once, within a minute.

        The address is a secret: do not put it on a command line or into a log.

        Args:
            numeric: Whether to return ``numeric_url`` as well, for a browser that does not open names below
                ``localhost``. With ``link``, which returns it in any case: whether the link leads only there.
            link: Whether to return ``link``, which may be on the command line of a browser.
            section: The section of the dashboard that ``link`` shows.
        """
        wanted = {"numeric": "true" if numeric else "", "link": "true" if link else "", "section": section}
        query = "&".join(f"{name}={value}" for name, value in wanted.items() if value not in {"", "overview"})
        return self._ask("POST", f"/v1/dashboard/tickets?{query}".rstrip("?"), wire_apps.DashboardTicket)

    # --- events -------------------------------------------------------------------------------------------------------

    def events(
        self,
        *,
        last_event_id: str = "",
        timeout: float | None = None,
        hello: bool = False,
        tray: TrayInfo | None = None,
    ) -> Iterator[Event]:
        """
        Yield events until the daemon stops. If the stream breaks, it is resumed after the last event.

        Args:
            last_event_id: Resume after this event.
            timeout: Seconds after which to stop; None: never.
            hello: Also yield an event ``hello`` whenever a stream is opened. No later event is missed.
            tray: Follow as the tray icon.

        Raises:
            WaitTimedOut: After ``timeout``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        parser, idle_streams = FrameParser(last_event_id), 0
        while idle_streams < _MAX_RESUMES:
            if idle_streams:
                time.sleep(_RESUME_SECONDS)
            idle_streams += 1
            for event in self._stream(parser, deadline, tray):
                if event.event == GOODBYE:
                    return
                if event.event != "hello":
                    idle_streams = 0
                if event.event != "hello" or hello:
                    yield event
        message = f"The daemon at {self.base_url} keeps closing its event stream. See its log."
        raise DaemonUnreachable(message)

    def follow(self, *, tray: TrayInfo | None = None, cancel_token: CancelToken | None = None) -> Iterator[Event]:
        """
        Yield the events of a single stream: ``hello`` first, after which no event is missed, and ``bye`` last if the
        daemon stops. If the stream breaks, the events end.

        Args:
            tray: Follow as the tray icon.
            cancel_token: Ends the stream from another thread.
        """
        yield from self._stream(FrameParser(), None, tray, cancel_token)

    def _stream(
        self,
        parser: FrameParser,
        deadline: float | None,
        tray: TrayInfo | None,
        cancel_token: CancelToken | None = None,
    ) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream"}
        if parser.last_id:
            headers["Last-Event-ID"] = parser.last_id
        path = "/v1/events"
        if tray is not None:
            path += f"?{urlencode({'tray': tray.backend, 'notifies': str(tray.notifies).lower()})}"
        with self._transport.stream(path, headers, deadline=deadline, cancel_token=cancel_token) as lines:
            yield Event(id=parser.last_id, event="hello", data=None)
            for frame in parser.frames(lines):
                yield decode_frame(frame)

    # --- requests -----------------------------------------------------------------------------------------------------

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

    def _act(self, method: str, path: str) -> wire.Recorded:
        content = self._send(method, path)
        return self._decode(content, wire.Recorded) if content else wire.Recorded()

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
            message = f"The answer from {self.base_url} cannot be read ({why}). Try: upstash-helper restart"
            raise UnexpectedAnswer(message) from error


def _running_daemon(runtime: Path, restart: str) -> discovery.Discovery | None:
    try:
        found = discovery.read(runtime, restart_command=restart)
    except VersionMismatch:
        if discovery.is_running(runtime):
            raise
        return None  # left over from before an update
    # A running daemon holds the lock. Without it, another program may be at the address by now.
    if found is None or not discovery.is_running(runtime):
        return None
    discovery.require_same_network(found, runtime)
    return found


class _NewerToken:
    """
    Returns the owner token that has replaced a rejected one, if the daemon was started again at the same address.

    A daemon that is starting answers shortly before it has replaced the discovery file, so this waits briefly for that.
    """

    def __init__(self, rejected: discovery.Discovery, runtime: Path, restart: str) -> None:
        self._rejected = rejected
        self._runtime = runtime
        self._restart = restart

    def __call__(self) -> str | None:
        deadline = time.monotonic() + _ANNOUNCE_SECONDS
        while (found := _running_daemon(self._runtime, self._restart)) is None or self._is_rejected(found):
            if time.monotonic() >= deadline or not discovery.is_running(self._runtime):
                return None
            time.sleep(_POLL_SECONDS)
        if found.base_url != self._rejected.base_url:
            return None
        self._rejected = found
        return found.owner_token

    def _is_rejected(self, found: discovery.Discovery) -> bool:
        return found.owner_token == self._rejected.owner_token


def _with_query(path: str, query: dict[str, str | int | None]) -> str:
    """Append the parameters that are not None."""
    encoded = urlencode({name: value for name, value in query.items() if value is not None})
    return f"{path}?{encoded}" if encoded else path


def _attempt(attempt_id: str) -> str:
    return f"/v1/connection/attempts/{quote(attempt_id, safe='')}"


def _database(database_id: str) -> str:
    return f"/v1/databases/{quote(database_id, safe='')}"


def _pairing(pairing_id: str) -> str:
    return f"/v1/pairings/{quote(pairing_id, safe='')}"


def _confirmation(confirmation_id: str) -> str:
    return f"/v1/confirmations/{quote(confirmation_id, safe='')}"


def _app(app_id: str) -> str:
    return f"/v1/apps/{quote(app_id, safe='')}"
