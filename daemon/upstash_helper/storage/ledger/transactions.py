"""The ledger's thread: every transaction of the daemon, one after another, and what becomes of those that fail."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.errors import LedgerFull, LedgerUnavailable
from upstash_helper.broker.ledger import LedgerHealth
from upstash_helper.storage.ledger.errors import error_kind, explain
from upstash_helper.storage.ledger.schema import Migration, transaction
from upstash_helper.storage.ledger.sqlite_file import open_file, open_memory, quarantine, read_only
from upstash_helper.system.blocking_call import Abandoned, Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds after a failure to open it until that is tried anew: many may ask meanwhile."""

_ATTEMPTS: Final = 3
"""A damaged file is moved aside, a disk that turns out to be read-only is given up, and then it has to work."""

_IN_MEMORY: Final = "The ledger is kept in memory: after a restart, apps must ask to be let in anew."


class Transactions:
    """Carries out jobs on the ledger's database, which is opened when the first one comes."""

    def __init__(
        self, path: Path | None, *, deadline: float, migrations: tuple[Migration, ...], monotonic: Callable[[], float]
    ) -> None:
        """
        Args:
            path: The file; None for memory.
            deadline: Seconds that a transaction may take, its time in the queue included.
            migrations: How the tables came to be.
            monotonic: Tells seconds.
        """
        self._path = path
        self._deadline = deadline
        self._migrations = migrations
        self._monotonic = monotonic
        self._worker = Worker("ledger")
        self._health = LedgerHealth(state="unused")
        self._used = False
        # The rest is the thread's.
        self._connection: sqlite3.Connection | None = None
        self._memory = path is None
        self._notice = _IN_MEMORY if path is None else ""
        self._refusal: LedgerUnavailable | LedgerFull | None = None
        self._refused_at = 0.0

    def health(self) -> LedgerHealth:
        """Return the state as of the last call."""
        return self._health

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """
        Return what ``job`` returns, once all that it did is on the disk; if anything is raised, nothing of it is.

        Raises:
            LedgerUnavailable: If it cannot be done, or not in time.
            LedgerFull: If the disk is full.
        """
        self._used = True
        failure: LedgerUnavailable | LedgerFull
        try:
            result = await self._worker.run(partial(self._carry_out, job), deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            failure = LedgerUnavailable(f"The disk of {self._place} does not answer. Check it, then try again.")
        except JobFailed as failed:
            failure = explain(failed.error, self._path)
        else:
            self._health = LedgerHealth(state="memory" if self._memory else "ok", detail=self._notice)
            return result
        self._health = LedgerHealth(state="unavailable", detail=failure.detail)
        raise failure

    async def close(self) -> None:
        """Close the database, after what is under way; never raises."""
        if not self._used:
            return
        try:
            await self._worker.run(self._close, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            _log.warning("The disk of %s does not answer, so its ledger was not closed.", self._place)
        except JobFailed as failed:
            _log.warning("The ledger was not closed properly. %s", explain(failed.error, self._path).detail)

    @property
    def _place(self) -> str:
        return str(self._path or "the ledger in memory")

    # What follows is called in the thread.

    def _carry_out(self, job: Callable[[sqlite3.Connection], T], call: Call) -> T:
        if self._refusal is not None and self._monotonic() - self._refused_at < _PAUSE:
            raise type(self._refusal)(self._refusal.detail)
        self._refusal = None
        try:
            return self._try(job, call)
        except Abandoned:
            raise
        except Exception as error:
            if self._connection is None:
                self._refusal, self._refused_at = explain(error, self._path), self._monotonic()
            raise

    def _try(self, job: Callable[[sqlite3.Connection], T], call: Call) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._transact(job, call)
            except Abandoned:
                raise
            except Exception as error:
                if not self._recover(error):
                    raise
        return self._transact(job, call)

    def _transact(self, job: Callable[[sqlite3.Connection], T], call: Call) -> T:
        connection = self._opened()
        call.check()
        with transaction(connection):
            result = job(connection)
            # From here on the caller waits for the outcome, and so never takes for undone what was done.
            if not call.settle():
                raise Abandoned
        return result

    def _recover(self, error: Exception) -> bool:
        """Do what can be done about ``error``; return whether it is worth another attempt."""
        if self._path is None or self._memory:
            return False
        fault = error_kind(error, self._path)
        if fault == "damaged":
            self._move_aside(self._path)
        elif fault == "read_only":
            self._give_up(self._path)
        elif fault == "disk":
            self._drop()  # opening the file anew may mend it
        return fault in {"damaged", "read_only"}

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._path is None:
                self._connection, _ = open_memory(self._migrations)
            elif read_only(self._path):
                self._connection = self._give_up(self._path)
            else:
                self._connection = open_file(self._path, self._migrations)
        return self._connection

    def _move_aside(self, path: Path) -> None:
        """Begin an empty file."""
        self._drop()
        aside = quarantine(path)
        self._notice = (
            f"{path} was damaged. It is {aside} now and an empty one was begun, so apps must ask to be let in anew."
        )

    def _give_up(self, path: Path) -> sqlite3.Connection:
        """Go on in memory, with what the file holds."""
        self._drop()
        self._connection, whole = open_memory(self._migrations, path)
        self._memory = True
        lost = "" if whole else " What it held could not be read."
        self._notice = (
            f"{path} cannot be written.{lost} The ledger is kept in memory, and what is new in it is forgotten at the "
            "next start. Make the file and its folder writable, then restart upstash-helper."
        )
        _log.warning("%s", self._notice)
        return self._connection

    def _close(self, _: Call) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _drop(self) -> None:
        import sqlite3

        with contextlib.suppress(sqlite3.Error):
            self._close(Call())
