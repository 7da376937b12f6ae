"""Idempotency keys: parsing, concurrent requests, and lifetime."""

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
def test_t47_quoted_and_bare_keys_are_equal(header: str) -> None:
    """The IETF draft requires quotes, and common practice omits them."""
    assert "8e03978e-40d5-43dd-bc93-6894a57f9324" == parse("owner", header).key


def test_t47_missing_key_is_rejected() -> None:
    """A request that can cost money needs a key."""
    with pytest.raises(IdempotencyKeyRequired):
        parse("owner", None)


@pytest.mark.parametrize("header", ["", " ", '""', "a" * 256, "a b", "ä", "a\x7f"])
def test_t47_invalid_key_is_rejected(header: str) -> None:
    """Too long, empty, or not visible ASCII."""
    with pytest.raises(IdempotencyKeyInvalid):
        parse("owner", header)


def test_t47_key_of_255_characters_is_accepted() -> None:
    """The longest valid key."""
    assert "a" * 255 == parse("owner", "a" * 255).key


def record(*, sent_at: float) -> CreateRecord:
    return CreateRecord(fingerprint=b"one", name="db", sent_at=sent_at)


def test_t47_key_reused_for_another_request_is_rejected() -> None:
    """Also while the first request is still being processed."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")

    with pytest.raises(IdempotencyKeyReused):
        running.begin(parse("owner", "k"), b"two")
    with pytest.raises(IdempotencyKeyReused):
        check_same(b"one", b"two")


def test_t47_concurrent_identical_request_is_told_to_retry() -> None:
    """It creates nothing."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")

    with pytest.raises(RequestInProgress) as caught:
        running.begin(parse("owner", "k"), b"one")
    assert 1 == caught.value.retry_after


def test_t47_request_can_be_repeated_after_the_first_has_ended() -> None:
    """The ledger has its result then."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("owner", "k"), b"one")
    running.end(parse("owner", "k"))

    running.begin(parse("owner", "k"), b"two")
    with pytest.raises(RequestInProgress):
        running.begin(parse("owner", "k"), b"two")


def test_t47_keys_of_different_callers_are_independent() -> None:
    """Two apps may choose the same key."""
    running = RequestsInProgress(clock=FakeClock())
    running.begin(parse("a", "k"), b"one")

    running.begin(parse("b", "k"), b"two")
    for caller, fingerprint in (("a", b"one"), ("b", b"two")):
        with pytest.raises(RequestInProgress):
            running.begin(parse(caller, "k"), fingerprint)


def test_t52_wall_clock_jump_does_not_expire_keys_of_this_run() -> None:
    """A clock set ahead by a day must not cause a second database for a key that was used a minute ago."""
    clock = FakeClock()
    running, key = RequestsInProgress(clock=clock), parse("owner", "k")
    sent = record(sent_at=clock.time())
    running.sent(key)

    clock.set_wall_clock(86_400)
    clock.advance(60)

    assert 60 == running.age(key, sent)


def test_t52_age_of_requests_of_an_earlier_run_comes_from_the_wall_clock() -> None:
    """A clock set back makes a request look new, and never older."""
    clock = FakeClock()
    running, key = RequestsInProgress(clock=clock), parse("owner", "k")

    assert 90 == running.age(key, record(sent_at=clock.time() - 90))
    assert 0 == running.age(key, record(sent_at=clock.time() + 90))
