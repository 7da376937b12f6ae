"""The ledger: what the daemon remembers across restarts, in one SQLite file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from upstash_helper.broker.errors import LedgerFull, LedgerUnavailable
from upstash_helper.storage.ledger.apps import SqliteAppRecords, SqlitePairingRecords
from upstash_helper.storage.ledger.audit import SqliteAuditRecords
from upstash_helper.storage.ledger.creates import SqliteCreateJournal
from upstash_helper.storage.ledger.elapsed import ElapsedTime
from upstash_helper.storage.ledger.schema import MIGRATIONS, Migration
from upstash_helper.storage.ledger.transactions import Transactions
from upstash_helper.system import clock

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.authorization_records import AuthorizationRecords
    from upstash_helper.broker.ledger import AppRecords, AuditRecords, CreateJournal, LedgerHealth, PairingRecords


class SqliteLedger:
    """The ``Ledger`` port. The file is opened by the first call; all SQL runs in a worker thread."""

    def __init__(
        self,
        path: Path | None,
        *,
        deadline: float = 5.0,
        migrations: tuple[Migration, ...] = MIGRATIONS,
        monotonic: Callable[[], float] = clock.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            path: The file. Its folder is created by the first call. None keeps the ledger in memory.
            deadline: Seconds that a call may take.
            migrations: All migrations, from the first version.
            monotonic: The clock for ages, and for the pause after a file could not be opened.
            wall: The Unix time, for the time between two runs.
        """
        self._transactions = Transactions(path, deadline=deadline, migrations=migrations, monotonic=monotonic)
        self._elapsed = ElapsedTime(monotonic=monotonic, wall=wall)
        self._apps = SqliteAppRecords(self._transactions.run, self._elapsed)
        self._pairings = SqlitePairingRecords(self._transactions.run)
        self._creates = SqliteCreateJournal(self._transactions.run, self._elapsed)
        self._audit = SqliteAuditRecords(self._transactions.run, self._elapsed)

    @property
    def apps(self) -> AppRecords:
        """The apps with access."""
        return self._apps

    @property
    def pairings(self) -> PairingRecords:
        """The access requests."""
        return self._pairings

    @property
    def creates(self) -> CreateJournal:
        """The requests that create databases."""
        return self._creates

    @property
    def audit(self) -> AuditRecords:
        """Which app did what."""
        return self._audit

    @property
    def authorization(self) -> AuthorizationRecords:
        """The clients of the authorization server, and their refresh tokens."""
        # Imported late: few daemons have such clients.
        from upstash_helper.storage.ledger.authorization import SqliteAuthorizationRecords

        return SqliteAuthorizationRecords(self._transactions.run)

    def health(self) -> LedgerHealth:
        """Return the state after the last call, without a new one."""
        return self._transactions.health()

    async def confirm(self) -> None:
        """Return once what was changed in memory only is in the file. Raises what the port allows."""
        await self._transactions.run(lambda _: None)
        health = self._transactions.health()
        if health.behind:
            raise LedgerUnavailable(health.detail)

    async def close(self) -> None:
        """Close the file after pending calls have finished. Never raises."""
        if self._elapsed.is_used:
            with contextlib.suppress(LedgerUnavailable, LedgerFull):  # some seconds of idle time are lost then
                await self._transactions.run(partial(self._elapsed.save, always=True))
        await self._transactions.close()
