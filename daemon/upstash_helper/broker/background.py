"""Work that outlives the request that asked for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Background:
    """
    Owns the tasks that must finish although nobody waits for them any longer: a spent authorization code whose key is
    being stored, a database that is being made. A caller who goes away cancels its own waiting, never the work.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Begin ``work``; nobody waits for it."""
        self.begin(work)  # type: ignore[unused-awaitable]

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Begin ``work`` and return its task; wait for it through ``asyncio.shield``."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, work: Coroutine[object, object, T]) -> T:
        """Run ``work`` to its end, and wait for it unless the caller is cancelled."""
        return await asyncio.shield(self.begin(work))

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks an error as seen: whoever waited has it, and where nobody waited any more there is nobody to tell.
            task.exception()

    async def drain(self, seconds: float) -> bool:
        """
        Wait until all work has ended, at most ``seconds``; cancel what has not. Return whether all of it had.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                break
            await asyncio.wait(set(self._tasks), timeout=left)
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:
            # The tasks' own clean-up: they name what was left half done.
            await asyncio.wait(late, timeout=0.5)
        return not late
