"""
A thread for calls that may block for ever.

``asyncio.to_thread`` is not for them: a call that hangs would hold a thread of the pool that everybody shares, and the
interpreter waits for that pool when it exits. The thread here is a daemon, is born with the first call and ends when
there is none left: an idle program has none.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")


class DeadlineExceeded(Exception):
    """The call did not end in time. It goes on in its thread, until it asks whether anybody still waits."""


class Busy(Exception):
    """A call past its deadline still blocks the thread."""


class Abandoned(Exception):
    """Raised inside a job whose caller has gone; nobody sees it."""


class JobFailed(Exception):
    """The job raised ``error``; as a value, for a ``SystemExit`` raised here would end the event loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error: Final = error


class Call:
    """
    What a job knows of its caller.

    Either the caller abandons the call or the job settles it, never both: so a job can undo what its caller was told
    did not happen.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._settled = False

    @property
    def abandoned(self) -> bool:
        """The caller waits no more."""
        return self._abandoned

    def check(self) -> None:
        """
        Go on only if the caller still waits.

        Raises:
            Abandoned: If not.
        """
        if self._abandoned:
            raise Abandoned

    def settle(self) -> bool:
        """Make the call one whose outcome the caller will see, even past its deadline; False if it is abandoned."""
        with self._lock:
            self._settled = not self._abandoned
            return self._settled

    def abandon(self) -> bool:
        """Make the call one whose outcome nobody will see; False if it is settled."""
        with self._lock:
            self._abandoned = not self._settled
            return self._abandoned


class _Ticket(Call, Generic[T]):
    """One call on its way through the thread."""

    def __init__(self, job: Callable[[Call], T], deadline: float) -> None:
        super().__init__()
        self._job = job
        self._loop = asyncio.get_running_loop()
        self._overdue_at = self._loop.time() + deadline
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._value: T | None = None
        self._error: BaseException | None = None

    @property
    def hangs(self) -> bool:
        """The caller waits no more, and its time is over. One that was cancelled a moment ago is about to end."""
        return self.abandoned and self._loop.time() >= self._overdue_at

    def carry_out(self) -> None:
        """Run the job; in the thread."""
        try:
            self.check()
            self._value = self._job(self)
        except BaseException as error:  # noqa: BLE001  # the caller gets it, whatever it is
            self._error = error
        if self.settle():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                self._loop.call_soon_threadsafe(self.ended.set_result, None)
        else:
            self._error = None

    def outcome(self) -> T:
        """Return what the job returned; in the loop, once ``ended``."""
        # Let go of it here: a traceback holds the frames, and so the secrets, of the job.
        error, self._error = self._error, None
        if error is not None:
            raise JobFailed(error)
        return self._value  # type: ignore[return-value]  # a job that did not fail left its value


class Worker:
    """Runs jobs one after another in a thread of its own."""

    def __init__(self, name: str) -> None:
        """
        Args:
            name: The thread's, for whoever looks at a stack dump.
        """
        self._name = name
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Any]] = deque()
        self._current: _Ticket[Any] | None = None
        self._thread: threading.Thread | None = None

    async def run(self, job: Callable[[Call], T], *, deadline: float) -> T:
        """
        Run ``job`` in the thread and return what it returns.

        A job whose caller has gone is not begun; one that is under way learns it from its ``Call``. Cancelling is
        going away.

        Args:
            job: Gets the ``Call``, and calls ``settle`` before the last thing that cannot be undone, if there is one.
            deadline: Seconds, the time in the queue included.

        Raises:
            DeadlineExceeded: If it does not end in time.
            Busy: If an earlier overdue call still hangs; at once.
            JobFailed: With what the job raised.
        """
        ticket = _Ticket(job, deadline)
        self._submit(ticket)
        try:
            # Unlike wait_for, wait leaves the future alone when the time is over.
            done, _ = await asyncio.wait((ticket.ended,), timeout=deadline)
            if not done and ticket.abandon():
                raise DeadlineExceeded
            await asyncio.wait((ticket.ended,))
        except asyncio.CancelledError:
            ticket.abandon()
            raise
        return ticket.outcome()

    def _submit(self, ticket: _Ticket[Any]) -> None:
        with self._lock:
            if self._current is not None and self._current.hangs:
                raise Busy
            self._waiting.append(ticket)
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no thread left
                self._waiting.clear()
                raise JobFailed(error) from None
            self._thread = thread

    def _work(self) -> None:
        while (ticket := self._next()) is not None:
            ticket.carry_out()

    def _next(self) -> _Ticket[Any] | None:
        with self._lock:
            self._current = None
            while self._waiting and self._current is None:
                ticket = self._waiting.popleft()
                self._current = None if ticket.abandoned else ticket
            if self._current is None:
                self._thread = None
            return self._current
