from tests.support.clock import FakeClock
from upstash_helper.upstream.circuit_breaker import CircuitBreaker


def broken(clock: FakeClock, failures: int = 5) -> CircuitBreaker:
    """Return a breaker after that many failures."""
    breaker = CircuitBreaker(clock=clock)
    for _ in range(failures):
        assert breaker.admit() is None
        breaker.failed()
    return breaker


def test_four_failures_keep_the_breaker_closed() -> None:
    """
    A few failures do not stop calls.
    """
    breaker = broken(FakeClock(), failures=4)

    assert breaker.admit() is None


def test_t48_five_consecutive_failures_open_the_breaker() -> None:
    """
    Calls are rejected for ten seconds, and the caller learns how long to wait.
    """
    clock = FakeClock()
    breaker = broken(clock)

    clock.advance(4)

    assert 6.0 == breaker.admit()


def test_success_resets_the_count() -> None:
    """
    Only consecutive failures count.
    """
    breaker = broken(FakeClock(), failures=4)

    breaker.succeeded()
    breaker.failed()

    assert breaker.admit() is None


def test_failures_outside_the_window_do_not_count() -> None:
    """
    Occasional failures do not stop calls.
    """
    clock = FakeClock()
    breaker = broken(clock, failures=4)

    clock.advance(61)
    breaker.failed()

    assert breaker.admit() is None


def test_one_probe_is_admitted_after_the_cooldown() -> None:
    """
    Other calls wait for the result of the probe.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)

    admitted = [breaker.admit() for _ in range(3)]

    assert [None, 1.0, 1.0] == admitted


def test_successful_probe_closes_the_breaker() -> None:
    """
    A service that works again is used at once.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.admit()

    breaker.succeeded()

    assert [None, None] == [breaker.admit(), breaker.admit()]


def test_failed_probe_starts_another_cooldown() -> None:
    """
    A service that still fails costs one call every ten seconds, however old the first failures are.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(3600)
    breaker.admit()

    breaker.failed()

    assert 10.0 == breaker.admit()


def test_abandoned_probe_admits_the_next_call() -> None:
    """
    A canceled probe does not block the service.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.admit()

    breaker.abandoned()

    assert breaker.admit() is None
