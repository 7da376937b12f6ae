"""A circuit breaker: after repeated failures a service is left alone for a moment, instead of being hit by retries."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

# Low enough that a user notices it, high enough that a flaky network does not trip it.
THRESHOLD: Final = 5
WINDOW_SECONDS: Final = 60.0
COOLDOWN_SECONDS: Final = 10.0

Sharing = Literal["connecting", "caller"]
_MAX_BREAKERS: Final = 256


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


class CallersBreakers:
    """The breakers that apply to the calls of one caller to one service. Their methods are those of a breaker."""

    def __init__(self, shared: CircuitBreaker | None, own: CircuitBreaker) -> None:
        self._own = own
        self._all = (own,) if shared is None else (shared, own)

    def admit(self) -> float | None:
        """Return None if a call may be made, or else the number of seconds to wait."""
        for number, breaker in enumerate(self._all):
            wait = breaker.admit()
            if wait is not None:
                for admitted in self._all[:number]:
                    admitted.abandoned()
                return wait
        return None

    @property
    def probing(self) -> bool:
        """Whether the call that was just admitted is a probe, which should not be retried."""
        return any(breaker.probing for breaker in self._all)

    def succeeded(self) -> None:
        """Record a response that is no server error."""
        for breaker in self._all:
            breaker.succeeded()

    def answered_badly(self) -> None:
        """Record a server error, or that there was no complete response: the request itself may be the reason."""
        for breaker in self._all:
            breaker.failed() if breaker is self._own else breaker.succeeded()

    def unreachable(self) -> None:
        """Record that there was no connection."""
        for number, breaker in enumerate(self._all):
            breaker.abandoned() if number else breaker.failed()

    def abandoned(self) -> None:
        """Record that the call was canceled, so that its result is unknown."""
        for breaker in self._all:
            breaker.abandoned()


class CircuitBreakers:
    """
    The circuit breakers of all callers and services.

    A caller whose requests fail must not keep others from a service that works for them. So failures count for the
    caller that had them. Only that no connection is possible (``sharing="connecting"``) counts for all: no request is
    the reason for that. With ``sharing="caller"`` nothing does.
    """

    def __init__(self, *, clock: Clock, sharing: Sharing) -> None:
        self._clock = clock
        self._sharing = sharing
        self._breakers: dict[tuple[str, str], CircuitBreaker] = {}

    def of(self, service: str, caller: str) -> CallersBreakers:
        """Return the breakers for calls of ``caller`` to ``service``. An empty caller is the daemon itself."""
        shared = self._breaker(service, "") if self._sharing == "connecting" and caller else None
        return CallersBreakers(shared, self._breaker(service, caller))

    def _breaker(self, service: str, caller: str) -> CircuitBreaker:
        # The last used one comes last. At most the breaker of a caller that was idle for long is forgotten.
        breaker = self._breakers.pop((service, caller), None) or CircuitBreaker(clock=self._clock)
        while len(self._breakers) >= _MAX_BREAKERS:
            del self._breakers[next(iter(self._breakers))]
        self._breakers[service, caller] = breaker
        return breaker
