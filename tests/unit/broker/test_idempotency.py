"""Idempotency keys."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    RequestInProgress,
)
from upstash_helper.broker.idempotency import LIFETIME, IdempotencyRecords, parse


@pytest.mark.parametrize("header", ["8e03978e-40d5-43dd-bc93-6894a57f9324", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_t47_a_key_is_the_same_quoted_and_bare(header: str) -> None:
    """Clients follow the draft, which quotes, or common practice, which does not."""
    assert "8e03978e-40d5-43dd-bc93-6894a57f9324" == parse("owner", header).key


def test_t47_a_missing_key_is_required() -> None:
    """A request that costs money cannot be sent without one."""
    with pytest.raises(IdempotencyKeyRequired):
        parse("owner", None)


@pytest.mark.parametrize("header", ["", " ", '""', "a" * 256, "a b", "ä", "a\x7f"])
def test_t47_a_key_that_cannot_be_one_is_refused(header: str) -> None:
    """Too long, empty, or not visible ASCII."""
    with pytest.raises(IdempotencyKeyInvalid):
        parse("owner", header)


def test_t47_the_longest_key_is_taken() -> None:
    """255 characters are taken."""
    assert "a" * 255 == parse("owner", "a" * 255).key


def test_t47_the_same_key_with_another_request_is_refused() -> None:
    """A key that is used twice for different things is a mistake of the caller."""
    records = IdempotencyRecords(clock=FakeClock())
    records.begin(parse("owner", "k"), b"one").state = "done"

    with pytest.raises(IdempotencyKeyReused):
        records.begin(parse("owner", "k"), b"two")


def test_t47_the_same_request_at_the_same_time_waits_for_the_first() -> None:
    """The second is told to ask again, and makes nothing."""
    records = IdempotencyRecords(clock=FakeClock())
    records.begin(parse("owner", "k"), b"one")

    with pytest.raises(RequestInProgress) as caught:
        records.begin(parse("owner", "k"), b"one")
    assert 1 == caught.value.retry_after


def test_t47_keys_belong_to_their_caller() -> None:
    """Two apps may choose the same key."""
    records = IdempotencyRecords(clock=FakeClock())
    first = records.begin(parse("a", "k"), b"one")

    assert records.begin(parse("b", "k"), b"two") is not first


def test_t47_a_key_is_forgotten_after_a_day() -> None:
    """It then stands for a new request."""
    clock = FakeClock()
    records = IdempotencyRecords(clock=clock)
    first = records.begin(parse("owner", "k"), b"one")
    clock.advance(LIFETIME)

    assert records.begin(parse("owner", "k"), b"two") is not first


def test_a_key_of_a_request_without_effect_is_free_again() -> None:
    """What was refused upstream can be sent again with the same key."""
    records = IdempotencyRecords(clock=FakeClock())
    key = parse("owner", "k")
    first = records.begin(key, b"one")
    records.forget(key)

    assert records.begin(key, b"one") is not first
