"""Rate limits. For pairing: users stop reading prompts that appear too often."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import PairingPending, TooManyPairings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ports import Clock


class SlidingWindow:
    """A sliding-window limit for each key."""

    def __init__(self, *, limit: int, seconds: float, keys: int, clock: Clock) -> None:
        """
        Args:
            limit: Number of events allowed within the window.
            seconds: Length of the window.
            keys: Number of keys that are tracked; all others share one.
            clock: The clock.
        """
        self._limit, self._seconds, self._keys = limit, seconds, keys
        self._clock = clock
        self._taken: dict[str, deque[float]] = {}

    def take(self, key: str) -> float:
        """Count an event and return 0, or return the seconds until one is allowed and count none."""
        wait = self.wait(key)
        if wait == 0.0:
            self._of(key).append(self._clock.monotonic())
        return wait

    def wait(self, key: str) -> float:
        """Return the seconds until an event is allowed; 0 means now."""
        now, taken = self._clock.monotonic(), self._of(key)
        while taken and taken[0] <= now - self._seconds:
            taken.popleft()
        return taken[0] + self._seconds - now if len(taken) >= self._limit else 0.0

    def _of(self, key: str) -> deque[float]:
        if key not in self._taken and len(self._taken) >= self._keys:
            self._prune(self._clock.monotonic())
            key = key if len(self._taken) < self._keys else ""
        return self._taken.setdefault(key, deque())

    def _prune(self, now: float) -> None:
        for key in [key for key, taken in self._taken.items() if not taken or taken[-1] <= now - self._seconds]:
            del self._taken[key]


class TokenBuckets:
    """A token bucket for each key: a burst, then a steady rate."""

    def __init__(self, *, per_minute: float, burst: int, keys: int, clock: Clock) -> None:
        """
        Args:
            per_minute: The steady rate.
            burst: Size of a bucket, which is how many events are allowed at once after a pause.
            keys: Number of keys that are tracked; all others share one.
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


MAX_PER_MINUTE: Final = 5
"""Requests of one identity per minute, including refused ones."""
MAX_PENDING: Final = 3
"""Pending requests of all identities together."""
COOLDOWN_SECONDS: Final = 60.0
"""Wait after a denial. Doubles with each further denial, up to the maximum."""
MAX_COOLDOWN_SECONDS: Final = 3600.0

MAX_WITHDRAWN: Final = 3
"""Withdrawn requests of one identity within ten minutes: each of them was a prompt, too."""

_IDENTITIES: Final = 256


class PairingRateLimiter:
    """Decides whether an identity may request access now, and if not, when it may."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked = SlidingWindow(limit=MAX_PER_MINUTE, seconds=60.0, keys=_IDENTITIES, clock=clock)
        self._withdrawn = SlidingWindow(limit=MAX_WITHDRAWN, seconds=600.0, keys=_IDENTITIES, clock=clock)
        self._denials: dict[str, tuple[int, float]] = {}

    def check(self, identity: Identity, *, waiting: Mapping[str, tuple[str, float]]) -> None:
        """
        Count a request and check it against the limits.

        Args:
            identity: The requesting identity.
            waiting: The pending requests by identity key: their IDs and the seconds until they expire.

        Raises:
            TooManyPairings: If there were too many requests, a recent denial, or too many withdrawn requests of this
                identity, or if too many requests are pending.
            PairingPending: If a request of this identity is pending.
        """
        key = identity.key
        wait = self._asked.take(key)
        if wait > 0:
            raise TooManyPairings(retry_after=wait)
        if key in waiting:
            pairing_id, left = waiting[key]
            raise PairingPending(pairing_id=pairing_id, retry_after=left)
        wait = self._cooldown_left(key)
        if wait > 0:
            raise TooManyPairings("The user has just denied this app's request.", retry_after=wait)
        wait = self._withdrawn.wait(key)
        if wait > 0:
            raise TooManyPairings("This app has withdrawn too many requests.", retry_after=wait)
        if len(waiting) >= MAX_PENDING:
            soonest = min(left for _, left in waiting.values())
            raise TooManyPairings(f"{len(waiting)} other apps are waiting for the user.", retry_after=soonest)

    def record_denial(self, identity: Identity) -> None:
        """Record that the user denied a request."""
        count, _ = self._denials.get(identity.key, (0, 0.0))
        if len(self._denials) >= _IDENTITIES:
            self._denials.pop(next(iter(self._denials)))
        self._denials[identity.key] = (count + 1, self._clock.monotonic())

    def record_withdrawal(self, identity: Identity) -> None:
        """Record that the app withdrew its request before the user decided."""
        self._withdrawn.take(identity.key)

    def clear_denials(self, identity: Identity) -> None:
        """Forget earlier denials because the user approved a request."""
        self._denials.pop(identity.key, None)

    def _cooldown_left(self, key: str) -> float:
        count, at = self._denials.get(key, (0, 0.0))
        if count == 0:
            return 0.0
        cooldown = min(COOLDOWN_SECONDS * 2.0 ** min(count - 1, 10), MAX_COOLDOWN_SECONDS)
        return at + cooldown - self._clock.monotonic()
