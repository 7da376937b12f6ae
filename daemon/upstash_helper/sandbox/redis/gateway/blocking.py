"""
Timeouts of blocking commands.

An idle server wakes up only once a second (``hz 1``), and would notice a timeout up to a second late. It checks for
expired timeouts whenever it handles anything, so a PING wakes it at the right time.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence

# How long after the timeout. The server rounds to milliseconds, and begins a command a little later than it is sent.
WAKE_AFTER_SECONDS = (0.002, 0.01, 0.05, 0.2)
FOREVER = math.inf

_LAST_IS_SECONDS = frozenset({b"blpop", b"brpop", b"brpoplpush", b"blmove", b"bzpopmin", b"bzpopmax"})
_FIRST_IS_SECONDS = frozenset({b"blmpop", b"bzmpop"})
_LAST_IS_MILLISECONDS = frozenset({b"wait", b"waitaof"})
_HAS_BLOCK = frozenset({b"xread", b"xreadgroup"})

COMMANDS = _LAST_IS_SECONDS | _FIRST_IS_SECONDS | _LAST_IS_MILLISECONDS | _HAS_BLOCK
"""The commands that can block, in lower case."""


def timeout_of(command: Sequence[bytes]) -> float | None:
    """Return the timeout of a blocking command in seconds, or None if it does not block."""
    name = command[0].lower()
    if name in _HAS_BLOCK:
        upper = [argument.upper() for argument in command]
        # After STREAMS come keys, which may have any name.
        options = upper[: upper.index(b"STREAMS")] if b"STREAMS" in upper else upper
        if b"BLOCK" not in options[:-1]:
            return None
        return _seconds(options[options.index(b"BLOCK") + 1], 1000)
    if name not in COMMANDS or len(command) < 3:
        return None
    argument = command[1] if name in _FIRST_IS_SECONDS else command[-1]
    return _seconds(argument, 1000 if name in _LAST_IS_MILLISECONDS else 1)


def _seconds(argument: bytes, per_second: int) -> float | None:
    try:
        value = float(argument) / per_second
    except ValueError:
        return None
    if math.isnan(value) or value < 0:
        return None
    return value or FOREVER


class BlockedCommands:
    """The blocking commands that one client has sent, of which the server runs the first."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """
        Args:
            wake: Makes the server check for expired timeouts.
        """
        self._wake = wake
        self._timeouts: deque[float] = deque()
        self._timers: list[asyncio.TimerHandle] = []

    def add(self, timeout: float) -> None:
        """Add a command that is sent to the server."""
        self._timeouts.append(timeout)
        if len(self._timeouts) == 1:
            self._set_timers()

    def finish(self) -> None:
        """Remove the first command, to which the server has replied."""
        self._timeouts.popleft()
        self._cancel_timers()
        if self._timeouts:
            self._set_timers()

    def clear(self) -> None:
        """Remove all commands: the connection is closed."""
        self._timeouts.clear()
        self._cancel_timers()

    def _set_timers(self) -> None:
        if self._timeouts[0] == FOREVER:
            return
        loop = asyncio.get_running_loop()
        self._timers = [loop.call_later(self._timeouts[0] + extra, self._wake) for extra in WAKE_AFTER_SECONDS]

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
