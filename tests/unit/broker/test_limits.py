"""How often somebody may ask, and the exact time to wait."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.rate_limits import SlidingWindow, TokenBuckets


def window(clock: FakeClock, *, keys: int = 100) -> SlidingWindow:
    return SlidingWindow(most=3, seconds=60.0, keys=keys, clock=clock)


def buckets(clock: FakeClock, *, keys: int = 100) -> TokenBuckets:
    return TokenBuckets(per_minute=60, burst=3, keys=keys, clock=clock)


def test_a_window_takes_so_many_and_says_when_there_is_room() -> None:
    """The wait is until the oldest of them is a window old, to the moment."""
    clock = FakeClock()
    asked = window(clock)

    taken = []
    for _ in range(3):
        taken.append(asked.take("a"))
        clock.advance(10)
    refused = asked.take("a")
    clock.advance(refused - 0.5)
    still = asked.take("a")
    clock.advance(0.5)

    assert [0, 0, 0] == taken
    assert (30, 0.5) == (refused, still)
    assert 0 == asked.take("a")


def test_what_was_refused_does_not_prolong_the_wait() -> None:
    """Whoever keeps asking waits as long as whoever does not."""
    clock = FakeClock()
    asked = window(clock)
    for _ in range(3):
        asked.take("a")

    waits = [asked.take("a") for _ in range(100)]

    assert {60.0} == set(waits)


def test_keys_do_not_share_a_window() -> None:
    """One who asks too often is in nobody's way."""
    asked = window(FakeClock())
    for _ in range(4):
        asked.take("a")

    assert 0 == asked.take("b")


@pytest.mark.parametrize("kind", [window, buckets])
def test_endless_keys_take_no_endless_memory(kind: type[SlidingWindow | TokenBuckets]) -> None:
    """Beyond what is remembered all others share one, so that an attacker with many names is not without limit."""
    clock = FakeClock()
    limit = kind(clock, keys=10)  # type: ignore[call-arg, arg-type]
    for number in range(10):
        limit.take(f"known-{number}")

    shared = [limit.take(f"new-{number}") for number in range(5)]
    own = limit.take("known-0")
    clock.advance(120)
    later = limit.take("new-99")

    assert [True, True, True, False, False] == [wait == 0 for wait in shared]
    assert (0, 0) == (own, later)


def test_a_bucket_gives_a_burst_and_then_a_steady_rate() -> None:
    """Three at once, then one a second, and the wait is exact."""
    clock = FakeClock()
    limit = buckets(clock)

    burst = [limit.take("a") for _ in range(3)]
    refused = limit.take("a")
    clock.advance(0.25)
    later = limit.take("a")
    clock.advance(later)
    taken = limit.take("a")

    assert [0, 0, 0] == burst
    assert 1.0 == pytest.approx(refused)
    assert 0.75 == pytest.approx(later)
    assert 0 == taken


def test_a_bucket_does_not_overflow() -> None:
    """Whoever was silent for a day has a burst, and not a day's worth."""
    clock = FakeClock()
    limit = buckets(clock)
    limit.take("a")
    clock.advance(86_400)

    waits = [limit.take("a") for _ in range(4)]

    assert [True, True, True, False] == [wait == 0 for wait in waits]


def test_a_wall_clock_that_jumps_gives_nothing_away() -> None:
    """Limits are measured by the clock that nobody sets."""
    clock = FakeClock()
    asked, limit = window(clock), buckets(clock)
    for _ in range(3):
        asked.take("a")
        limit.take("a")

    clock.set_wall_clock(86_400)

    assert asked.take("a") > 0
    assert limit.take("a") > 0
