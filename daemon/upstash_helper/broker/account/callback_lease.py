"""The callback address is ours while somebody may come back to it."""

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
    Has the callback address taken exactly while a sign-in is awaited, or about to begin.

    It goes by what is, and not by what has just happened: the end of an old attempt finds the new one waiting, and
    leaves the address alone.
    """

    def __init__(self, *, callback: CallbackAddress, awaited: Callable[[], bool], background: Background) -> None:
        """
        Args:
            callback: The address.
            awaited: Returns whether a browser may come back now.
            background: Finishes what was begun, whoever goes away.
        """
        self._callback = callback
        self._awaited = awaited
        self._background = background
        self._turn = asyncio.Lock()
        self._beginning = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[str | None]:
        """
        Have the address for the beginning of an attempt, and from then on if one is awaited at the end of the block.
        What the block gets is None, or in words why no sign-in can come back now.
        """
        self._beginning += 1
        try:
            # To its end, also for a caller who has gone: a socket that is being opened would belong to nobody.
            yield await self._background.finish(self._take())
        finally:
            self._beginning -= 1
            await self.settle()

    async def settle(self) -> None:
        """Let the address go if nobody is awaited. To be called whenever an attempt has changed."""
        await self._background.finish(self._settle())

    async def _take(self) -> str | None:
        async with self._turn:
            return await self._callback.take()

    async def _settle(self) -> None:
        async with self._turn:
            if not self._beginning and not self._awaited():
                await self._callback.release()
