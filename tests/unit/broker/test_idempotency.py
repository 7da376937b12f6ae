"""Idempotency keys."""

from __future__ import annotations

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.databases.create import RequestsInProgress, check_same, parse
from upstash_helper.broker.errors import (
    IdempotencyKeyInvalid,
    IdempotencyKeyRequired,
    IdempotencyKeyReused,
    RequestInProgress,
)
from upstash_helper.broker.ledger import CreateRecord


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


def record(*, sent_at: float) -> CreateRecord:
    return CreateRecord(fingerprint=b"one", name="db", sent_at=sent_at)


def test_t47_the_same_key_with_another_request_is_refused() -> None:
    """A key that is used twice for different things is a mistake of the caller, also while the first is running."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")

    with pytest.raises(IdempotencyKeyReused):
        running.begin(parse("owner", "k"), b"two")
    with pytest.raises(IdempotencyKeyReused):
        check_same(b"one", b"two")


def test_t47_the_same_request_at_the_same_time_waits_for_the_first() -> None:
    """The second is told to ask again, and makes nothing."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")

    with pytest.raises(RequestInProgress) as caught:
        running.begin(parse("owner", "k"), b"one")
    assert 1 == caught.value.retry_after


def test_t47_what_has_ended_can_be_asked_for_again() -> None:
    """The ledger then knows its result."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")
    running.end(parse("owner", "k"))

    running.begin(parse("owner", "k"), b"two")


def test_t47_keys_belong_to_their_caller() -> None:
    """Two apps may choose the same key."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("a", "k"), b"one")

    running.begin(parse("b", "k"), b"two")


def test_t52_the_age_of_a_request_of_this_run_does_not_jump() -> None:
    """A wall clock that is set a day ahead makes no second database of a key that was used a minute ago."""
    clock = FakeClock()
    running, key = RequestsInProgress(clock=clock), parse("owner", "k")
    sent = record(sent_at=clock.time())
    running.sent(key)

    clock.set_wall_clock(86_400)
    clock.advance(60)

    assert 60 == running.age(key, sent)


def test_t52_of_an_earlier_run_the_wall_clock_is_believed() -> None:
    """There is no other that went on; set back it makes a request as young as can be, and never older."""
    clock = FakeClock()
    running, key = RequestsInProgress(clock=clock), parse("owner", "k")

    assert 90 == running.age(key, record(sent_at=clock.time() - 90))
    assert 0 == running.age(key, record(sent_at=clock.time() + 90))
