"""The worker thread for calls that may block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

NAME = "worker-under-test"


class BlockingJob:
    """A job that blocks until it is released."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.release = threading.Event()
        self.settled: bool | None = None

    def __call__(self, call: Call) -> str:
        self.started.set()
        assert self.release.wait(20)
        self.settled = call.settle()
        return "through"

    async def wait_until_started(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 20)


@pytest.fixture(name="blocking_job")
def _blocking_job() -> Iterator[BlockingJob]:
    blocking_job = BlockingJob()
    yield blocking_job
    blocking_job.release.set()
    for thread in threads():
        thread.join(20)


@pytest.fixture(name="worker")
def _worker() -> Worker:
    return Worker(NAME)


def threads() -> list[threading.Thread]:
    """Return the worker's running threads. Python also lists one that has just ended."""
    return [thread for thread in threading.enumerate() if thread.name == NAME and thread.is_alive()]


async def test_run_returns_the_jobs_result(worker: Worker) -> None:
    """
    The caller receives what the job returned.
    """
    assert "result" == await worker.run(lambda _: "result", deadline=20)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), StopIteration(), asyncio.CancelledError()])
async def test_any_exception_of_a_job_becomes_job_failed(worker: Worker, error: BaseException) -> None:
    """
    Whatever the job raises is passed on as a value: not even SystemExit ends the event loop.
    """

    def fail(_: Call) -> None:
        raise error

    with pytest.raises(JobFailed) as failed:
        await worker.run(fail, deadline=20)

    assert error is failed.value.error


async def test_idle_worker_has_no_thread(worker: Worker) -> None:
    """
    There is no thread before the first call, and none after the last.
    """
    before = threads()
    await worker.run(lambda _: None, deadline=20)
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert ([], []) == (before, threads())


async def test_jobs_run_one_at_a_time_in_order(worker: Worker) -> None:
    """
    Jobs never overlap, and run in the order of the calls.
    """
    order: list[int] = []

    await asyncio.gather(*(worker.run(lambda _, n=n: order.append(n), deadline=20) for n in range(50)))  # type: ignore[misc]

    assert list(range(50)) == order


async def test_call_that_exceeds_its_deadline_is_abandoned(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    The caller of a job that hangs gets an error at the deadline, and the job can tell that it was abandoned.
    """
    with pytest.raises(DeadlineExceeded):
        await worker.run(blocking_job, deadline=0.1)

    blocking_job.release.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)
    assert False is blocking_job.settled


async def test_hanging_worker_rejects_calls_immediately(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    While an overdue job hangs, further calls fail at once and never run.
    """
    ran: list[str] = []
    with pytest.raises(DeadlineExceeded):
        await worker.run(blocking_job, deadline=0.1)

    with pytest.raises(Busy):
        await worker.run(lambda _: ran.append("late"), deadline=20)
    blocking_job.release.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert "again" == await worker.run(lambda _: "again", deadline=20)
    assert [] == ran


async def test_call_that_expires_in_the_queue_never_runs(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    The deadline includes the time in the queue.
    """
    ran: list[str] = []
    first = asyncio.create_task(worker.run(blocking_job, deadline=20))
    await blocking_job.wait_until_started()

    with pytest.raises(DeadlineExceeded):
        await worker.run(lambda _: ran.append("late"), deadline=0.1)
    blocking_job.release.set()

    assert "through" == await first
    assert "next" == await worker.run(lambda _: "next", deadline=20)
    assert [] == ran


async def test_canceling_abandons_the_call(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    A job can tell that its caller was canceled.
    """
    task = asyncio.create_task(worker.run(blocking_job, deadline=20))
    await blocking_job.wait_until_started()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    blocking_job.release.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert False is blocking_job.settled


async def test_settled_call_is_awaited_past_its_deadline(worker: Worker) -> None:
    """
    Once a job has settled, its caller waits for the outcome, even past the deadline.
    """
    settled, release = threading.Event(), threading.Event()

    def job(call: Call) -> str:
        call.settle()
        settled.set()
        assert release.wait(20)
        return "done"

    task = asyncio.create_task(worker.run(job, deadline=0.05))
    assert await asyncio.to_thread(settled.wait, 20)
    done, _ = await asyncio.wait((task,), timeout=0.3)
    release.set()

    assert set() == done
    assert "done" == await task


def test_result_for_a_closed_event_loop_is_discarded(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    A job may outlive the event loop of its caller, and the worker then serves the next loop.
    """

    async def leave() -> None:
        with pytest.raises(DeadlineExceeded):
            await worker.run(blocking_job, deadline=0.05)

    async def come_back() -> str:
        return await worker.run(lambda _: "again", deadline=20)

    asyncio.run(leave())
    blocking_job.release.set()
    for thread in threads():
        thread.join(20)

    assert "again" == asyncio.run(come_back())


async def test_canceled_call_does_not_make_the_worker_busy(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    A job whose caller was canceled before the deadline does not count as hanging: the next call waits for it.
    """
    first = asyncio.create_task(worker.run(blocking_job, deadline=20))
    await blocking_job.wait_until_started()
    first.cancel()
    await asyncio.wait((first,))

    second = asyncio.create_task(worker.run(lambda _: "next", deadline=20))
    await asyncio.wait((second,), timeout=0)
    blocking_job.release.set()

    assert "next" == await second


def test_run_blocking_returns_the_jobs_result(worker: Worker) -> None:
    """
    A program without an event loop gets the result too.
    """
    assert "result" == worker.run_blocking(lambda _: "result", deadline=20)


def test_run_blocking_reports_a_failure_as_a_value(worker: Worker) -> None:
    """
    The caller gets whatever the job raised, even SystemExit.
    """
    error = SystemExit(3)

    def fail(_: Call) -> None:
        raise error

    with pytest.raises(JobFailed) as failed:
        worker.run_blocking(fail, deadline=20)

    assert error is failed.value.error


def test_run_blocking_abandons_a_call_at_its_deadline(worker: Worker, blocking_job: BlockingJob) -> None:
    """
    The next call fails at once, and the job can tell that nobody waits for it.
    """
    with pytest.raises(DeadlineExceeded):
        worker.run_blocking(blocking_job, deadline=0.1)
    with pytest.raises(Busy):
        worker.run_blocking(lambda _: "never", deadline=20)
    blocking_job.release.set()
    for thread in threads():
        thread.join(20)

    assert False is blocking_job.settled


def test_run_blocking_waits_for_a_settled_call(worker: Worker) -> None:
    """
    Once a job has settled, its caller waits for the outcome, even past the deadline.
    """

    def job(call: Call) -> str:
        call.settle()
        release.wait(0.3)
        return "done"

    release = threading.Event()

    assert "done" == worker.run_blocking(job, deadline=0.05)
