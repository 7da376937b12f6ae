"""Keeping the view up to date: finding the daemon, following its events, finding it again."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Final

from upstash_helper.client.daemon import START_COMMAND, DaemonClient, Tray
from upstash_helper.client.errors import ApiProblem, DaemonUnreachable
from upstash_helper.client.events import GOODBYE
from upstash_helper.client.transport import Hangup, not_running
from upstash_helper.protocol.errors import ClientError, VersionMismatch
from upstash_helper_tray import state as fold
from upstash_helper_tray.start_daemon import StartFailed
from upstash_helper_tray.sync.read import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.client.events import Event
    from upstash_helper_tray.state import View, Views

_SHORTEST: Final = 0.1
LONGEST_LOOK: Final = 3.0
"""Seconds between two looks for a daemon that is not there: it is found within five. A look is two system calls."""
LONGEST_REFUSAL: Final = 10.0
"""The same for one that is there and of no use: it takes a person to change that."""
GOOD_STREAM: Final = 10.0
"""Seconds after which a stream that broke was no failure."""


class Pace:
    """Counts what fails one after the other, and gives the pauses: each twice as long as the one before."""

    def __init__(self) -> None:
        self._absences = 0
        self._breaks = 0
        self._refusals = 0

    @property
    def absences(self) -> int:
        """Looks in a row that found no daemon."""
        return self._absences

    @property
    def breaks(self) -> int:
        """Streams in a row that broke soon, of a daemon that was there."""
        return self._breaks

    def attached(self) -> None:
        """Note that the daemon is being followed."""
        self._absences = self._refusals = 0

    def after_absence(self) -> float:
        """Return the pause after a look that found no daemon."""
        self._breaks = self._refusals = 0
        self._absences += 1
        return _doubled(_SHORTEST, self._absences, LONGEST_LOOK)

    def after_break(self, lasted: float) -> float:
        """Return the pause after a stream that broke: none after a good one, for then it is the daemon that went."""
        self._breaks = 1 if lasted >= GOOD_STREAM else self._breaks + 1
        return 0.0 if self._breaks == 1 else _doubled(_SHORTEST, self._breaks, LONGEST_REFUSAL)

    def after_refusal(self, retry_after: float | None = None) -> float:
        """Return the pause after the daemon, or what stands in its place, was of no use."""
        self._refusals += 1
        return max(_doubled(1.0, self._refusals, LONGEST_REFUSAL), retry_after or 0.0)


def _doubled(first: float, times: int, longest: float) -> float:
    return float(min(first * 2 ** min(times - 1, 16), longest))


logger = logging.getLogger(__name__)

STOP_SECONDS: Final = 1.0
_MOST_BREAKS: Final = 3
"""Streams that break one after the other before the user is told."""
_MISTAKE: Final = "The tray cannot follow the helper, by a mistake of its own. Its log says more."
_BREAKS_OFF: Final = "The helper breaks off its event stream again and again. Its log says more."


class Follower:
    """
    A thread that follows the daemon for as long as the tray runs, whatever becomes of the daemon.

    While nothing happens it sleeps in the kernel: nothing is polled but for the daemon itself while that is absent.
    """

    def __init__(
        self,
        views: Views,
        *,
        runtime: Path,
        state: Path | None = None,
        introduction: Callable[[], Tray] | None = None,
        start_command: str = START_COMMAND,
        retries: tuple[float, ...] | None = None,
    ) -> None:
        """
        Args:
            views: Where the news goes.
            runtime: The profile's runtime folder.
            state: Its state folder, to have a daemon started that a service manager starts on demand: once at first,
                and once when it has crashed, but not when it was stopped.
            introduction: What the daemon is told of the tray, each time that it is found; None: nothing.
            start_command: What the user is told to run.
            retries: Seconds after which databases that could not be read are tried again.
        """
        self._views = views
        self._runtime = runtime
        self._state = state
        self._knocks = True
        self._introduction = introduction
        self._start_command = start_command
        options = {} if retries is None else {"retries": retries}
        self._reader = Reader(views, failed=self._read_failed, **options)
        self._pace = Pace()
        self._over = threading.Event()
        self._wake = threading.Event()
        self._starts = 0
        self._start_failed = ""
        self._turn = threading.Lock()
        self._hangup: Hangup | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="tray-follower", daemon=True)

    def start(self) -> None:
        """Begin to look for the daemon."""
        self._reader.start()
        self._thread.start()

    def stop(self) -> None:
        """End. A call of the daemon that hangs is left alone: its thread ends with the process."""
        self._over.set()
        self._wake.set()
        self._reader.stop()
        self._hang_up(None)
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def refresh_databases(self) -> None:
        """Have Upstash asked for the databases anew."""
        self._reader.want("refresh")

    @contextlib.contextmanager
    def starting(self) -> Generator[None]:
        """
        Show that the daemon is being started, for the duration of the block, and then look for it at once.

        Raises:
            StartFailed: As the block did; why is shown until the daemon is there.
        """
        self._starts, self._start_failed = self._starts + 1, ""
        self._views.change(lambda view: view if view.daemon == "running" else fold.absent(view, starting=True))
        try:
            yield
        except StartFailed as error:
            self._start_failed = str(error)
            raise
        finally:
            self._starts -= 1
            self._pace = Pace()
            self._wake.set()

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.is_set():
            pause = self._follow_once()
            self._wake.wait(pause)
            self._wake.clear()

    def _follow_once(self) -> float:
        """Follow the daemon for as long as one stream lasts. Return the pause before the next look."""
        began = time.monotonic()
        try:
            stopped = self._follow()
        except DaemonUnreachable as error:
            return self._is_absent(error)
        except ApiProblem as error:
            return self._is_of_no_use(f"The helper does not let the tray follow it. {error}", error.retry_after)
        except ClientError as error:
            return self._is_mismatched(error) if isinstance(error, VersionMismatch) else self._is_of_no_use(str(error))
        except Exception:
            logger.exception("tray_follow_failed")
            return self._is_of_no_use(_MISTAKE)
        finally:
            self._reader.read_from(None)
        if stopped:
            return self._is_absent(None)
        pause = self._pace.after_break(time.monotonic() - began)
        if self._pace.breaks > _MOST_BREAKS:
            self._show_absent(_BREAKS_OFF)
        return pause

    def _follow(self) -> bool:
        """Fold the events of one stream into the view. Return whether the daemon said that it stops."""
        state, self._knocks = self._state if self._knocks else None, False
        client = DaemonClient.discover(self._runtime, state=state, start_command=self._start_command)
        hangup = Hangup()
        with self._turn:
            self._hangup, self._failure = hangup, None
        if self._over.is_set():
            return False
        for event in self._open_events(client, hangup):
            if event.event == GOODBYE:
                self._knocks = False
                return True
            if event.event == "hello":
                self._knocks = True
                self._pace.attached()
                self._reader.read_from(client)
            self._take(client, event)
        with self._turn:
            if self._failure is not None:
                raise self._failure
        return False

    def _open_events(self, client: DaemonClient, hangup: Hangup) -> Iterator[Event]:
        return client.follow(tray=self._introduction() if self._introduction else None, hangup=hangup)

    def _take(self, client: DaemonClient, event: Event) -> None:
        needs: set[fold.Need] = set()

        def with_event(view: View) -> View:
            folded = fold.folded(view, event)
            needs.update(folded.needs)
            return folded.view

        self._views.change(with_event, event=event)
        if "state" in needs:
            self._reader.want("status")
            self._read_pairings(client)
        if needs & {"state", "apps"}:
            self._read_apps(client)
        if "databases" in needs:
            self._reader.want("databases")

    def _read_pairings(self, client: DaemonClient) -> None:
        # Where the ledger cannot be read, nobody can ask to be let in; all else works.
        with _unless_refused("pairings"):
            pairings = client.pairings()
            self._views.change(lambda view: fold.with_pairings(view, pairings))

    def _read_apps(self, client: DaemonClient) -> None:
        with _unless_refused("apps"):
            apps = client.apps()
            self._views.change(lambda view: fold.with_apps(view, apps))

    # --- what went wrong ----------------------------------------------------------------------------------------------

    def _is_absent(self, error: DaemonUnreachable | None) -> float:
        trouble = "" if error is None or str(error) == not_running(self._start_command) else str(error)
        # A daemon that goes may break off the first look, which is nothing to tell. One that hangs is.
        if error is not None and not self._pace.absences and not isinstance(error.__cause__, TimeoutError):
            trouble = ""
        pause = self._pace.after_absence()
        self._show_absent(trouble)
        return pause

    def _is_of_no_use(self, trouble: str, retry_after: float | None = None) -> float:
        pause = self._pace.after_refusal(retry_after)
        self._show_absent(trouble)
        return pause

    def _is_mismatched(self, error: VersionMismatch) -> float:
        if not self._over.is_set():
            trouble = str(error)
            self._views.change(lambda view: fold.mismatched(view, trouble))
        return self._pace.after_refusal()

    def _show_absent(self, trouble: str) -> None:
        if not self._over.is_set():
            shown = trouble or self._start_failed
            self._views.change(lambda view: fold.absent(view, shown, starting=self._starts > 0))

    def _read_failed(self, error: Exception) -> None:
        """Take note, on the reader's thread, that this daemon cannot be read."""
        self._hang_up(error)

    def _hang_up(self, failure: Exception | None) -> None:
        with self._turn:
            self._failure = failure
            if self._hangup is not None:
                self._hangup.hang_up()


@contextlib.contextmanager
def _unless_refused(what: str) -> Generator[None]:
    try:
        yield
    except ApiProblem as error:
        if error.status != 503:
            raise
        logger.warning("tray_read_refused", extra={"what": what, "code": error.code})
