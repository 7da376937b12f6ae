"""How often the user is asked: T26 and T27 as far as time goes."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.rate_limits import (
    COOLDOWN_SECONDS,
    LONGEST_COOLDOWN_SECONDS,
    MOST_ALIVE,
    PairingRateLimiter,
)
from upstash_helper.broker.errors import PairingPending, TooManyPairings
from upstash_helper.broker.identity import Identity

APP = Identity(kind="web", name="https://app.example.com")


def other(number: int) -> Identity:
    return Identity(kind="web", name=f"https://app-{number}.example.com")


def wait_of(
    rate_limiter: PairingRateLimiter, identity: Identity = APP, waiting: Mapping[str, tuple[str, float]] | None = None
) -> float | None:
    """Return 0 for who is let by, else the seconds to wait."""
    try:
        rate_limiter.check(identity, waiting=waiting or {})
    except TooManyPairings as error:
        return error.retry_after
    return 0.0


def test_t26_the_sixth_within_a_minute_is_too_many() -> None:
    """It may come again exactly when the first is a minute old."""
    clock = FakeClock()
    rate_limiter = PairingRateLimiter(clock=clock)

    waits = []
    for _ in range(6):
        waits.append(wait_of(rate_limiter))
        clock.advance(5)
    clock.advance(30)

    assert [0, 0, 0, 0, 0, 35] == waits
    assert 0 == wait_of(rate_limiter)


def test_t26_a_second_one_is_told_of_the_first() -> None:
    """By its id, and with the time for which it still waits."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    with pytest.raises(PairingPending) as caught:
        rate_limiter.check(APP, waiting={APP.key: ("first", 17.5)})

    assert ("first", 17.5) == (caught.value.pairing_id, caught.value.retry_after)


def test_t26_three_wait_at_once_whoever_they_are() -> None:
    """The fourth comes when the first of them has run out."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())
    waiting = {other(number).key: (str(number), 100.0 - number) for number in range(MOST_ALIVE)}

    assert 98.0 == wait_of(rate_limiter, waiting=waiting)


def test_t27_after_a_no_the_app_waits() -> None:
    """Twice as long after each further one, an hour at most."""
    clock = FakeClock()
    rate_limiter = PairingRateLimiter(clock=clock)

    waits: list[float | None] = []
    waits_over: list[float | None] = []
    for _ in range(9):
        rate_limiter.denied(APP)
        waits.append(wait_of(rate_limiter))
        clock.advance(waits[-1] or 0)
        waits_over.append(wait_of(rate_limiter))

    assert [0] * 9 == waits_over
    assert [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] == waits
    assert (60, 3600) == (COOLDOWN_SECONDS, LONGEST_COOLDOWN_SECONDS)


def test_t27_a_yes_forgives() -> None:
    """An app that was let in begins anew, and its denials of long ago are not held against it."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())
    for _ in range(3):
        rate_limiter.denied(APP)

    rate_limiter.forgive(APP)
    rate_limiter.denied(APP)

    assert COOLDOWN_SECONDS == wait_of(rate_limiter)


def test_t27_a_no_to_one_is_none_to_others() -> None:
    """Another port of the same host is another app."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    rate_limiter.denied(APP)

    assert 0 == wait_of(rate_limiter, Identity(kind="web", name=f"{APP.name}:8443"))


def test_the_memory_of_denials_is_bounded() -> None:
    """Of a thousand that were denied the last ones are remembered."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    for number in range(1000):
        rate_limiter.denied(other(number))

    assert 0 == wait_of(rate_limiter, other(0))
    assert COOLDOWN_SECONDS == wait_of(rate_limiter, other(999))
