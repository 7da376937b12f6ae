"""The delays between two tries to follow the daemon."""

from __future__ import annotations

from upstash_helper_tray.sync.follow import MAX_ABSENT_DELAY, MAX_REFUSED_DELAY, STABLE_STREAM_SECONDS, Backoff


def test_delay_doubles_up_to_its_maximum() -> None:
    """A daemon that restarts is found soon, and one that does not costs little."""
    backoff = Backoff()

    delays = [backoff.after_absence() for _ in range(2000)]

    assert [0.1, 0.2, 0.4] == delays[:3]
    assert MAX_ABSENT_DELAY == max(delays) == delays[-1]


def test_delay_is_reset_when_a_stream_opens() -> None:
    """The length of the absence before does not matter."""
    backoff = Backoff()
    for _ in range(9):
        backoff.after_absence()
    backoff.attached()

    assert 0.1 == backoff.after_absence()


def test_no_delay_after_a_stable_stream() -> None:
    """The daemon has most likely ended, and the icon shows that immediately."""
    assert 0.0 == Backoff().after_break(STABLE_STREAM_SECONDS)


def test_delay_grows_while_streams_keep_breaking() -> None:
    """It does not matter that each of them was opened successfully."""
    backoff, delays = Backoff(), []
    for _ in range(12):
        backoff.attached()
        delays.append(backoff.after_break(0.01))

    assert 0.0 == delays[0]
    assert delays == sorted(delays)
    assert MAX_REFUSED_DELAY == delays[-1]
    assert 0.0 == backoff.after_break(STABLE_STREAM_SECONDS)


def test_retry_after_is_a_lower_bound() -> None:
    """A refused tray does not try again sooner than the daemon allows."""
    backoff = Backoff()

    assert 1.0 == backoff.after_refusal()
    assert 60.0 == backoff.after_refusal(60.0)
