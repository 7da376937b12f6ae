"""Work for several threads: what may take long holds up nothing but its own kind."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Job = TypeVar("_Job", bound=Hashable)


class Lanes(Generic[_Job]):
    """
    Queues by name, each with a thread of its own, which begins with the first job and sleeps between two.

    The jobs of a lane are done one after the other, in order. A job that waits already is not queued again: who clicks
    five times while a call hangs wants it done once.
    """

    def __init__(self, work: Callable[[_Job], None]) -> None:
        """
        Args:
            work: Does a job, on the lane's thread. It must not raise.
        """
        self._work = work
        self._turn = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[_Job | None]] = {}
        self._pending: set[_Job] = set()
        self._over = False

    def put(self, lane: str, job: _Job) -> None:
        """Have a job done. Returns at once."""
        with self._turn:
            if self._over or job in self._pending:
                return
            self._pending.add(job)
            if lane not in self._queues:
                self._queues[lane] = queue.SimpleQueue()
                # A daemon thread: a call that hangs must not keep the process.
                threading.Thread(target=self._run, args=(self._queues[lane],), name=f"tray-{lane}", daemon=True).start()
            self._queues[lane].put(job)

    def stop(self) -> None:
        """Begin no more jobs. One that runs is left alone."""
        with self._turn:
            self._over = True
            for jobs in self._queues.values():
                jobs.put(None)

    def _run(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            with self._turn:
                if self._over:
                    return
            try:
                self._work(job)
            finally:
                with self._turn:
                    self._pending.discard(job)
