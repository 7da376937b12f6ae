"""The lease of the callback address: the daemon holds it while a browser may come back from a sign-in."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from upstash_helper.broker.background import Background
    from upstash_helper.broker.ports import CallbackAddress


class CallbackLease:
    """
    Holds the callback address exactly while a sign-in is pending or about to start.

    The lease depends on the current state, not on the event that led to it: when an old attempt ends while a new one is
    pending, the address is kept.
    """

    def __init__(self, *, callback: CallbackAddress, pending: Callable[[], bool], background: Background) -> None:
        """
        Args:
            callback: The address.
            pending: Returns whether a browser may come back now.
            background: Finishes what was started, even if the caller disconnects.
        """
        self._callback = callback
        self._pending = pending
        self._background = background
        self._turn = asyncio.Lock()
        self._starting = 0

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[str | None]:
        """
        Hold the address while an attempt is started, and afterwards if one is pending at the end of the block.

        Yields None, or the reason why the address cannot be taken.
        """
        self._starting += 1
        try:
            # To completion, even if the caller disconnects: otherwise no one would own a socket that is being opened.
            yield await self._background.finish(self._take())
        finally:
            self._starting -= 1
            await self.update()

    async def update(self) -> None:
        """Release the address unless a sign-in is pending. To be called whenever an attempt has changed."""
        await self._background.finish(self._update())

    async def _take(self) -> str | None:
        async with self._turn:
            return await self._callback.take()

    async def _update(self) -> None:
        async with self._turn:
            if not self._starting and not self._pending():
                await self._callback.release()
