"""The thread for calls that may block for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

NAME = "worker-under-test"


class Gate:
    """A job that has begun and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.settled: bool | None = None

    def __call__(self, call: Call) -> str:
        self.begun.set()
        assert self.go_on.wait(20)
        self.settled = call.settle()
        return "through"

    async def entered(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 20)


@pytest.fixture(name="gate")
def _gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()
    for thread in threads():
        thread.join(20)


@pytest.fixture(name="worker")
def _worker() -> Worker:
    return Worker(NAME)


def threads() -> list[threading.Thread]:
    """Return the worker's threads."""
    return [thread for thread in threading.enumerate() if thread.name == NAME]


async def test_a_job_gives_its_result(worker: Worker) -> None:
    """
    The caller gets what the job returned.
    """
    assert "result" == await worker.run(lambda _: "result", deadline=20)


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), StopIteration(), asyncio.CancelledError()])
async def test_no_failure_is_lost(worker: Worker, error: BaseException) -> None:
    """
    The caller gets whatever the job raised, as a value: not even a SystemExit ends the event loop.
    """

    def fail(_: Call) -> None:
        raise error

    with pytest.raises(JobFailed) as failed:
        await worker.run(fail, deadline=20)

    assert error is failed.value.error


async def test_an_idle_worker_has_no_thread(worker: Worker) -> None:
    """
    There is no thread before the first call, and none when the last is over.
    """
    before = threads()
    await worker.run(lambda _: None, deadline=20)
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert ([], []) == (before, threads())


async def test_calls_run_one_by_one_in_one_thread(worker: Worker) -> None:
    """
    Jobs never overlap, and are run in the order in which they were given.
    """
    order: list[int] = []

    await asyncio.gather(*(worker.run(lambda _, n=n: order.append(n), deadline=20) for n in range(50)))  # type: ignore[misc]

    assert list(range(50)) == order


async def test_an_overdue_call_ends_for_its_caller(worker: Worker, gate: Gate) -> None:
    """
    The caller of a job that hangs is told at the deadline; the job learns that nobody waits.
    """
    with pytest.raises(DeadlineExceeded):
        await worker.run(gate, deadline=0.1)

    gate.go_on.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)
    assert False is gate.settled


async def test_a_worker_that_hangs_says_so_at_once(worker: Worker, gate: Gate) -> None:
    """
    While an overdue job hangs, further calls are refused, and do not run later either.
    """
    ran: list[str] = []
    with pytest.raises(DeadlineExceeded):
        await worker.run(gate, deadline=0.1)

    with pytest.raises(Busy):
        await worker.run(lambda _: ran.append("late"), deadline=20)
    gate.go_on.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert "again" == await worker.run(lambda _: "again", deadline=20)
    assert [] == ran


async def test_a_call_that_gave_up_in_the_queue_is_not_begun(worker: Worker, gate: Gate) -> None:
    """
    The deadline counts from when the call was made; what did not begin by then never does.
    """
    ran: list[str] = []
    first = asyncio.create_task(worker.run(gate, deadline=20))
    await gate.entered()

    with pytest.raises(DeadlineExceeded):
        await worker.run(lambda _: ran.append("late"), deadline=0.1)
    gate.go_on.set()

    assert "through" == await first
    assert "next" == await worker.run(lambda _: "next", deadline=20)
    assert [] == ran


async def test_cancelling_is_giving_up(worker: Worker, gate: Gate) -> None:
    """
    A job whose caller was cancelled learns it as if the deadline had passed.
    """
    task = asyncio.create_task(worker.run(gate, deadline=20))
    await gate.entered()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.go_on.set()
    for thread in threads():
        await asyncio.to_thread(thread.join, 20)

    assert False is gate.settled


async def test_a_settled_call_is_waited_for(worker: Worker) -> None:
    """
    Once a job has settled, its caller gets the outcome even past the deadline: it is never told the contrary.
    """
    settled, go_on = threading.Event(), threading.Event()

    def job(call: Call) -> str:
        call.settle()
        settled.set()
        assert go_on.wait(20)
        return "done"

    task = asyncio.create_task(worker.run(job, deadline=0.05))
    assert await asyncio.to_thread(settled.wait, 20)
    done, _ = await asyncio.wait((task,), timeout=0.3)
    go_on.set()

    assert set() == done
    assert "done" == await task


def test_a_result_for_a_closed_loop_is_dropped(worker: Worker, gate: Gate) -> None:
    """
    A job may outlive the event loop it was called from, and the worker serves the next one.
    """

    async def leave() -> None:
        with pytest.raises(DeadlineExceeded):
            await worker.run(gate, deadline=0.05)

    async def come_back() -> str:
        return await worker.run(lambda _: "again", deadline=20)

    asyncio.run(leave())
    gate.go_on.set()
    for thread in threads():
        thread.join(20)

    assert "again" == asyncio.run(come_back())


async def test_a_call_that_was_cancelled_does_not_fail_others(worker: Worker, gate: Gate) -> None:
    """
    A job whose caller went away before its time was over does not hang: who comes next waits for its end.
    """
    first = asyncio.create_task(worker.run(gate, deadline=20))
    await gate.entered()
    first.cancel()
    await asyncio.wait((first,))

    second = asyncio.create_task(worker.run(lambda _: "next", deadline=20))
    await asyncio.wait((second,), timeout=0)
    gate.go_on.set()

    assert "next" == await second
