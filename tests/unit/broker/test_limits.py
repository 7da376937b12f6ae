"""Sliding windows and token buckets: how many events are allowed, and the exact time to wait."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.rate_limits import SlidingWindow, TokenBuckets


def window(clock: FakeClock, *, keys: int = 100) -> SlidingWindow:
    return SlidingWindow(limit=3, seconds=60.0, keys=keys, clock=clock)


def buckets(clock: FakeClock, *, keys: int = 100) -> TokenBuckets:
    return TokenBuckets(per_minute=60, burst=3, keys=keys, clock=clock)


def test_window_allows_its_limit_and_returns_the_exact_wait() -> None:
    """The wait ends when the oldest event leaves the window."""
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


def test_refused_events_do_not_extend_the_wait() -> None:
    """Repeated attempts have the same wait."""
    clock = FakeClock()
    asked = window(clock)
    for _ in range(3):
        asked.take("a")

    waits = [asked.take("a") for _ in range(100)]

    assert {60.0} == set(waits)


def test_each_key_has_its_own_window() -> None:
    """A key over its limit does not affect another one."""
    asked = window(FakeClock())
    for _ in range(4):
        asked.take("a")

    assert 0 == asked.take("b")


@pytest.mark.parametrize("kind", [window, buckets])
def test_t63_many_keys_take_nothing_from_a_new_one(kind: type[SlidingWindow | TokenBuckets]) -> None:
    """A new key has its whole allowance, however many keys have used up theirs."""
    limit = kind(FakeClock(), keys=10)  # type: ignore[call-arg, arg-type]
    for number in range(100):
        for _ in range(4):
            limit.take(f"flood-{number}")

    waits = [limit.take("new") for _ in range(4)]

    assert [True, True, True, False] == [wait == 0 for wait in waits]


@pytest.mark.parametrize("kind", [window, buckets])
def test_t63_many_keys_give_nothing_to_a_key_over_its_limit(kind: type[SlidingWindow | TokenBuckets]) -> None:
    """Those that have used the least are forgotten first, so nobody gets a new allowance by using many keys."""
    limit = kind(FakeClock(), keys=10)  # type: ignore[call-arg, arg-type]
    for _ in range(4):
        limit.take("over")

    for number in range(100):
        limit.take(f"flood-{number}")

    assert limit.take("over") > 0


@pytest.mark.parametrize("kind", [window, buckets])
def test_memory_for_keys_is_bounded(kind: type[SlidingWindow | TokenBuckets]) -> None:
    """Ten thousand keys need no more memory than the ten that are tracked."""
    limit = kind(FakeClock(), keys=10)  # type: ignore[call-arg, arg-type]
    tracemalloc.start()
    try:
        for number in range(10_000):
            limit.take(f"flood-{number}")
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert used < 50_000


def test_bucket_allows_a_burst_and_then_a_steady_rate() -> None:
    """Three at once, then one per second, with an exact wait."""
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


def test_bucket_holds_at_most_one_burst() -> None:
    """After a day without events, one burst is allowed."""
    clock = FakeClock()
    limit = buckets(clock)
    limit.take("a")
    clock.advance(86_400)

    waits = [limit.take("a") for _ in range(4)]

    assert [True, True, True, False] == [wait == 0 for wait in waits]


def test_wall_clock_jump_does_not_lift_limits() -> None:
    """Limits use the monotonic clock."""
    clock = FakeClock()
    asked, limit = window(clock), buckets(clock)
    for _ in range(3):
        asked.take("a")
        limit.take("a")

    clock.set_wall_clock(86_400)

    assert asked.take("a") > 0
    assert limit.take("a") > 0
