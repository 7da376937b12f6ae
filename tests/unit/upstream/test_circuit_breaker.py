from tests.support.clock import FakeClock
from upstash_helper.upstream.circuit_breaker import CircuitBreaker


def broken(clock: FakeClock, failures: int = 5) -> CircuitBreaker:
    """Return a breaker after so many failures."""
    breaker = CircuitBreaker(clock=clock)
    for _ in range(failures):
        assert breaker.admit() is None
        breaker.failed()
    return breaker


def test_four_failures_in_a_row_change_nothing() -> None:
    """
    A service that fails a few times is still asked.
    """
    breaker = broken(FakeClock(), failures=4)

    assert breaker.admit() is None


def test_t48_five_failures_in_a_row_stop_calls_for_ten_seconds() -> None:
    """
    A service that is down is left alone, and the caller learns for how long.
    """
    clock = FakeClock()
    breaker = broken(clock)

    clock.advance(4)

    assert 6.0 == breaker.admit()


def test_a_success_in_between_starts_the_count_again() -> None:
    """
    Only failures in a row count.
    """
    breaker = broken(FakeClock(), failures=4)

    breaker.succeeded()
    breaker.failed()

    assert breaker.admit() is None


def test_five_failures_over_more_than_a_minute_change_nothing() -> None:
    """
    A call that fails now and then does not stop the others.
    """
    clock = FakeClock()
    breaker = broken(clock, failures=4)

    clock.advance(61)
    breaker.failed()

    assert breaker.admit() is None


def test_after_the_pause_one_call_at_a_time_is_let_through() -> None:
    """
    One probe finds out whether the service is back; the others wait for what it finds.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)

    admitted = [breaker.admit() for _ in range(3)]

    assert [None, 1.0, 1.0] == admitted


def test_a_probe_that_succeeds_lets_everybody_through() -> None:
    """
    A service that is back is used at once.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.admit()

    breaker.succeeded()

    assert [None, None] == [breaker.admit(), breaker.admit()]


def test_a_probe_that_fails_begins_another_pause() -> None:
    """
    A service that is still down costs one call every ten seconds, however old the first failures are.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(3600)
    breaker.admit()

    breaker.failed()

    assert 10.0 == breaker.admit()


def test_a_probe_whose_caller_went_away_makes_room_for_the_next() -> None:
    """
    A cancelled call does not leave the service locked out.
    """
    clock = FakeClock()
    breaker = broken(clock)
    clock.advance(10)
    breaker.admit()

    breaker.abandoned()

    assert breaker.admit() is None
