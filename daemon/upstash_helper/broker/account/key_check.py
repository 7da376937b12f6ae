"""
Checks whether Upstash still accepts the credential, with a call of our own.

A 401 to an app's request may be due to its path. Checks are merged and limited, so that an app that provokes many such
responses causes few calls.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import HelperError, ReconnectRequired
from upstash_helper.broker.identity import CURRENT_CALLER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.background import Background
    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import Clock

CHECK_SECONDS: Final = 10.0
"""How long the result of a check is used."""


class KeyCheck:
    """The check of the stored credential."""

    def __init__(
        self, check: Callable[[Credential], Awaitable[object]], *, background: Background, clock: Clock
    ) -> None:
        """
        Args:
            check: A call that every accepted credential may make. Raises ReconnectRequired for status 401.
            background: Where a check runs, since several callers may wait for it.
            clock: The clock.
        """
        self._check = check
        self._background = background
        self._clock = clock
        self._credential: Credential | None = None
        self._checked_at = 0.0
        self._running: asyncio.Task[bool] | None = None

    def is_made_by(self, operation: object) -> bool:
        """Return whether an operation is the check itself, whose result needs no other."""
        return operation == self._check

    async def rejects(self, credential: Credential) -> bool:
        """
        Return whether Upstash rejects ``credential``, as of the last check within ten seconds, or of a new one. If it
        cannot be checked, it is not known to be rejected.
        """
        age = self._clock.monotonic() - self._checked_at
        if self._running is None or self._credential != credential or (self._running.done() and age > CHECK_SECONDS):
            self._credential, self._checked_at = credential, self._clock.monotonic()
            self._running = self._background.begin(self._rejected(credential))
        return await asyncio.shield(self._running)

    async def _rejected(self, credential: Credential) -> bool:
        CURRENT_CALLER.set("")  # the caller that provoked it must not be able to influence the result
        try:
            await self._check(credential)
        except ReconnectRequired:
            return True
        except HelperError:
            return False
        return False
