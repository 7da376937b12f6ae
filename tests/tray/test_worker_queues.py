"""Named queues with a worker thread each."""

from __future__ import annotations

import threading

from tests.support.until import SECONDS, until
from upstash_helper_tray.dispatch.worker_queues import WorkerQueues


def test_hanging_job_delays_only_its_own_queue() -> None:
    """A decision does not wait behind a copy that waits for Upstash."""
    hang, done = threading.Event(), list[str]()

    def work(job: str) -> None:
        if job == "hangs":
            hang.wait(SECONDS)
        done.append(job)

    queues: WorkerQueues[str] = WorkerQueues(work)
    queues.put("copies", "hangs")
    queues.put("copies", "next")
    queues.put("decisions", "approve")

    until(lambda: done)
    first = list(done)
    hang.set()
    until(lambda: len(done) == 3)
    assert ["approve"] == first
    assert ["approve", "hangs", "next"] == done
    queues.stop()


def test_pending_job_is_not_queued_again() -> None:
    """Five clicks while a call hangs are one job; a click after it is done is another."""
    hang, done = threading.Event(), list[str]()

    def work(job: str) -> None:
        hang.wait(SECONDS)
        done.append(job)

    queues: WorkerQueues[str] = WorkerQueues(work)
    for _ in range(5):
        queues.put("copies", "copy")
    hang.set()
    until(lambda: not queues.pending)
    queues.put("copies", "copy")
    until(lambda: len(done) == 2)
    until(lambda: not queues.pending)

    assert ["copy", "copy"] == done
    queues.stop()


def test_no_job_starts_after_stop() -> None:
    """Queued jobs are dropped."""
    hang, started, done = threading.Event(), threading.Event(), list[str]()

    def work(job: str) -> None:
        started.set()
        hang.wait(SECONDS)
        done.append(job)

    queues: WorkerQueues[str] = WorkerQueues(work)
    queues.put("copies", "first")
    assert started.wait(SECONDS)
    queues.put("copies", "second")
    queues.stop()
    queues.put("copies", "third")
    hang.set()

    until(lambda: done)
    until(lambda: all(thread.name != "tray-copies" for thread in threading.enumerate()))
    assert ["first"] == done
