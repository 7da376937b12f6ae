"""A circuit breaker: after repeated failures a service is left alone for a moment, instead of being hit by retries."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

# Low enough that a user notices it, high enough that a flaky network does not trip it.
THRESHOLD: Final = 5
WINDOW_SECONDS: Final = 60.0
COOLDOWN_SECONDS: Final = 10.0


class CircuitBreaker:
    """
    Counts consecutive failures of one service. After five within a minute it rejects calls for ten seconds.

    Then it admits one call, the probe. If the probe succeeds, the breaker closes; if it fails, another ten seconds
    begin. There is no timer: the clock is read when a call is made. After ``admit`` returned None, exactly one of
    ``succeeded``, ``failed`` and ``abandoned`` must be called.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=THRESHOLD)
        self._opened: float | None = None
        self._probing = False

    def admit(self) -> float | None:
        """Return None if a call may be made, or else the number of seconds to wait."""
        if self._opened is None:
            return None
        remaining = self._opened + COOLDOWN_SECONDS - self._clock.monotonic()
        if remaining > 0:
            return remaining
        if self._probing:
            return 1.0
        self._probing = True
        return None

    @property
    def probing(self) -> bool:
        """Whether the call that was just admitted is the probe, which should not be retried."""
        return self._probing

    def succeeded(self) -> None:
        """Record a response. That of an earlier call which arrives late counts too."""
        self._failures.clear()
        self._opened = None
        self._probing = False

    def failed(self) -> None:
        """Record a missing response, or a server error."""
        now = self._clock.monotonic()
        self._failures.append(now)
        tripped = len(self._failures) == THRESHOLD and now - self._failures[0] <= WINDOW_SECONDS
        if tripped or self._probing:
            self._opened = now
        self._probing = False

    def abandoned(self) -> None:
        """Record that the call was canceled, so that its result is unknown."""
        self._probing = False
