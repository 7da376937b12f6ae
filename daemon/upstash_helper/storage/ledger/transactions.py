"""Runs the ledger's transactions one after another in a worker thread, and recovers from damage and disk errors."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.errors import LedgerFull, LedgerUnavailable
from upstash_helper.broker.ledger import LedgerHealth
from upstash_helper.storage.ledger.errors import error_kind, explain
from upstash_helper.storage.ledger.schema import Migration, transaction
from upstash_helper.storage.ledger.sqlite_file import (
    file_status,
    move_aside,
    open_file,
    open_memory,
    read_only,
)
from upstash_helper.system.blocking_call import Abandoned, Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from upstash_helper.protocol.literals import LedgerState

T = TypeVar("T")

_log = logging.getLogger(__name__)

_PAUSE: Final = 1.0
"""Seconds after the file could not be opened until the next attempt; calls fail immediately until then."""

_ATTEMPTS: Final = 3
"""The first may find a damaged file, and the second a read-only disk; the third must succeed."""

_IN_MEMORY: Final = "The ledger is kept in memory. After a restart, apps must request access again."


class Transactions:
    """Runs jobs on the ledger's database, which the first job opens."""

    def __init__(
        self, path: Path | None, *, deadline: float, migrations: tuple[Migration, ...], monotonic: Callable[[], float]
    ) -> None:
        """
        Args:
            path: The file; None for memory.
            deadline: Seconds that a transaction may take, including its time in the queue.
            migrations: All migrations, from the first version.
            monotonic: The clock for the pause between attempts to open the file.
        """
        self._path = path
        self._deadline = deadline
        self._migrations = migrations
        self._monotonic = monotonic
        self._worker = Worker("ledger")
        self._health = LedgerHealth(state="unused")
        self._used = False
        # The rest is used in the worker thread only.
        self._connection: sqlite3.Connection | None = None
        self._memory = path is None
        self._notice = _IN_MEMORY if path is None else ""
        # The file's status when it was copied to memory; None if its content is not in memory.
        self._copied: tuple[int, ...] | None = None
        # Which file is open: its device and number.
        self._file: tuple[int, ...] = ()
        self._open_error: LedgerUnavailable | LedgerFull | None = None
        self._open_failed_at = 0.0

    def health(self) -> LedgerHealth:
        """Return the state after the last call."""
        return self._health

    async def run(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """
        Run ``job`` in a transaction and return its result once the changes are on the disk.

        Raises:
            LedgerUnavailable: If that fails, or takes too long. Nothing was changed.
            LedgerFull: If the disk is full. Nothing was changed.
        """
        self._used = True
        failure: LedgerUnavailable | LedgerFull
        try:
            result = await self._worker.run(partial(self._execute, job), deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            failure = LedgerUnavailable(f"The disk of {self._place} does not respond. Check it, then try again.")
        except JobFailed as failed:
            failure = explain(failed.error, self._path)
        else:
            state: LedgerState = "memory" if self._memory else "ok"
            self._health = LedgerHealth(state=state, detail=self._notice, behind=self._is_behind)
            return result
        self._health = LedgerHealth(state="unavailable", detail=failure.detail, behind=self._is_behind)
        raise failure

    @property
    def _is_behind(self) -> bool:
        """Whether the file lacks changes that are in memory."""
        return self._memory and self._path is not None

    async def close(self) -> None:
        """Close the database after pending transactions. Never raises."""
        if not self._used:
            return
        try:
            await self._worker.run(self._close, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            _log.warning("The disk of %s does not respond, so the ledger was not closed.", self._place)
        except JobFailed as failed:
            _log.warning("The ledger could not be closed. %s", explain(failed.error, self._path).detail)

    @property
    def _place(self) -> str:
        return str(self._path or "the ledger in memory")

    # The following methods run in the worker thread.

    def _execute(self, job: Callable[[sqlite3.Connection], T], call: Call) -> T:
        if self._open_error is not None and self._monotonic() - self._open_failed_at < _PAUSE:
            raise type(self._open_error)(self._open_error.detail)
        self._open_error = None
        try:
            return self._try(job, call)
        except Abandoned:
            raise
        except Exception as error:
            if self._connection is None:
                self._open_error, self._open_failed_at = explain(error, self._path), self._monotonic()
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
        if self._memory and self._path is not None:
            self._leave_memory(self._path)
        connection = self._opened()
        call.check()
        with transaction(connection):
            result = job(connection)
            # From here on the caller waits for the outcome: it is not told that a committed change has failed.
            if not call.settle():
                raise Abandoned
        return result

    def _recover(self, error: Exception) -> bool:
        """Try to recover from ``error``; return whether another attempt makes sense."""
        if self._path is None or self._memory:
            return False
        # The error refers to the cursors of the failed job. Until they are gone, SQLite keeps a closed file open, and
        # Windows moves no file that is open.
        traceback.clear_frames(error.__traceback__)
        kind = error_kind(error, self._path)
        if kind == "damaged":
            self._move_aside(self._path)
        elif kind == "read_only":
            self._use_memory(self._path)
        elif kind == "disk":
            self._drop()  # opening the file again may help
        return kind in {"damaged", "read_only"}

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and not self._memory and self._path is not None:
            self._drop_if_replaced(self._path)
        if self._connection is None:
            if self._path is None:
                self._connection, _ = open_memory(self._migrations)
            elif read_only(self._path):
                self._connection = self._use_memory(self._path)
            else:
                self._connection = open_file(self._path, self._migrations)
                self._file = file_status(self._path)[:2]
        return self._connection

    def _drop_if_replaced(self, path: Path) -> None:
        """
        Open the file again if there is none at its path, or another one, such as a backup that was restored. What is
        written to the one that is open would be lost at the next start, and a revoked app would have access again.
        """
        if file_status(path)[:2] != self._file:
            self._drop()
            self._notice = f"{path} was removed or replaced by another program. The file that is there now is used."
            _log.warning("%s", self._notice)

    def _move_aside(self, path: Path) -> None:
        """Move the damaged file aside, so that the next attempt starts an empty one."""
        self._drop()
        aside = move_aside(path)
        self._notice = (
            f"{path} was damaged. It was moved to {aside} and an empty ledger was started, so apps must request access"
            " again."
        )

    def _use_memory(self, path: Path) -> sqlite3.Connection:
        """Continue in memory, with the content of the file."""
        self._drop()
        status = file_status(path)
        self._connection, complete = open_memory(self._migrations, path)
        self._copied = status if complete else None
        self._memory = True
        lost = "" if complete else " Its content could not be read."
        self._notice = (
            f"{path} cannot be written.{lost} The ledger is kept in memory, and its changes are lost at the next start."
            " Make the file and its folder writable."
        )
        if not complete:
            self._notice += " Then restart upstash-helper."
        _log.warning("%s", self._notice)
        return self._connection

    def _leave_memory(self, path: Path) -> None:
        """Write the ledger in memory to its file if that is possible again and the file is still the one it had."""
        memory = self._connection
        if memory is None or self._copied is None or read_only(path) or self._copied != file_status(path):
            return
        try:
            file = open_file(path, self._migrations)
            try:
                memory.backup(file)
            except BaseException:
                file.close()
                raise
        except Exception as error:  # noqa: BLE001 - whatever it is: the ledger in memory goes on
            _log.info("The ledger stays in memory: %s.", type(error).__name__)
            self._copied = file_status(path)  # opening it may have changed it
            return
        memory.close()
        self._file = file_status(path)[:2]
        self._connection, self._memory, self._notice, self._copied = file, False, "", None
        _log.warning("%s can be written again. It has the changes that were made meanwhile.", path)

    def _close(self, _: Call) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _drop(self) -> None:
        import sqlite3

        with contextlib.suppress(sqlite3.Error):
            self._close(Call())
