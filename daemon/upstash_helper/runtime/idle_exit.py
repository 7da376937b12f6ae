"""
Leaving when there has been nothing to do for a while, where somebody starts the daemon again on demand.

Nothing is lost by it. The daemon leaves only while it has no connection at all, idle ones included: what a client sends
on one would be lost if it was just being closed. (Idle ones are closed after some seconds anyway.) It stops accepting
first and looks once more then; what came between waits in the socket's queue, which the service manager holds, too.

While the daemon is at rest there is one timer, and with a connection open there is none.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Timer(Protocol):
    """A call that is to come, such as an ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Have it not come."""


class Doors(Protocol):
    """What accepts connections: ``Listeners``."""

    async def pause(self) -> None:
        """Accept nothing more; connections wait. Return when all who have been let in are known."""

    async def resume(self) -> None:
        """Accept what has waited, and what comes."""


class IdleExit:
    """Calls ``leave`` when there has been neither a connection nor other work for ``seconds``."""

    def __init__(
        self,
        *,
        seconds: float,
        keeps: Callable[[], str | None],
        leave: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], Timer] | None = None,
    ) -> None:
        """
        Args:
            seconds: Without anything to do.
            keeps: Returns what the daemon stays for although nobody is connected, or None.
            leave: Ends the daemon.
            call_later: By default the running event loop's. Its timers stand still while the machine sleeps, which
                only means that the daemon stays for longer.
        """
        self._seconds = seconds
        self._keeps = keeps
        self._leave = leave
        self._call_later = call_later
        self._doors: Doors | None = None
        self._timer: Timer | None = None
        self._occupied = False
        self._leaving: asyncio.Task[None] | None = None

    def begin(self, doors: Doors) -> None:
        """Count from now on: what comes in by ``doors`` is served."""
        self._doors = doors
        if not self._occupied:
            self._wait()

    def connected(self, connections: int) -> None:
        """Take note of how many connections there are now."""
        was_occupied, self._occupied = self._occupied, connections > 0
        if self._occupied:
            self._stop_waiting()
        elif was_occupied and self._doors is not None:
            self._wait()

    def _wait(self) -> None:
        self._stop_waiting()
        call_later = self._call_later or asyncio.get_running_loop().call_later
        self._timer = call_later(self._seconds, self._over)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        reason = self._keeps()
        if reason is not None:
            logger.debug("idle_exit_put_off", extra={"reason": reason})
            self._wait()
        elif self._doors is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave_unless_called(self._doors))

    async def _leave_unless_called(self, doors: Doors) -> None:
        await doors.pause()
        if self._occupied or self._keeps() is not None:
            self._leaving = None
            await doors.resume()
            if not self._occupied:
                self._wait()
            return
        self._stop_waiting()
        logger.info("idle_exit", extra={"seconds": self._seconds})
        self._leave()
