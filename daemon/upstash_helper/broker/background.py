"""Background tasks: work that outlives the request that started it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Background:
    """
    Owns the tasks that must finish even if the caller disconnects: storing the key after an authorization code was
    spent, creating a database. A caller that disconnects cancels its own waiting, never the work.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Start ``work`` without waiting for it."""
        self.begin(work)  # type: ignore[unused-awaitable]

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start ``work`` and return its task. Wait for the task only through ``asyncio.shield``."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, work: Coroutine[object, object, T]) -> T:
        """Run ``work`` to completion, and wait for it unless the caller is cancelled."""
        return await asyncio.shield(self.begin(work))

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Marks the exception as retrieved: a caller that still waits has it, and no one else is left to report to.
            task.exception()

    async def drain(self, seconds: float) -> bool:
        """
        Wait at most ``seconds`` until all work has ended, then cancel the rest. Return whether all of it had ended.
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
            # Time for the tasks' own cleanup, which logs what was left unfinished.
            await asyncio.wait(late, timeout=0.5)
        return not late
