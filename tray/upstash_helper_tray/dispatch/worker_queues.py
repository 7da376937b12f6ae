"""Named queues with a worker thread each, so that a slow job delays only jobs of its own kind."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Job = TypeVar("_Job", bound=Hashable)


class WorkerQueues(Generic[_Job]):
    """
    Queues by name. Each has a worker thread that starts with its first job and blocks while the queue is empty.

    The jobs of a queue run one after the other, in order. A job that is already queued or running is not added again:
    someone who clicks five times while a call hangs wants the action once.
    """

    def __init__(self, work: Callable[[_Job], None]) -> None:
        """
        Args:
            work: Runs a job on a worker thread. It must not raise.
        """
        self._work = work
        self._lock = threading.Lock()
        self._queues: dict[str, queue.SimpleQueue[_Job | None]] = {}
        self._pending: set[_Job] = set()
        self._stopped = False

    @property
    def pending(self) -> frozenset[_Job]:
        """The jobs that are queued or running."""
        with self._lock:
            return frozenset(self._pending)

    def put(self, name: str, job: _Job) -> None:
        """Add a job to a queue. Returns immediately."""
        with self._lock:
            if self._stopped or job in self._pending:
                return
            self._pending.add(job)
            if name not in self._queues:
                self._queues[name] = queue.SimpleQueue()
                # A daemon thread, so that a hanging call does not keep the process alive.
                threading.Thread(target=self._run, args=(self._queues[name],), name=f"tray-{name}", daemon=True).start()
            self._queues[name].put(job)

    def stop(self) -> None:
        """Start no more jobs. Running jobs are not interrupted."""
        with self._lock:
            self._stopped = True
            for jobs in self._queues.values():
                jobs.put(None)

    def _run(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        while (job := jobs.get()) is not None:
            with self._lock:
                if self._stopped:
                    return
            try:
                self._work(job)
            finally:
                with self._lock:
                    self._pending.discard(job)
