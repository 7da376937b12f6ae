"""A clock that is moved by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeClock:
    """The ``Clock`` port: time stands still until a test moves it."""

    def __init__(self, *, now: float = 1_790_000_000.0) -> None:
        self._monotonic = 1000.0
        self._time = now
        self._calls: list[tuple[float, Callable[[], None]]] = []

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._monotonic

    def time(self) -> float:
        """Return the Unix time."""
        return self._time

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Call ``call`` as soon as the time is moved to ``when`` or past it."""
        self._calls.append((when, call))

    def advance(self, seconds: float) -> None:
        """Let time pass; a sleep of the machine is one long step."""
        self._monotonic += seconds
        self._time += seconds
        due = [call for when, call in self._calls if when <= self._monotonic]
        self._calls = [(when, call) for when, call in self._calls if when > self._monotonic]
        for call in due:
            call()

    def set_wall_clock(self, seconds: float) -> None:
        """Move the Unix time alone, as a user or NTP does."""
        self._time += seconds
