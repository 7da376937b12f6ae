"""The tasks that `test_celery.py` sends to a worker. The broker and the results are in one database."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from celery import Celery, Task

if TYPE_CHECKING:
    from collections.abc import Callable

QUEUES = ("default", "letters")

app = Celery("tasks", broker=os.environ.get("REDIS_URL"), backend=os.environ.get("REDIS_URL"))
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"polling_interval": 0.05, "priority_steps": [0, 9], "queue_order_strategy": "priority"},
    result_expires=600,
    task_default_queue=QUEUES[0],
    task_routes={"letters.*": {"queue": QUEUES[1]}},
    task_send_sent_event=True,
    task_track_started=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)


def task(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a task of a function."""
    decorate: Callable[[Callable[..., Any]], Any] = app.task(name=name, **options)
    return decorate


@task("add")
def add(x: int, y: int) -> int:
    """Return a sum."""
    return x + y


@task("total")
def total(numbers: list[int]) -> int:
    """Return the sum of what other tasks returned."""
    return sum(numbers)


@task("fail")
def fail(reason: str) -> None:
    """Fail."""
    raise ValueError(reason)


@task("flaky", bind=True, max_retries=3)
def flaky(self: Task, fails: int) -> int:
    """Fail some times, then return the number of retries."""
    if self.request.retries < fails:
        raise self.retry(countdown=0)
    return int(self.request.retries)


@task("progress", bind=True)
def progress(self: Task) -> str:
    """Report a state of its own, and wait until it is read."""
    self.update_state(state="HALF", meta={"done": 50})
    client = app.backend.client
    while not client.exists("progress-was-read"):
        time.sleep(0.01)
    return "done"


@task("when")
def when() -> float:
    """Return the time."""
    return time.time()


@task("letters.queue", bind=True)
def queue(self: Task) -> Any:
    """Return the queue that the task came from."""
    return self.request.delivery_info["routing_key"]


@task("remember")
def remember(name: str) -> None:
    """Append to a list."""
    app.backend.client.rpush("remembered", name)
