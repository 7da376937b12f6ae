"""What the user is told without having asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.tray_values import connected, event, failed_attempt, in_state, pairing, revoked
from upstash_helper_tray.presentation.notifications import Notification, NotificationTracker
from upstash_helper_tray.sync.state import TrayState

ABSENT = TrayState()
CONNECTED = TrayState(daemon="running", connection=connected())
DISCONNECTED = TrayState(daemon="running", connection=in_state("disconnected"))


def told(*views: TrayState) -> list[Notification]:
    """Return what is told about views that follow each other."""
    herald = NotificationTracker()
    return [notice for view in views for notice in herald.news(view)]


def test_what_was_so_before_is_no_news() -> None:
    """Whoever starts the tray knows that they are connected, or sees it."""
    assert [] == told(ABSENT, CONNECTED)
    assert [] == told(ABSENT, TrayState(daemon="running", connection=in_state("keyring_locked")))


def test_a_request_is_told_with_what_is_vouched_for_first() -> None:
    """The name that the app gives itself is last, and cannot pretend to be something else."""
    (notice,) = told(replace(CONNECTED, pairings=(pairing(name="Upstash"),)))

    assert notice.title.startswith("https://orders.example.com asks")
    assert notice.body.index("WDJB-MJHT") < notice.body.index("Upstash")
    assert notice.body.endswith("It calls itself “Upstash”.")


def test_each_request_is_told_once() -> None:
    """Also if the daemon was away in between, and one more comes."""
    one, two = (
        replace(CONNECTED, pairings=(pairing("p1"),)),
        replace(CONNECTED, pairings=(pairing("p1"), pairing("p2"))),
    )

    assert 1 == len(told(one, one, ABSENT, one))
    assert 2 == len(told(one, two, two))


def test_a_connection_is_told() -> None:
    """With the account; another one is news, too."""
    (notice,) = told(DISCONNECTED, CONNECTED)
    again = told(CONNECTED, replace(CONNECTED, connection=connected("bob@example.com")))

    assert ("Connected to Upstash", "The account is ada@example.com.") == (notice.title, notice.body)
    assert ["The account is bob@example.com."] == [one.body for one in again]


def test_a_daemon_that_comes_back_as_it_was_is_no_news() -> None:
    """Nor is the same account at a later time."""
    assert [] == told(CONNECTED, ABSENT, CONNECTED)


@pytest.mark.parametrize(
    "state", ["reconnect_required", "needs_email", "keyring_locked", "keyring_unavailable", "port_conflict"]
)
def test_a_connection_that_needs_a_hand_is_told_once(state: str) -> None:
    """In the daemon's own words, which say what to do."""
    broken = TrayState(daemon="running", connection=in_state(state, detail="Do this."))

    notifications = told(CONNECTED, broken, ABSENT, broken)

    assert ["Do this."] == [notice.body for notice in notifications]


def test_a_sign_in_that_failed_is_told() -> None:
    """With why; one that the user gave up is no news."""
    failed = replace(DISCONNECTED, connection=in_state("disconnected", attempt=failed_attempt()))
    given_up = replace(DISCONNECTED, connection=in_state("disconnected", attempt=failed_attempt("cancelled")))

    assert ["You said no."] == [notice.body for notice in told(DISCONNECTED, failed, failed)]
    assert [] == told(DISCONNECTED, given_up)
    assert [] == told(ABSENT, failed)


@pytest.mark.parametrize(("reason", "count"), [("misused", 1), ("expired", 1), ("owner", 0), ("app", 0)])
def test_an_app_that_lost_its_access_is_told_unless_somebody_wanted_that(reason: str, count: int) -> None:
    """The name that the app gave itself comes last."""
    notifications = NotificationTracker().news(CONNECTED, revoked(reason))  # type: ignore[arg-type]

    assert count == len(notifications)
    assert all(notice.body.endswith("“Orders”.") for notice in notifications)


def test_other_events_say_nothing() -> None:
    """Only the view does."""
    assert [] == NotificationTracker().news(CONNECTED, event("hello"))


def test_memory_is_bounded() -> None:
    """An app that asks a thousand times does not fill it."""
    herald = NotificationTracker()
    for number in range(1500):
        herald.news(replace(CONNECTED, pairings=(pairing(str(number)),)))

    assert 1000 == len(herald._told)
