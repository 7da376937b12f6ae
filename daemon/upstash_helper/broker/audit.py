"""Which app did what, when, with which result."""

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

# An app that reads the same thing again and again is one entry with a count: it cannot flood others' entries out.
_MERGED_SECONDS: Final = 60.0


class Audit:
    """
    Writes each change down before it is made and gives the entry its result after: what was begun and never ended, for
    the machine lost its power, shows as such. What cannot be written down is not done.
    """

    def __init__(self, *, records: AuditRecords, clock: Clock) -> None:
        self._records = records
        self._clock = clock

    async def begin(self, caller: Caller, action: str, target: str) -> int:
        """
        Write down that something is about to be done, and return the entry's id.

        Raises:
            LedgerUnavailable: Then it must not be done.
            LedgerFull: As LedgerUnavailable.
        """
        return await self._add(caller, action, target, STARTED, merge=False)

    async def settle(self, entry_id: int, *, target: str, result: str) -> None:
        """
        Give an entry its result.

        Raises:
            LedgerUnavailable: The entry then stays without one.
            LedgerFull: As LedgerUnavailable.
        """
        await self._records.settle(entry_id, target=target, result=result)

    async def note(self, caller: Caller, action: str, target: str = "", result: str = OK) -> None:
        """
        Write down something that was done, or read.

        Raises:
            LedgerUnavailable: Then what was read must not be handed out.
            LedgerFull: As LedgerUnavailable.
        """
        await self._add(caller, action, target, result, merge=True)

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """
        Return entries, the newest first.

        Raises:
            LedgerUnavailable: If they cannot be read.
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
