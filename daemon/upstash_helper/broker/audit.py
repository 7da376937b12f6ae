"""The audit log: which app did what, when, and with which result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER, Caller
from upstash_helper.broker.ledger import NO_TOKEN_SHARE, OWNER_SHARE, AuditEntry, AuditQuery

if TYPE_CHECKING:
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import AuditRecords
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock

RETENTION_SECONDS: Final = 90 * 86_400.0
STARTED: Final = "started"
OK: Final = "ok"

MAX_TEXT_BYTES: Final = 200
"""Targets are cut to this many bytes of UTF-8, so that an app does not choose the size of the ledger."""
MAX_IDENTITY_BYTES: Final = 300
"""More than the longest origin has. The path of a program is cut in the middle, so that its end is kept."""
MAX_LATER: Final = 256
"""Entries that wait for a disk that cannot be written. Further ones are only counted."""

# An app that reads the same thing repeatedly gets one entry with a count, so it cannot flood the log.
_MERGED_SECONDS: Final = 60.0

# What the user decided, or needs to know, about an app. The app's other entries never displace it.
_KEPT_FOR_THE_USER: Final = frozenset({"app.agree_folder", "app.let_in", "app.sign_out", "token.misused"})


class Audit:
    """
    Records each change before it is made, and its result afterwards, so that a change interrupted by a power failure is
    visible. A change that cannot be recorded is not made, unless it takes rights away: that is recorded afterwards.
    """

    def __init__(self, *, records: AuditRecords, pending: PendingWrites, clock: Clock) -> None:
        self._records = records
        self._pending = pending
        self._clock = clock
        self._later: dict[tuple[str, ...], tuple[AuditEntry, str, bool]] = {}

    async def begin(self, caller: Caller, action: str, target: str) -> int:
        """
        Record that a change is about to be made, and return the entry's ID.

        Raises:
            LedgerUnavailable: The change must not be made then.
            LedgerFull: Like LedgerUnavailable.
        """
        entry = self._entry(caller, action, target, STARTED)
        return await self._records.add(entry, share=_share(caller, action), keep_seconds=RETENTION_SECONDS)

    async def settle(self, entry_id: int, *, target: str, result: str, refused: bool = False) -> None:
        """
        Set the result of an entry.

        Args:
            entry_id: The entry.
            target: What was changed.
            result: ``ok`` or the code of the problem.
            refused: Whether nothing was changed. Such entries are merged with those of the last minute.

        Raises:
            LedgerUnavailable: The entry has no result then.
            LedgerFull: Like LedgerUnavailable.
        """
        within = _MERGED_SECONDS if refused else None
        await self._records.settle(
            entry_id, target=shortened(target, MAX_TEXT_BYTES), result=result, merge_within=within
        )

    async def note(self, caller: Caller, action: str, target: str = "", result: str = OK) -> None:
        """
        Record something that was done or read, or was refused. What was refused is merged with what was refused in the
        last minute, whatever its target.

        Raises:
            LedgerUnavailable: What was read must not be returned then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._add(
            self._entry(caller, action, target, result), share=_share(caller, action), merge_any=result != OK
        )

    async def note_request(self, identity: Identity, name: str, target: str, *, automatic: bool = False) -> None:
        """
        Record that an app without access has requested it. All of them within a minute are one entry: their number is
        not limited, and what the user decides about each is recorded anyway. An automatic approval has its own
        entry.

        Raises:
            LedgerUnavailable: The request must not be shown to the user then.
            LedgerFull: Like LedgerUnavailable.
        """
        caller = Caller(kind="app", id="pairing", name=name, identity=identity)
        action = "pairing.approve_automatically" if automatic else "pairing.ask"
        await self._add(self._entry(caller, action, target, OK), share=NO_TOKEN_SHARE, merge_any=not automatic)

    def note_later(self, caller: Caller, action: str, target: str = "", result: str = OK) -> None:
        """Record something that has taken effect, as soon as the ledger accepts it. Never fails."""
        entry, share = self._entry(caller, action, target, result), _share(caller, action)
        key: tuple[str, ...] = (entry.app_id, entry.identity, entry.action, entry.target, entry.result)
        if key not in self._later and len(self._later) >= MAX_LATER:
            entry, share = self._entry(OWNER, "audit.not_recorded", "", OK), OWNER_SHARE
            key = ("audit.not_recorded",)
        if key in self._later:
            known, _, _ = self._later[key]
            entry = msgspec.structs.replace(known, count=known.count + 1, last_at=max(known.last_at, entry.last_at))
        self._later[key] = entry, share, result != OK
        self._pending.add("audit:" + "\0".join(key), lambda: self._write(key))

    async def _write(self, key: tuple[str, ...]) -> None:
        waiting = self._later.get(key)
        if waiting is None:
            return
        entry, share, merge_any = waiting
        await self._add(entry, share=share, merge_any=merge_any)
        now, _, _ = self._later.pop(key)
        if now.count > entry.count:  # it happened again while this was written
            more = msgspec.structs.replace(now, at=now.last_at, count=now.count - entry.count)
            self._later[key] = more, share, merge_any
            self._pending.add("audit:" + "\0".join(key), lambda: self._write(key))

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """
        Return entries, the newest first.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        return await self._records.page(query)

    async def _add(self, entry: AuditEntry, *, share: str, merge_any: bool) -> None:
        await self._records.add(
            entry,
            share=share,
            merge_within=_MERGED_SECONDS,
            merge_any=merge_any and share != OWNER_SHARE,
            keep_seconds=RETENTION_SECONDS,
        )

    def _entry(self, caller: Caller, action: str, target: str, result: str) -> AuditEntry:
        now = self._clock.time()
        return AuditEntry(
            at=now,
            last_at=now,
            app_id=caller.id,
            app_name=shortened(caller.name, MAX_TEXT_BYTES),
            identity=shortened(caller.shown, MAX_IDENTITY_BYTES),
            action=action,
            target=shortened(target, MAX_TEXT_BYTES),
            result=result,
        )


def _share(caller: Caller, action: str) -> str:
    return OWNER_SHARE if caller.is_owner or action in _KEPT_FOR_THE_USER else caller.id


def shortened(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` bytes of UTF-8: its beginning and its end, with an ellipsis in between."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode()
    kept = limit - len("…".encode())
    end = kept // 3
    return data[: kept - end].decode("utf-8", "ignore") + "…" + data[-end:].decode("utf-8", "ignore")
