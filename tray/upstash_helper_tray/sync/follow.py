"""Following the daemon: discovering it, applying its events, and finding it again with an increasing back-off."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.client.daemon import START_COMMAND, DaemonClient, TrayInfo
from upstash_helper.client.errors import ApiProblem, DaemonUnreachable
from upstash_helper.client.events import GOODBYE
from upstash_helper.client.transport import CancelToken, not_running
from upstash_helper.protocol.errors import ClientError, VersionMismatch
from upstash_helper_tray.sync.read import Reader
from upstash_helper_tray.sync.start_daemon import StartFailed
from upstash_helper_tray.sync.state import (
    reduce_event,
    with_apps,
    with_confirmations,
    with_pairings,
    with_version_mismatch,
    without_daemon,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from upstash_helper.client.events import Event
    from upstash_helper_tray.sync.state import Need, StateStore, TrayState

logger = logging.getLogger(__name__)

_MIN_DELAY: Final = 0.1
MAX_ABSENT_DELAY: Final = 3.0
"""Seconds between two checks for a daemon that is not running, so that it is found within five. A check is two system
calls."""
MAX_REFUSED_DELAY: Final = 10.0
"""Seconds between two tries with a daemon that refuses the tray: it takes a person to change that."""
STABLE_STREAM_SECONDS: Final = 10.0
"""An event stream that lasted this long before it broke does not count as a failure."""
STOP_SECONDS: Final = 1.0
_MAX_BROKEN_STREAMS: Final = 3
"""Streams that break in a row before the user is told."""

_INTERNAL_ERROR: Final = "Internal error: the tray cannot follow the helper. See the tray's log."
_STREAM_KEEPS_BREAKING: Final = "The helper keeps closing its event stream. See the helper's log."


class Backoff:
    """Counts consecutive failures of each kind and returns the delay before the next try, which doubles each time."""

    def __init__(self) -> None:
        self._absences = 0
        self._breaks = 0
        self._refusals = 0

    @property
    def absences(self) -> int:
        """Consecutive checks that found no daemon."""
        return self._absences

    @property
    def breaks(self) -> int:
        """Consecutive streams of a running daemon that broke early."""
        return self._breaks

    def attached(self) -> None:
        """Record that a stream is open."""
        self._absences = self._refusals = 0

    def after_absence(self) -> float:
        """Return the delay after a check that found no daemon."""
        self._breaks = self._refusals = 0
        self._absences += 1
        return _doubled(_MIN_DELAY, self._absences, MAX_ABSENT_DELAY)

    def after_break(self, lasted: float) -> float:
        """Return the delay after a stream broke: none if it was stable, since then the daemon has most likely ended."""
        self._breaks = 1 if lasted >= STABLE_STREAM_SECONDS else self._breaks + 1
        return 0.0 if self._breaks == 1 else _doubled(_MIN_DELAY, self._breaks, MAX_REFUSED_DELAY)

    def after_refusal(self, retry_after: float | None = None) -> float:
        """Return the delay after the daemon, or another program at its address, refused the tray."""
        self._refusals += 1
        return max(_doubled(1.0, self._refusals, MAX_REFUSED_DELAY), retry_after or 0.0)


def _doubled(first: float, times: int, limit: float) -> float:
    return float(min(first * 2 ** min(times - 1, 16), limit))


class Follower:
    """
    A thread that follows the daemon for as long as the tray runs, across restarts and crashes of the daemon.

    While nothing happens it is blocked in a read. It polls only for a daemon that is not running.
    """

    def __init__(
        self,
        store: StateStore,
        *,
        runtime: Path,
        state: Path | None = None,
        introduction: Callable[[], TrayInfo] | None = None,
        start_command: str = START_COMMAND,
        retries: tuple[float, ...] | None = None,
    ) -> None:
        """
        Args:
            store: Receives the events.
            runtime: The profile's runtime folder.
            state: The profile's state folder, to wake a socket-activated daemon: once at first and once after a crash,
                but not after it was stopped. None never wakes one.
            introduction: Describes the tray to the daemon each time a stream is opened; None sends nothing.
            start_command: Command that the user is told to run.
            retries: See ``Reader``.
        """
        self._store = store
        self._runtime = runtime
        self._state_folder = state
        self._may_wake = True
        self._introduction = introduction
        self._start_command = start_command
        options = {} if retries is None else {"retries": retries}
        self._reader = Reader(store, on_failure=self._read_failed, **options)
        self._backoff = Backoff()
        self._stopped = threading.Event()
        self._wake_up = threading.Event()
        self._starts = 0
        self._start_error = ""
        self._lock = threading.Lock()
        self._cancel_token: CancelToken | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="tray-follower", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start following."""
        self._reader.start()
        self._thread.start()

    def stop(self) -> None:
        """Stop following. If a call to the daemon hangs, its thread ends with the process."""
        self._stopped.set()
        self._wake_up.set()
        self._reader.stop()
        self._cancel_stream(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def refresh_databases(self) -> None:
        """Read the databases from Upstash, bypassing the daemon's cache."""
        self._reader.request("refresh")

    @contextlib.contextmanager
    def starting(self) -> Generator[None]:
        """
        Show that the daemon is starting for the duration of the block, then look for it immediately.

        Raises:
            StartFailed: As raised by the block. The reason is shown until the daemon is running.
        """
        self._starts, self._start_error = self._starts + 1, ""
        self._store.update(lambda state: state if state.daemon == "running" else without_daemon(state, starting=True))
        try:
            yield
        except StartFailed as error:
            self._start_error = str(error)
            raise
        finally:
            self._starts -= 1
            self._backoff = Backoff()
            self._wake_up.set()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopped.is_set():
            delay = self._follow_once()
            self._wake_up.wait(delay)
            self._wake_up.clear()

    def _follow_once(self) -> float:
        """Follow one stream until it ends. Return the delay before the next try."""
        began = time.monotonic()
        try:
            daemon_stopped = self._follow()
        except ClientError as error:
            return self._on_error(error)
        except Exception:
            logger.exception("tray_follow_failed")
            return self._on_refused(_INTERNAL_ERROR)
        finally:
            self._reader.read_from(None)
        if daemon_stopped:
            return self._on_absent(None)
        delay = self._backoff.after_break(time.monotonic() - began)
        if self._backoff.breaks > _MAX_BROKEN_STREAMS:
            self._show_absent(_STREAM_KEEPS_BREAKING)
        return delay

    def _follow(self) -> bool:
        """Apply the events of one stream. Return whether the daemon announced that it is stopping."""
        state_folder, self._may_wake = self._state_folder if self._may_wake else None, False
        client = DaemonClient.discover(self._runtime, state=state_folder, start_command=self._start_command)
        cancel_token = CancelToken()
        with self._lock:
            self._cancel_token, self._failure = cancel_token, None
        if self._stopped.is_set():
            return False
        for event in self._open_events(client, cancel_token):
            if event.event == GOODBYE:
                self._may_wake = False
                return True
            if event.event == "hello":
                self._may_wake = True
                self._backoff.attached()
                self._reader.read_from(client)
            self._apply(client, event)
        with self._lock:
            if self._failure is not None:
                raise self._failure
        return False

    def _open_events(self, client: DaemonClient, cancel_token: CancelToken) -> Iterator[Event]:
        return client.follow(tray=self._introduction() if self._introduction else None, cancel_token=cancel_token)

    def _apply(self, client: DaemonClient, event: Event) -> None:
        needs: set[Need] = set()

        def apply(state: TrayState) -> TrayState:
            transition = reduce_event(state, event)
            needs.update(transition.needs)
            return transition.state

        self._store.update(apply, event=event)
        if "state" in needs:
            self._reader.request("status")
            self._read_pairings(client)
            self._read_confirmations(client)
        if needs & {"state", "apps"}:
            self._read_apps(client)
        if "databases" in needs:
            self._reader.request("databases")

    def _read_pairings(self, client: DaemonClient) -> None:
        # Without a readable ledger no app can request access, but everything else works.
        with _ignoring_unavailable("pairings"):
            pairings = client.pairings()
            self._store.update(lambda state: with_pairings(state, pairings))

    def _read_confirmations(self, client: DaemonClient) -> None:
        with _ignoring_unavailable("confirmations"):
            confirmations = client.confirmations()
            self._store.update(lambda state: with_confirmations(state, confirmations))

    def _read_apps(self, client: DaemonClient) -> None:
        with _ignoring_unavailable("apps"):
            apps = client.apps()
            self._store.update(lambda state: with_apps(state, apps))

    # --- failures -----------------------------------------------------------------------------------------------------

    def _on_error(self, error: ClientError) -> float:
        match error:
            case DaemonUnreachable():
                return self._on_absent(error)
            case ApiProblem():
                return self._on_refused(f"The helper refused the tray's request. {error}", error.retry_after)
            case VersionMismatch():
                return self._on_mismatch(error)
            case _:
                return self._on_refused(str(error))

    def _on_absent(self, error: DaemonUnreachable | None) -> float:
        error_text = "" if error is None or str(error) == not_running(self._start_command) else str(error)
        # A daemon that is stopping may close the first connection, which is not worth reporting. A hanging one is.
        if error is not None and not self._backoff.absences and not isinstance(error.__cause__, TimeoutError):
            error_text = ""
        delay = self._backoff.after_absence()
        self._show_absent(error_text)
        return delay

    def _on_refused(self, error_text: str, retry_after: float | None = None) -> float:
        delay = self._backoff.after_refusal(retry_after)
        self._show_absent(error_text)
        return delay

    def _on_mismatch(self, error: VersionMismatch) -> float:
        if not self._stopped.is_set():
            error_text = str(error)
            self._store.update(lambda state: with_version_mismatch(state, error_text))
        return self._backoff.after_refusal()

    def _show_absent(self, error_text: str) -> None:
        if not self._stopped.is_set():
            shown = error_text or self._start_error
            self._store.update(lambda state: without_daemon(state, shown, starting=self._starts > 0))

    def _read_failed(self, error: Exception) -> None:
        """Drop this daemon, whose status cannot be read. Called on the reader's thread."""
        self._cancel_stream(error)

    def _cancel_stream(self, failure: Exception | None) -> None:
        with self._lock:
            self._failure = failure
            if self._cancel_token is not None:
                self._cancel_token.cancel()


@contextlib.contextmanager
def _ignoring_unavailable(what: str) -> Generator[None]:
    try:
        yield
    except ApiProblem as error:
        # 404: a daemon of an earlier version, in which apps cannot ask questions.
        if error.status not in {404, 503}:
            raise
        logger.warning("tray_read_refused", extra={"what": what, "code": error.code})
