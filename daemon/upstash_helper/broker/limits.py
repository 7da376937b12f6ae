"""How often somebody may ask. There is no timer: time is read when somebody asks, and says exactly how long to wait."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock


class Window:
    """At most so many within a sliding window, for each key."""

    def __init__(self, *, most: int, seconds: float, keys: int, clock: Clock) -> None:
        """
        Args:
            most: How many are taken.
            seconds: The window's length.
            keys: How many keys are remembered at once; beyond them all others share one.
            clock: Tells the time.
        """
        self._most, self._seconds, self._keys = most, seconds, keys
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str) -> float:
        """Take one, and return 0; or return the seconds after which one can be taken, and take none."""
        wait = self.wait(key)
        if wait == 0.0:
            self._of(key).append(self._clock.monotonic())
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds after which one can be taken; 0: now."""
        now, taken = self._clock.monotonic(), self._of(key)
        while taken and taken[0] <= now - self._seconds:
            taken.popleft()
        return taken[0] + self._seconds - now if len(taken) >= self._most else 0.0

    def _of(self, key: str) -> deque[float]:
        if key not in self._taken and len(self._taken) >= self._keys:
            self._prune(self._clock.monotonic())
            key = key if len(self._taken) < self._keys else ""
        return self._taken.setdefault(key, deque())

    def _prune(self, now: float) -> None:
        for key in [key for key, taken in self._taken.items() if not taken or taken[-1] <= now - self._seconds]:
            del self._taken[key]


class Buckets:
    """A token bucket for each key: a burst at once, then a steady rate."""

    def __init__(self, *, per_minute: float, burst: int, keys: int, clock: Clock) -> None:
        """
        Args:
            per_minute: The steady rate.
            burst: How many are taken at once by somebody who has not asked for a while.
            keys: How many keys are remembered at once; beyond them all others share one.
            clock: Tells the time.
        """
        self._rate, self._burst, self._keys = per_minute / 60.0, float(burst), keys
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take one, and return 0; or return the seconds after which there is one, and take none."""
        now = self._clock.monotonic()
        if key not in self._left and len(self._left) >= self._keys:
            self._prune(now)
            key = key if len(self._left) < self._keys else ""
        left, since = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        if left < 1.0:
            self._left[key] = (left, now)
            return (1.0 - left) / self._rate
        self._left[key] = (left - 1.0, now)
        return 0.0

    def _prune(self, now: float) -> None:
        full = [key for key, (left, since) in self._left.items() if left + (now - since) * self._rate >= self._burst]
        for key in full:
            del self._left[key]
