"""
Exchanges: requests that are passed through to Upstash, and reads of passwords. Each ends when the rights that it was
started with end.

Event streams end through the event bus, and the daemon's own work for an app is completed. An exchange is neither: it
transfers data for as long as its client and Upstash keep it open.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import AccessEnded, HelperError, NotConnected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from upstash_helper.broker.identity import Caller


class Exchange:
    """One exchange."""

    def __init__(self, caller: Caller, timeout: asyncio.Timeout) -> None:
        self.family: Final = caller.family
        self._timeout = timeout
        self.error: HelperError | None = None
        """Why it was ended."""

    def end(self, error: HelperError) -> None:
        """Cancel the task that holds it at the next opportunity."""
        if self.error is None:
            self.error = error
            self._timeout.reschedule(asyncio.get_running_loop().time())


class Exchanges:
    """The exchanges of all callers."""

    def __init__(self, *, allowed: Callable[[Caller], bool]) -> None:
        """
        Args:
            allowed: Returns whether a caller has access.
        """
        self._allowed = allowed
        self._open: dict[str, set[Exchange]] = {}

    @asynccontextmanager
    async def begin(self, caller: Caller) -> AsyncIterator[None]:
        """
        Run the body of the context until it ends, or the caller's rights do.

        Raises:
            AccessEnded: If the app's access ends, or has ended.
            NotConnected: If the account is disconnected or replaced.
        """
        if not self._allowed(caller):
            raise AccessEnded
        timeout = asyncio.timeout(None)
        exchange = Exchange(caller, timeout)
        exchanges = self._open.setdefault(caller.id, set())
        exchanges.add(exchange)
        try:
            async with timeout:
                yield
            if exchange.error is not None:
                raise exchange.error  # the body ended at the same moment
        except TimeoutError:
            if exchange.error is None:
                raise
            raise exchange.error from None
        finally:
            exchanges.discard(exchange)
            if not exchanges and self._open.get(caller.id) is exchanges:
                del self._open[caller.id]

    def end(self, app_id: str) -> None:
        """End the exchanges of an app whose access has ended."""
        for exchange in tuple(self._open.get(app_id, ())):
            exchange.end(AccessEnded())

    def end_family(self, family: str) -> None:
        """End the exchanges of the access tokens of a refresh token that has ended."""
        for exchanges in tuple(self._open.values()):
            for exchange in tuple(exchanges):
                if exchange.family == family:
                    exchange.end(AccessEnded())

    def end_all(self) -> None:
        """End all exchanges, because the account that they reach is no longer the connected one."""
        for exchanges in tuple(self._open.values()):
            for exchange in tuple(exchanges):
                exchange.end(NotConnected("The account was disconnected or replaced during the request."))
