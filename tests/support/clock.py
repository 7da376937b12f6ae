"""A clock that tests move by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """The ``Clock`` port. Time passes only when a test says so."""

    def __init__(self, *, now: float = 1_790_000_000.0) -> None:
        self._monotonic = 1000.0
        self._time = now
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        """Return the monotonic time."""
        return self._monotonic

    def time(self) -> float:
        """Return the Unix time."""
        return self._time

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call ``call`` as soon as the time reaches ``when``."""
        self._calls.append((when, call))

    def advance(self, seconds: float) -> None:
        """Let time pass in one step."""
        self._monotonic += seconds
        self._time += seconds
        due = [call for when, call in self._calls if when <= self._monotonic]
        self._calls = [(when, call) for when, call in self._calls if when > self._monotonic]
        for call in due:
            call()

    def set_wall_clock(self, seconds: float) -> None:
        """Move only the Unix time, as a user or NTP does."""
        self._time += seconds
