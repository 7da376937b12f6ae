"""How often the daemon is looked for."""

from __future__ import annotations

from upstash_helper_tray.sync.follow import MAX_ABSENT_DELAY, MAX_REFUSED_DELAY, STABLE_STREAM_SECONDS, Backoff


def test_pauses_grow_to_their_longest() -> None:
    """A daemon that comes back is found soon, and one that does not costs little."""
    pace = Backoff()

    pauses = [pace.after_absence() for _ in range(2000)]

    assert [0.1, 0.2, 0.4] == pauses[:3]
    assert MAX_ABSENT_DELAY == max(pauses) == pauses[-1]


def test_after_a_daemon_was_there_the_looks_are_quick_again() -> None:
    """However long it had been away."""
    pace = Backoff()
    for _ in range(9):
        pace.after_absence()
    pace.attached()

    assert 0.1 == pace.after_absence()


def test_a_good_stream_that_breaks_is_looked_after_at_once() -> None:
    """It is the daemon that went, and the icon says so without delay."""
    assert 0.0 == Backoff().after_break(STABLE_STREAM_SECONDS)


def test_streams_that_break_again_and_again_are_not_hammered() -> None:
    """Even though each of them began well."""
    pace, pauses = Backoff(), []
    for _ in range(12):
        pace.attached()
        pauses.append(pace.after_break(0.01))

    assert 0.0 == pauses[0]
    assert pauses == sorted(pauses)
    assert MAX_REFUSED_DELAY == pauses[-1]
    assert 0.0 == pace.after_break(STABLE_STREAM_SECONDS)


def test_a_refusal_is_asked_again_slowly() -> None:
    """Not sooner than the daemon wants."""
    pace = Backoff()

    assert 1.0 == pace.after_refusal()
    assert 60.0 == pace.after_refusal(60.0)
