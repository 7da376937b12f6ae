"""
Exiting when idle, for a daemon that a service manager starts on demand.

No request is lost. The daemon exits only while it has no open connections, including idle ones: a request that arrives
on a connection while it is being closed would be lost. (Idle connections are closed after some seconds anyway.) It
first stops accepting, then checks again; connections that arrive meanwhile wait in the socket's queue, which the
service manager keeps open.

An idle daemon has one timer, and none while a connection is open.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Timer(Protocol):
    """A scheduled call, such as an ``asyncio.TimerHandle``."""

    def cancel(self) -> None:
        """Cancel the call."""


class PausableListeners(Protocol):
    """The part of ``Listeners`` that is used here."""

    async def pause(self) -> None:
        """Stop accepting, so that new connections wait. Return when all accepted connections are known."""

    async def resume(self) -> None:
        """Accept the waiting connections, and new ones."""


class IdleExit:
    """Calls ``leave`` after ``seconds`` without a connection or other work."""

    def __init__(
        self,
        *,
        seconds: float,
        busy_reason: Callable[[], str | None],
        leave: Callable[[], None],
        call_later: Callable[[float, Callable[[], None]], Timer] | None = None,
    ) -> None:
        """
        Args:
            seconds: How long the daemon has to be idle.
            busy_reason: Returns why the daemon has to stay although there is no connection, or None.
            leave: Ends the daemon.
            call_later: By default that of the running event loop. Its timers do not advance while the computer is
                suspended, which only delays the exit.
        """
        self._seconds = seconds
        self._busy_reason = busy_reason
        self._leave = leave
        self._call_later = call_later
        self._listeners: PausableListeners | None = None
        self._timer: Timer | None = None
        self._connected = False
        self._leaving: asyncio.Task[None] | None = None

    def begin(self, listeners: PausableListeners) -> None:
        """Start the timer, for a daemon that serves ``listeners``."""
        self._listeners = listeners
        if not self._connected:
            self._start_timer()

    def connections_changed(self, connections: int) -> None:
        """Update the number of open connections."""
        was_connected, self._connected = self._connected, connections > 0
        if self._connected:
            self._stop_timer()
        elif was_connected and self._listeners is not None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._stop_timer()
        call_later = self._call_later or asyncio.get_running_loop().call_later
        self._timer = call_later(self._seconds, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        reason = self._busy_reason()
        if reason is not None:
            logger.debug("idle_exit_postponed", extra={"reason": reason})
            self._start_timer()
        elif self._listeners is not None and self._leaving is None:
            self._leaving = asyncio.get_running_loop().create_task(self._leave_if_idle(self._listeners))

    async def _leave_if_idle(self, listeners: PausableListeners) -> None:
        await listeners.pause()
        if self._connected or self._busy_reason() is not None:
            self._leaving = None
            await listeners.resume()
            if not self._connected:
                self._start_timer()
            return
        self._stop_timer()
        logger.info("idle_exit", extra={"seconds": self._seconds})
        self._leave()
