"""Work that holds up nothing but its own kind."""

from __future__ import annotations

import threading

from tests.support.until import SECONDS, until
from upstash_helper_tray.dispatch.worker_queues import WorkerQueues


def test_a_job_that_hangs_holds_up_its_lane_alone() -> None:
    """A yes is not behind a copy that waits for Upstash."""
    hang, done = threading.Event(), list[str]()

    def work(job: str) -> None:
        if job == "hangs":
            hang.wait(SECONDS)
        done.append(job)

    lanes: WorkerQueues[str] = WorkerQueues(work)
    lanes.put("copies", "hangs")
    lanes.put("copies", "next")
    lanes.put("decisions", "yes")

    until(lambda: done)
    first = list(done)
    hang.set()
    until(lambda: len(done) == 3)
    assert ["yes"] == first
    assert ["yes", "hangs", "next"] == done
    lanes.stop()


def test_what_waits_already_is_done_once() -> None:
    """Five clicks while a call hangs are one; a later click is another."""
    hang, done = threading.Event(), list[str]()

    def work(job: str) -> None:
        hang.wait(SECONDS)
        done.append(job)

    lanes: WorkerQueues[str] = WorkerQueues(work)
    for _ in range(5):
        lanes.put("copies", "copy")
    hang.set()
    until(lambda: not lanes._pending)
    lanes.put("copies", "copy")
    until(lambda: len(done) == 2)
    until(lambda: not lanes._pending)

    assert ["copy", "copy"] == done
    lanes.stop()


def test_after_the_end_nothing_is_begun() -> None:
    """What waits is dropped."""
    hang, begun, done = threading.Event(), threading.Event(), list[str]()

    def work(job: str) -> None:
        begun.set()
        hang.wait(SECONDS)
        done.append(job)

    lanes: WorkerQueues[str] = WorkerQueues(work)
    lanes.put("copies", "first")
    assert begun.wait(SECONDS)
    lanes.put("copies", "second")
    lanes.stop()
    lanes.put("copies", "third")
    hang.set()

    until(lambda: done)
    until(lambda: all(thread.name != "tray-copies" for thread in threading.enumerate()))
    assert ["first"] == done
