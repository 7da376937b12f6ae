"""A circuit breaker: a service that is down is left alone for a moment, so that callers do not become a storm."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

# Few enough that a user sees it stop, many enough that a flaky network does not trip it.
THRESHOLD: Final = 5
WINDOW_SECONDS: Final = 60.0
COOLDOWN_SECONDS: Final = 10.0


class CircuitBreaker:
    """
    Counts consecutive failures of one service; after five within a minute it refuses calls for ten seconds.

    Then one call, the probe, is let through: its success closes the breaker, its failure begins another ten seconds.
    There is no timer: time is read when somebody asks. After ``admit`` returned None exactly one of ``succeeded``,
    ``failed`` and ``abandoned`` is called.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._failures: deque[float] = deque(maxlen=THRESHOLD)
        self._opened: float | None = None
        self._probing = False

    def admit(self) -> float | None:
        """Return None if a call may be made, else the seconds after which asking again makes sense."""
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
        """Whether the call that was just admitted is the probe: it is not worth a retry."""
        return self._probing

    def succeeded(self) -> None:
        """Note that the service answered; a late answer of an older call counts as well."""
        self._failures.clear()
        self._opened = None
        self._probing = False

    def failed(self) -> None:
        """Note that the service did not answer, or answered that it is broken."""
        now = self._clock.monotonic()
        self._failures.append(now)
        lately = len(self._failures) == THRESHOLD and now - self._failures[0] <= WINDOW_SECONDS
        if lately or self._probing:
            self._opened = now
        self._probing = False

    def abandoned(self) -> None:
        """Note that the caller went away: nothing was learned."""
        self._probing = False
