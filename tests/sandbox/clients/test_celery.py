"""Celery, used unchanged with a database of the sandbox as its broker and for its results."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from celery import chain, chord, group
from celery.exceptions import ChordError, TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeout

from install.environment import ROOT
from tests.sandbox.callers import Caller
from tests.sandbox.clients import celery_tasks as tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.result import AsyncResult

    from tests.support.sandbox import Sandbox

SECONDS = 60.0
WORKER = ("worker", "--pool", "threads", "--concurrency", "1", "--without-mingle", "--without-gossip")

pytestmark = pytest.mark.usefixtures("worker")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def broker_url(shared_sandbox: Sandbox) -> str:
    """The URL of a new database, which this file's tests share."""
    async with aiohttp.ClientSession() as session:
        database = await (await Caller.new(shared_sandbox, session)).create()
    return f"redis://default:{database['password']}@{database['endpoint']}:{database['port']}"


@pytest.fixture(scope="module")
def worker(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A worker, in a process of its own, that runs one task at a time."""
    tasks.app.conf.update(broker_url=broker_url, result_backend=broker_url)
    log = tmp_path_factory.mktemp("celery") / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app", tasks.__name__, *WORKER, "--queues", ",".join(tasks.QUEUES)],
            cwd=ROOT,
            env={**os.environ, "REDIS_URL": broker_url},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + SECONDS
        while not tasks.app.control.ping(timeout=0.5, limit=1):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the worker did not start: {log.read_text(errors='replace')}")
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)
        tasks.app.close()


def result_of(result: AsyncResult[Any]) -> Any:
    """Wait for a task, and return its result."""
    return result.get(timeout=SECONDS)


def test_results_and_states() -> None:
    """
    A result is read once the task has ended, expires, and can be forgotten; a task can report a state of its own.
    """
    result = tasks.add.delay(40, 2)
    value = result_of(result)
    client = tasks.app.backend.client
    expires = client.ttl(tasks.app.backend.get_key_for_task(result.id))
    states = [result.state]
    result.forget()
    states.append(tasks.app.AsyncResult(result.id).state)

    running = tasks.progress.delay()
    deadline = time.monotonic() + SECONDS
    while running.state != "HALF" and time.monotonic() < deadline:
        time.sleep(0.01)
    half = running.info
    client.set("progress-was-read", "1")

    assert 42 == value
    assert 0 < expires <= 600
    assert ["SUCCESS", "PENDING"] == states
    assert ({"done": 50}, "done") == (half, result_of(running))


def test_failures_and_retries() -> None:
    """
    An exception is raised again where the result is read, and a task that is retried ends with its last attempt.
    """
    failed = tasks.fail.delay("no ink")

    with pytest.raises(ValueError, match="no ink"):
        result_of(failed)
    assert ("FAILURE", True) == (failed.state, "no ink" in failed.traceback)
    assert 2 == result_of(tasks.flaky.delay(2))
    with pytest.raises(CeleryTimeout):
        tasks.app.AsyncResult(str(uuid.uuid4())).get(timeout=0.05)


def test_workflows() -> None:
    """
    Chains, groups, chords, and chunks pass results on, and a chord whose task fails has failed.
    """
    add, total = tasks.add, tasks.total

    assert 15 == result_of(chain(add.s(1, 2), add.s(4), add.s(8))())
    assert [2, 4, 6] == result_of(group(add.s(n, n) for n in (1, 2, 3))())
    assert 12 == result_of(chord((add.s(n, n) for n in (1, 2, 3)), total.s())())
    assert 10 == result_of(chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(4))())
    assert [[2, 4], [6]] == result_of(add.chunks([(1, 1), (2, 2), (3, 3)], 2)())
    failed = chord([add.s(1, 1), tasks.fail.s("no")], total.s())()
    assert isinstance(failed.get(timeout=SECONDS, propagate=False), ChordError)


def test_time_of_execution() -> None:
    """
    A task runs no earlier than its ETA, and not after it has expired or was revoked.
    """
    eta = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.3)
    revoked = str(uuid.uuid4())
    tasks.app.control.revoke(revoked, reply=True, timeout=SECONDS, limit=1)

    assert result_of(tasks.when.apply_async(eta=eta)) >= eta.timestamp()
    assert result_of(tasks.when.apply_async(countdown=0.1)) >= time.time() - SECONDS
    with pytest.raises(TaskRevokedError, match="expired"):
        result_of(tasks.when.apply_async(expires=eta - dt.timedelta(hours=1)))
    with pytest.raises(TaskRevokedError, match="revoked"):
        result_of(tasks.when.apply_async(task_id=revoked))


def test_queues_and_priorities() -> None:
    """
    Tasks are routed to queues, and a queue that is consumed later is emptied by priority.
    """
    assert "letters" == result_of(tasks.queue.delay())

    sent = [
        tasks.remember.apply_async((name,), queue="later", priority=priority)
        for name, priority in (("low", 9), ("high", 0), ("lowest", 9))
    ]
    tasks.app.control.add_consumer("later", reply=True, timeout=SECONDS, limit=1)
    for result in sent:
        result_of(result)

    assert [b"high", b"low", b"lowest"] == tasks.app.backend.client.lrange("remembered", 0, -1)


def test_remote_control() -> None:
    """
    The worker answers to broadcasts: pings, and questions about its queues and tasks.
    """
    inspect = tasks.app.control.inspect(timeout=SECONDS, limit=1)

    [queues] = inspect.active_queues().values()
    [registered] = inspect.registered().values()
    [pong] = inspect.ping().values()

    assert set(tasks.QUEUES) <= {queue["name"] for queue in queues}
    assert {"add", "letters.queue", "total"} <= set(registered)
    assert {"ok": "pong"} == pong


def test_events() -> None:
    """
    A monitor sees what happens to a task.
    """
    expected = {"task-sent", "task-received", "task-started", "task-succeeded"}
    seen: dict[str, set[str]] = {}
    complete = threading.Event()

    def note(event: dict[str, Any]) -> None:
        if event["type"].startswith("task-"):
            types = seen.setdefault(event["uuid"], set())
            types.add(event["type"])
            if types >= expected:
                complete.set()
                receiver.should_stop = True

    with tasks.app.connection() as connection:
        receiver = tasks.app.events.Receiver(connection, handlers={"*": note})
        monitor = threading.Thread(target=receiver.capture, kwargs={"wakeup": False})
        monitor.start()
        deadline = time.monotonic() + SECONDS
        # The monitor does not say when it has begun to listen.
        while not complete.is_set() and time.monotonic() < deadline:
            result_of(tasks.add.delay(1, 1))
            complete.wait(0.2)
        monitor.join(SECONDS)

    assert complete.is_set()
