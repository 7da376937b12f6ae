"""The ledger: what the daemon remembers beyond a restart, in one SQLite file."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from upstash_helper.storage.ledger.apps import SqliteAppRecords, SqlitePairingRecords
from upstash_helper.storage.ledger.audit import SqliteAuditRecords
from upstash_helper.storage.ledger.creates import SqliteCreateJournal
from upstash_helper.storage.ledger.schema import MIGRATIONS, Migration
from upstash_helper.storage.ledger.transactions import Transactions

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.broker.ledger import AppRecords, AuditRecords, CreateJournal, LedgerHealth, PairingRecords


class SqliteLedger:
    """The ``Ledger`` port. Nothing is opened before the first call; all SQL runs in a thread of its own."""

    def __init__(
        self,
        path: Path | None,
        *,
        deadline: float = 5.0,
        migrations: tuple[Migration, ...] = MIGRATIONS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            path: The file; its folder is made when it is first used. None: memory alone.
            deadline: Seconds that a call may take.
            migrations: How the tables came to be.
            monotonic: Tells seconds, so that a ledger that cannot be opened is not tried all the time.
        """
        self._transactions = Transactions(path, deadline=deadline, migrations=migrations, monotonic=monotonic)
        self._apps = SqliteAppRecords(self._transactions.run)
        self._pairings = SqlitePairingRecords(self._transactions.run)
        self._creates = SqliteCreateJournal(self._transactions.run)
        self._audit = SqliteAuditRecords(self._transactions.run)

    @property
    def apps(self) -> AppRecords:
        """The apps that are let in."""
        return self._apps

    @property
    def pairings(self) -> PairingRecords:
        """The requests to be let in."""
        return self._pairings

    @property
    def creates(self) -> CreateJournal:
        """The requests that make databases."""
        return self._creates

    @property
    def audit(self) -> AuditRecords:
        """Which app did what."""
        return self._audit

    def health(self) -> LedgerHealth:
        """Return the state as of the last call, without a call."""
        return self._transactions.health()

    async def close(self) -> None:
        """Close the file, once what was begun is done; never raises."""
        await self._transactions.close()
