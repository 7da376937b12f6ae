"""How often the user may be asked, and by whom: a prompt that comes too often is a prompt that is clicked away."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import PairingPending, TooManyPairings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ports import Clock


class SlidingWindow:
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


class TokenBuckets:
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


MOST_A_MINUTE: Final = 5
"""Requests of one identity, those that were refused included."""
MOST_ALIVE: Final = 3
"""Requests that wait for the user at once, whoever they are from."""
COOLDOWN_SECONDS: Final = 60.0
"""After a no; doubled with each further one, up to an hour."""
LONGEST_COOLDOWN_SECONDS: Final = 3600.0

MOST_WITHDRAWN: Final = 3
"""So often may a request be withdrawn within ten minutes: one that comes and goes is a prompt all the same."""

_IDENTITIES: Final = 256


class PairingRateLimiter:
    """Lets by who may ask now, and tells the others exactly when to come again."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._asked = SlidingWindow(most=MOST_A_MINUTE, seconds=60.0, keys=_IDENTITIES, clock=clock)
        self._withdrawn = SlidingWindow(most=MOST_WITHDRAWN, seconds=600.0, keys=_IDENTITIES, clock=clock)
        self._denials: dict[str, tuple[int, float]] = {}

    def check(self, identity: Identity, *, waiting: Mapping[str, tuple[str, float]]) -> None:
        """
        Let by a request.

        Args:
            identity: Whose.
            waiting: The requests that wait, by their identities' keys: their ids and the seconds that they still may.

        Raises:
            TooManyPairings: If it asked too often, was denied a moment ago, gave up too often, or enough others wait.
            PairingPending: If it waits already.
        """
        key = identity.key
        wait = self._asked.take(key)
        if wait > 0:
            raise TooManyPairings("This app asks too often.", retry_after=wait)
        if key in waiting:
            pairing_id, left = waiting[key]
            message = "An earlier request of this app still waits for the user."
            raise PairingPending(message, pairing_id=pairing_id, retry_after=left)
        wait = self._cooling(key)
        if wait > 0:
            raise TooManyPairings("The user has just said no to this app.", retry_after=wait)
        wait = self._withdrawn.wait(key)
        if wait > 0:
            raise TooManyPairings("This app has asked and given up again and again.", retry_after=wait)
        if len(waiting) >= MOST_ALIVE:
            soonest = min(left for _, left in waiting.values())
            raise TooManyPairings(f"{len(waiting)} other apps wait for the user.", retry_after=soonest)

    def denied(self, identity: Identity) -> None:
        """Note that the user said no."""
        count, _ = self._denials.get(identity.key, (0, 0.0))
        if len(self._denials) >= _IDENTITIES:
            self._denials.pop(next(iter(self._denials)))
        self._denials[identity.key] = (count + 1, self._clock.monotonic())

    def withdrawn(self, identity: Identity) -> None:
        """Note that the app gave up before the user had decided."""
        self._withdrawn.take(identity.key)

    def forgive(self, identity: Identity) -> None:
        """Note that the user said yes."""
        self._denials.pop(identity.key, None)

    def _cooling(self, key: str) -> float:
        count, at = self._denials.get(key, (0, 0.0))
        if count == 0:
            return 0.0
        cooldown = min(COOLDOWN_SECONDS * 2.0 ** min(count - 1, 10), LONGEST_COOLDOWN_SECONDS)
        return at + cooldown - self._clock.monotonic()
