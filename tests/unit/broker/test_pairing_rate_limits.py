"""Rate limits of access requests (threats T26 and T27)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.rate_limits import (
    COOLDOWN_SECONDS,
    MAX_COOLDOWN_SECONDS,
    MAX_PENDING,
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
    """Return 0 if a request is allowed, otherwise the seconds to wait."""
    try:
        rate_limiter.check(identity, waiting=waiting or {})
    except TooManyPairings as error:
        return error.retry_after
    return 0.0


def test_t26_sixth_request_within_a_minute_is_refused() -> None:
    """It is allowed exactly when the first request is a minute old."""
    clock = FakeClock()
    rate_limiter = PairingRateLimiter(clock=clock)

    waits = []
    for _ in range(6):
        waits.append(wait_of(rate_limiter))
        clock.advance(5)
    clock.advance(30)

    assert [0, 0, 0, 0, 0, 35] == waits
    assert 0 == wait_of(rate_limiter)


def test_t26_second_request_is_refused_with_the_pending_one() -> None:
    """The error has the pending request's ID and remaining time."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    with pytest.raises(PairingPending) as caught:
        rate_limiter.check(APP, waiting={APP.key: ("first", 17.5)})

    assert ("first", 17.5) == (caught.value.pairing_id, caught.value.retry_after)


def test_t26_at_most_three_requests_are_pending_in_total() -> None:
    """A fourth is allowed when the first of them has expired."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())
    waiting = {other(number).key: (str(number), 100.0 - number) for number in range(MAX_PENDING)}

    assert 98.0 == wait_of(rate_limiter, waiting=waiting)


def test_t27_wait_after_a_denial_doubles_up_to_an_hour() -> None:
    """Each further denial doubles the wait."""
    clock = FakeClock()
    rate_limiter = PairingRateLimiter(clock=clock)

    waits: list[float | None] = []
    waits_over: list[float | None] = []
    for _ in range(9):
        rate_limiter.record_denial(APP)
        waits.append(wait_of(rate_limiter))
        clock.advance(waits[-1] or 0)
        waits_over.append(wait_of(rate_limiter))

    assert [0] * 9 == waits_over
    assert [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600] == waits
    assert (60, 3600) == (COOLDOWN_SECONDS, MAX_COOLDOWN_SECONDS)


def test_t27_approval_resets_the_wait() -> None:
    """Earlier denials do not count after an approval."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())
    for _ in range(3):
        rate_limiter.record_denial(APP)

    rate_limiter.clear_denials(APP)
    rate_limiter.record_denial(APP)

    assert COOLDOWN_SECONDS == wait_of(rate_limiter)


def test_t27_denial_applies_to_one_identity_only() -> None:
    """Another port of the same host is another app."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    rate_limiter.record_denial(APP)

    assert 0 == wait_of(rate_limiter, Identity(kind="web", name=f"{APP.name}:8443"))


def test_number_of_remembered_denials_is_bounded() -> None:
    """Only the most recent denials are kept."""
    rate_limiter = PairingRateLimiter(clock=FakeClock())

    for number in range(1000):
        rate_limiter.record_denial(other(number))

    assert 0 == wait_of(rate_limiter, other(0))
    assert COOLDOWN_SECONDS == wait_of(rate_limiter, other(999))
