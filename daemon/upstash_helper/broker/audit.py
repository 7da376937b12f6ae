"""The audit log: which app did what, when, and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.ledger import AuditEntry, AuditQuery

if TYPE_CHECKING:
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ledger import AuditRecords
    from upstash_helper.broker.ports import Clock

RETENTION_SECONDS: Final = 90 * 86_400.0
STARTED: Final = "started"
OK: Final = "ok"

# An app that reads the same thing repeatedly gets one entry with a count, so it cannot flood the log.
_MERGED_SECONDS: Final = 60.0


class Audit:
    """
    Records each change before it is made, and its result afterwards, so that a change interrupted by a power failure is
    visible. A change that cannot be recorded is not made.
    """

    def __init__(self, *, records: AuditRecords, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def begin(self, caller: Caller, action: str, target: str) -> int:
        """
        Record that a change is about to be made, and return the entry's ID.

        Raises:
            LedgerUnavailable: The change must not be made then.
            LedgerFull: Like LedgerUnavailable.
        """
        return await self._add(caller, action, target, STARTED, merge=False)

    async def settle(self, entry_id: int, *, target: str, result: str) -> None:
        """
        Set the result of an entry.

        Raises:
            LedgerUnavailable: The entry has no result then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._records.settle(entry_id, target=target, result=result)

    async def note(self, caller: Caller, action: str, target: str = "", result: str = OK) -> None:
        """
        Record something that was done or read.

        Raises:
            LedgerUnavailable: What was read must not be returned then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._add(caller, action, target, result, merge=True)

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """
        Return entries, the newest first.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        return await self._records.page(query)

    async def _add(self, caller: Caller, action: str, target: str, result: str, *, merge: bool) -> int:
        now = self._clock.time()
        entry = AuditEntry(
            at=now,
            last_at=now,
            app_id=caller.id,
            app_name=caller.name,
            identity=caller.shown,
            action=action,
            target=target,
            result=result,
        )
        return await self._records.add(
            entry, merge_since=now - _MERGED_SECONDS if merge else None, forget_before=now - RETENTION_SECONDS
        )
