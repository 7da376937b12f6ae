"""
A worker thread for calls that may block indefinitely, with a deadline for each call.

``asyncio.to_thread`` does not fit: a call that hangs would occupy a thread of the shared pool, and the interpreter
waits for that pool when it exits. The thread here is a daemon thread. It starts with the first call and ends when its
queue is empty, so an idle process has none.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The call did not finish in time. It continues in its thread until it checks whether it was abandoned."""


class Busy(Exception):
    """An earlier call that exceeded its deadline still blocks the thread."""


class Abandoned(Exception):
    """Raised inside a job to end it, since its caller is gone. No caller sees it."""


class JobFailed(Exception):
    """
    The job raised ``error``.

    It is an attribute, not re-raised: a ``SystemExit`` raised in the event loop would end it.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error: Final = error


class Call:
    """
    The job's view of its caller.

    Either the caller abandons the call or the job settles it, never both. So a job can undo what its caller was told
    has failed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._settled = False

    @property
    def abandoned(self) -> bool:
        """Whether the caller has stopped waiting."""
        return self._abandoned

    def check(self) -> None:
        """
        Return if the caller is still waiting.

        Raises:
            Abandoned: If it is not.
        """
        if self._abandoned:
            raise Abandoned

    def settle(self) -> bool:
        """Make the caller wait for the outcome, even past its deadline. Return False if it has abandoned the call."""
        with self._lock:
            self._settled = not self._abandoned
            return self._settled

    def abandon(self) -> bool:
        """Discard the outcome. Return False if the job has settled the call."""
        with self._lock:
            self._abandoned = not self._settled
            return self._abandoned


class _QueuedCall(Call, Generic[T]):
    def __init__(self, job: Callable[[Call], T], deadline: float, notify: Callable[[], object]) -> None:
        """
        Args:
            job: The work.
            deadline: Seconds from now.
            notify: Called in the thread when the outcome is available.
        """
        super().__init__()
        self._job = job
        self._overdue_at = time.monotonic() + deadline
        self._notify = notify
        self._value: T | None = None
        self._error: BaseException | None = None

    @property
    def hangs(self) -> bool:
        """Whether it was abandoned at its deadline. A call that was canceled earlier may be about to finish."""
        return self.abandoned and time.monotonic() >= self._overdue_at

    def execute(self) -> None:
        """Run the job; in the worker thread."""
        try:
            self.check()
            self._value = self._job(self)
        except BaseException as error:  # noqa: BLE001 - passed on to the caller, whatever it is
            self._error = error
        if self.settle():
            self._notify()
        else:
            self._error = None

    def outcome(self) -> T:
        """
        Return the job's result; in the caller, after ``notify``.

        Raises:
            JobFailed: If the job raised anything.
        """
        # Drop the reference: the traceback keeps the job's frames alive, and the secrets in them.
        error, self._error = self._error, None
        if error is not None:
            raise JobFailed(error)
        return self._value  # type: ignore[return-value]  # set by every job that did not fail


class Worker:
    """Runs jobs one at a time, in a thread of its own."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: The thread's name, for stack dumps.
        """
        self._name = name
        self._lock = threading.Lock()
        self._queue: deque[_QueuedCall[Any]] = deque()
        self._current: _QueuedCall[Any] | None = None
        self._thread: threading.Thread | None = None

    async def run(self, job: Callable[[Call], T], *, deadline: float) -> T:
        """
        Run ``job`` in the thread and return its result. Canceling abandons the call, as exceeding the deadline does.

        Args:
            job: Receives the ``Call``. It calls ``settle`` before a step that cannot be undone.
            deadline: Seconds, including the time in the queue. A job that has not started by then never starts.

        Raises:
            DeadlineExceeded: If it does not finish in time.
            Busy: Immediately, if an earlier overdue call still hangs.
            JobFailed: If the job raised anything.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        finished: asyncio.Future[None] = loop.create_future()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(finished.set_result, None)

        call = _QueuedCall(job, deadline, notify)
        self._submit(call)
        try:
            # Unlike wait_for, wait does not cancel the future at the timeout.
            done, _ = await asyncio.wait((finished,), timeout=deadline)
            if not done and call.abandon():
                raise DeadlineExceeded
            await asyncio.wait((finished,))
        except asyncio.CancelledError:
            call.abandon()
            raise
        return call.outcome()

    def run_blocking(self, job: Callable[[Call], T], *, deadline: float) -> T:
        """Do the same as ``run`` in a program without an event loop."""
        finished = threading.Event()
        call = _QueuedCall(job, deadline, finished.set)
        self._submit(call)
        try:
            if not finished.wait(deadline) and call.abandon():
                raise DeadlineExceeded
            finished.wait()
        except KeyboardInterrupt:
            call.abandon()
            raise
        return call.outcome()

    def _submit(self, call: _QueuedCall[Any]) -> None:
        with self._lock:
            if self._current is not None and self._current.hangs:
                raise Busy
            self._queue.append(call)
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system's limit on threads is reached
                self._queue.clear()
                raise JobFailed(error) from None
            self._thread = thread

    def _work(self) -> None:
        while (call := self._next()) is not None:
            call.execute()

    def _next(self) -> _QueuedCall[Any] | None:
        with self._lock:
            self._current = None
            while self._queue and self._current is None:
                call = self._queue.popleft()
                self._current = None if call.abandoned else call
            if self._current is None:
                self._thread = None
            return self._current
