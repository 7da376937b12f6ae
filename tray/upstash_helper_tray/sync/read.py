"""Slow reads: the daemon's status, which may query the keyring, and the databases, which come from Upstash."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol.errors import ClientError
from upstash_helper_tray.sync.state import is_connected, with_databases, with_databases_error, with_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper_tray.sync.state import Need, StateStore, TrayState

logger = logging.getLogger(__name__)

ReadRequest = Literal["status", "databases", "refresh"]
"""``refresh`` reads the databases from Upstash even if the daemon has a recent list."""

MAX_DATABASES: Final = 1000
"""More do not fit into a menu."""
MIN_READ_INTERVAL: Final = 1.0
"""Seconds between two reads of the databases: a script that creates twenty of them does not cause twenty reads."""
RETRIES: Final = (5.0, 30.0, 120.0)
"""Delays in seconds before databases that could not be read are tried again: after login, the network may come up later
than the tray."""


class Reader:
    """
    Reads on a worker thread, so that a slow answer does not delay access requests.

    The thread sleeps until something is requested. Requests for the same thing are combined until its turn comes.
    """

    def __init__(
        self, store: StateStore, *, on_failure: Callable[[Exception], None], retries: tuple[float, ...] = RETRIES
    ) -> None:
        """
        Args:
            store: Receives what was read.
            on_failure: Called on the worker thread if the status could not be read.
            retries: Like ``RETRIES``.
        """
        self._store = store
        self._on_failure = on_failure
        self._retries = retries
        self._changed = threading.Condition()
        self._client: DaemonClient | None = None
        self._requested: set[ReadRequest] = set()
        self._not_before = 0.0
        self._retry_at: float | None = None
        self._failures = 0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="tray-reader", daemon=True)

    @property
    def requested(self) -> frozenset[ReadRequest]:
        """The reads that are requested and have not started."""
        with self._changed:
            return frozenset(self._requested)

    @property
    def is_alive(self) -> bool:
        """Whether the worker thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the current read. If that hangs, the thread ends with the process."""
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def read_from(self, client: DaemonClient | None) -> None:
        """Read from this daemon from now on. Requests for the previous one are dropped."""
        with self._changed:
            self._client, self._retry_at, self._failures = client, None, 0
            self._requested.clear()

    def request(self, *what: ReadRequest) -> None:
        """Request a read. Returns immediately."""
        with self._changed:
            self._requested.update(what)
            if "databases" in what or "refresh" in what:
                self._retry_at, self._failures = None, 0
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            what, client = job
            try:
                if what == "status":
                    self._read_status(client)
                else:
                    self._read_databases(client, refresh=what == "refresh")
            except Exception as error:
                logger.exception("tray_read_failed", extra={"what": what})
                self._report_failure(client, error)

    def _next(self) -> tuple[ReadRequest, DaemonClient] | None:
        """Wait for the next read that is due. Return None when stopped."""
        with self._changed:
            while not self._stopped:
                what, delay = self._due(time.monotonic())
                if what is not None and self._client is not None:
                    self._requested.discard(what)
                    return what, self._client
                self._changed.wait(delay)
        return None

    def _due(self, now: float) -> tuple[ReadRequest | None, float | None]:
        """Return the read that is due, or else the seconds until one is; (None, None) if nothing is requested."""
        if self._client is None:
            return None, None
        for what in ("status", "refresh"):
            if what in self._requested:
                return what, None
        if "databases" in self._requested:
            delay = self._not_before - now
            return ("databases", None) if delay <= 0 else (None, delay)
        if self._retry_at is not None:
            delay = self._retry_at - now
            return ("databases", None) if delay <= 0 else (None, delay)
        return None, None

    def _read_status(self, client: DaemonClient) -> None:
        seen = self._store.current.connection
        try:
            status = client.status()
        except ClientError as error:
            self._report_failure(client, error)
            return
        needs: set[Need] = set()

        def apply(state: TrayState) -> TrayState:
            # An event that arrived in the meantime may be newer than the answer.
            newest = status.connection if state.connection is seen or state.connection is None else state.connection
            transition = with_status(state, status, newest)
            needs.update(transition.needs)
            return transition.state

        if self._is_current(client):
            self._store.update(apply)
            if "databases" in needs:
                self.request("databases")

    def _read_databases(self, client: DaemonClient, *, refresh: bool) -> None:
        read_for = self._store.current.connection
        if not is_connected(self._store.current):
            return
        with self._changed:
            self._retry_at = None
            # A refresh includes a pending plain read.
            self._requested.discard("databases")
        try:
            databases = tuple(itertools.islice(client.databases(refresh=refresh), MAX_DATABASES))
        except ClientError as error:
            error_text = str(error)
            self._store.update(lambda state: with_databases_error(state, read_for, error_text))
            self._schedule_retry(client, error)
        else:
            self._store.update(lambda state: with_databases(state, read_for, databases))
            self._failures = 0
        finally:
            self._not_before = time.monotonic() + MIN_READ_INTERVAL

    def _schedule_retry(self, client: DaemonClient, error: ClientError) -> None:
        temporary = isinstance(error, ApiProblem) and (error.status >= 500 or error.status == 429)
        with self._changed:
            if temporary and client is self._client and self._failures < len(self._retries):
                self._retry_at = time.monotonic() + self._retries[self._failures]
                self._failures += 1

    def _report_failure(self, client: DaemonClient, error: Exception) -> None:
        if self._is_current(client):
            self._on_failure(error)

    def _is_current(self, client: DaemonClient) -> bool:
        with self._changed:
            return client is self._client
