"""The audit of tools: a change is recorded before it is made, and its result afterward, as for API requests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from upstash_helper.broker.audit import OK
from upstash_helper.broker.errors import AccessEnded, DatabaseNotFound, HelperError, OutcomeUnknown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Entry:
    """The audit entry for a change that is being made."""

    def __init__(self, target: str, *, has_access: Callable[[], bool]) -> None:
        """
        Args:
            target: What is changed.
            has_access: Returns whether the agent still has access.
        """
        self.target = target
        """What is changed. The work can name it more precisely once it is known."""
        self._has_access = has_access

    def check_access(self) -> None:
        """
        Check that the agent still has access. Work that reads something before it sends the change does so in between:
        a user who has answered yes by mistake can only revoke the access.

        Raises:
            AccessEnded: If it has not.
        """
        if not self._has_access():
            raise AccessEnded


class Recorder:
    """Records what tools change and disclose."""

    def __init__(self, *, audit: Audit, has_access: Callable[[Caller], bool], background: Background) -> None:
        """
        Args:
            audit: The audit log.
            has_access: Returns whether an agent still has access.
            background: Completes changes whose agent has disconnected.
        """
        self._audit = audit
        self._has_access = has_access
        self._background = background

    async def change(self, caller: Caller, action: str, target: str, work: Callable[[Entry], Awaitable[T]]) -> T:
        """
        Record a change and make it. Both are completed even if the agent disconnects.

        Args:
            caller: The agent.
            action: The kind of change, such as ``database.delete``.
            target: What is changed.
            work: Makes the change.

        Raises:
            LedgerUnavailable: If it cannot be recorded. It is not made.
            LedgerFull: Like LedgerUnavailable.
            AccessEnded: If the agent's access has ended. The change is not made then.
            HelperError: What ``work`` raises.
        """
        entry = Entry(target, has_access=lambda: self._has_access(caller))
        return await self._background.finish(self._change(caller, action, entry, work))

    async def disclosure(self, caller: Caller, action: str, target: str) -> None:
        """
        Record that credentials are about to be returned.

        Raises:
            LedgerUnavailable: If this cannot be recorded. The credentials must not be returned.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._audit.note(caller, action, target)

    async def _change(self, caller: Caller, action: str, entry: Entry, work: Callable[[Entry], Awaitable[T]]) -> T:
        entry_id = await self._audit.begin(caller, action, entry.target)
        result, is_refused = "internal_error", False
        try:
            entry.check_access()  # it may have ended while this was recorded
            done = await work(entry)
            result = OK
        except HelperError as error:
            result, is_refused = error.code, not isinstance(error, OutcomeUnknown)
            if isinstance(error, DatabaseNotFound):
                entry.target = ""  # the agent may have made it up
            raise
        else:
            return done
        finally:
            await self._settle(entry_id, entry, result, refused=is_refused and not caller.is_owner)

    async def _settle(self, entry_id: int, entry: Entry, result: str, *, refused: bool) -> None:
        try:
            await self._audit.settle(entry_id, target=entry.target, result=result, refused=refused)
        except HelperError as error:
            # The change has been made, and the entry shows that it was started.
            logger.warning("audit_unsettled", extra={"entry": entry_id, "result": result, "error": error.code})
