"""What takes its time to read: the daemon's status, which may ask the keyring, and the databases, which ask Upstash."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol.errors import ClientError
from upstash_helper_tray import state

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.client.daemon import DaemonClient
    from upstash_helper_tray.state import View, Views

logger = logging.getLogger(__name__)

Slow = Literal["status", "databases", "refresh"]

MOST_DATABASES: Final = 1000
"""No menu has room for more."""
LEAST_SECONDS: Final = 1.0
"""Between two reads of the databases: a script that makes twenty of them is no reason to read twenty times."""
RETRIES: Final = (5.0, 30.0, 120.0)
"""Seconds after which databases that could not be read are tried again, then no more: after a login, the network may
come later than the tray."""


class Reader:
    """
    Reads on a thread of its own, so that whoever waits for the user's yes is not kept waiting by a slow answer.

    It sleeps until something is wanted. What is wanted several times before its turn comes is read once.
    """

    def __init__(
        self, views: Views, *, failed: Callable[[Exception], None], retries: tuple[float, ...] = RETRIES
    ) -> None:
        """
        Args:
            views: Where what was read goes.
            failed: Is told, on the thread, that the status could not be read.
            retries: As ``RETRIES``.
        """
        self._views = views
        self._failed = failed
        self._retries = retries
        self._changed = threading.Condition()
        self._client: DaemonClient | None = None
        self._wanted: set[Slow] = set()
        self._not_before = 0.0
        self._retry_at: float | None = None
        self._failures = 0
        self._over = False
        self._thread = threading.Thread(target=self._run, name="tray-reader", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, or leave it alone with a read that hangs: it ends with the process."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def read_from(self, client: DaemonClient | None) -> None:
        """Read from this daemon from now on, and nothing that was wanted from the one before."""
        with self._changed:
            self._client, self._retry_at, self._failures = client, None, 0
            self._wanted.clear()

    def want(self, *what: Slow) -> None:
        """Have it read soon. Returns at once."""
        with self._changed:
            self._wanted.update(what)
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
                self._tell_failure(client, error)

    def _next(self) -> tuple[Slow, DaemonClient] | None:
        """Wait for what is due, and return it; None at the end."""
        with self._changed:
            while not self._over:
                what, pause = self._due(time.monotonic())
                if what is not None and self._client is not None:
                    self._wanted.discard(what)
                    return what, self._client
                self._changed.wait(pause)
        return None

    def _due(self, now: float) -> tuple[Slow | None, float | None]:
        """Return what is due, or else the seconds until something is."""
        if self._client is None:
            return None, None
        for what in ("status", "refresh"):
            if what in self._wanted:
                return what, None
        if "databases" in self._wanted:
            wait = self._not_before - now
            return ("databases", None) if wait <= 0 else (None, wait)
        if self._retry_at is not None:
            wait = self._retry_at - now
            return ("databases", None) if wait <= 0 else (None, wait)
        return None, None

    def _read_status(self, client: DaemonClient) -> None:
        seen = self._views.current.connection
        try:
            status = client.status()
        except ClientError as error:
            self._tell_failure(client, error)
            return
        needs: set[state.Need] = set()

        def with_status(view: View) -> View:
            # An event that came in the meantime may be younger than the answer.
            newest = status.connection if view.connection is seen or view.connection is None else view.connection
            folded = state.with_status(view, status, newest)
            needs.update(folded.needs)
            return folded.view

        if self._is_current(client):
            self._views.change(with_status)
            if "databases" in needs:
                self.want("databases")

    def _read_databases(self, client: DaemonClient, *, refresh: bool) -> None:
        of = self._views.current.connection
        if not state.is_connected(self._views.current):
            return
        with self._changed:
            self._retry_at = None
            # A refresh reads all that a read that waits would.
            self._wanted.discard("databases")
        try:
            found = tuple(itertools.islice(client.databases(refresh=refresh), MOST_DATABASES))
        except ClientError as error:
            trouble = str(error)
            self._views.change(lambda view: state.without_databases(view, of, trouble))
            self._note_failure(client, error)
        else:
            self._views.change(lambda view: state.with_databases(view, of, found))
            self._failures = 0
        finally:
            self._not_before = time.monotonic() + LEAST_SECONDS

    def _note_failure(self, client: DaemonClient, error: ClientError) -> None:
        may_pass = isinstance(error, ApiProblem) and (error.status >= 500 or error.status == 429)
        with self._changed:
            if may_pass and client is self._client and self._failures < len(self._retries):
                self._retry_at = time.monotonic() + self._retries[self._failures]
                self._failures += 1

    def _tell_failure(self, client: DaemonClient, error: Exception) -> None:
        if self._is_current(client):
            self._failed(error)

    def _is_current(self, client: DaemonClient) -> bool:
        with self._changed:
            return client is self._client
