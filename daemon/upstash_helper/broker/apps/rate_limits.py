"""
Rate limits by key: a sliding window and token buckets, both in bounded memory.

When too many keys are tracked, those that have used the least are forgotten. So nobody gets a new allowance by sending
requests under many other keys, and nobody loses an allowance to those keys.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

# Share of the keys that is forgotten at once. Sorting them costs something, so it should not happen for every new key.
_FORGOTTEN: Final = 0.25


class SlidingWindow:
    """A sliding-window limit for each key."""

    def __init__(self, *, limit: int, seconds: float, keys: int, clock: Clock) -> None:
        """
        Args:
            limit: Number of events allowed within the window.
            seconds: Length of the window.
            keys: Number of keys that are tracked.
            clock: The clock.
        """
        self._limit, self._seconds, self._keys = limit, seconds, keys
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str) -> float:
        """Count an event and return 0, or return the seconds until one is allowed and count none."""
        wait = self.wait(key)
        if wait == 0.0:
            if key not in self._taken and len(self._taken) >= self._keys:
                self._prune(self._clock.monotonic())
            self._taken.setdefault(key, deque()).append(self._clock.monotonic())
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds until an event is allowed; 0 means now."""
        now, taken = self._clock.monotonic(), self._taken.get(key, deque[float]())
        while taken and taken[0] <= now - self._seconds:
            taken.popleft()
        return taken[0] + self._seconds - now if len(taken) >= self._limit else 0.0

    def _prune(self, now: float) -> None:
        over = now - self._seconds
        for key in [key for key, taken in self._taken.items() if not taken or taken[-1] <= over]:
            del self._taken[key]
        if len(self._taken) >= self._keys:
            used = sorted(self._taken, key=lambda key: (len(self._taken[key]), self._taken[key][-1]))
            for key in used[: _some_of(self._keys)]:
                del self._taken[key]


class TokenBuckets:
    """A token bucket for each key: a burst, then a steady rate."""

    def __init__(self, *, per_minute: float, burst: int, keys: int, clock: Clock) -> None:
        """
        Args:
            per_minute: The steady rate.
            burst: Size of a bucket, which is how many events are allowed at once after a pause.
            keys: Number of keys that are tracked.
            clock: The clock.
        """
        self._rate, self._burst, self._keys = per_minute / 60.0, float(burst), keys
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take a token and return 0, or return the seconds until there is one and take none."""
        now = self._clock.monotonic()
        if key not in self._left and len(self._left) >= self._keys:
            self._prune(now)
        left, since = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        if left < 1.0:
            self._left[key] = (left, now)
            return (1.0 - left) / self._rate
        self._left[key] = (left - 1.0, now)
        return 0.0

    def _prune(self, now: float) -> None:
        left = {key: left + (now - since) * self._rate for key, (left, since) in self._left.items()}
        fullest = sorted(left, key=left.__getitem__, reverse=True)
        full = sum(1 for tokens in left.values() if tokens >= self._burst)
        for key in fullest[: max(full, _some_of(self._keys))]:
            del self._left[key]


def _some_of(keys: int) -> int:
    return max(1, int(keys * _FORGOTTEN))
