"""Which notifications the user gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as replaced

from tests.support.tray_values import connected, event, failed_attempt, in_state, pairing, revoked
from upstash_helper.protocol.messages import GRANT_ENDED, VIA_BRIDGE
from upstash_helper_tray.presentation.notifications import Notification, NotificationTracker
from upstash_helper_tray.sync.state import TrayState

ABSENT = TrayState()
CONNECTED = TrayState(daemon="running", connection=connected())
DISCONNECTED = TrayState(daemon="running", connection=in_state("disconnected"))


def notifications_of(*states: TrayState) -> list[Notification]:
    """Return the notifications for a sequence of states."""
    tracker = NotificationTracker()
    return [notification for state in states for notification in tracker.update(state)]


def test_first_known_connection_is_not_reported() -> None:
    """A user who starts the tray sees the state in the icon."""
    assert [] == notifications_of(ABSENT, CONNECTED)
    assert [] == notifications_of(ABSENT, TrayState(daemon="running", connection=in_state("keyring_locked")))


def test_access_request_shows_the_verified_identity_first() -> None:
    """The name that the app claims comes last, so that it cannot pass for something else."""
    (notification,) = notifications_of(replace(CONNECTED, pairings=(pairing(name="Upstash"),)))

    assert notification.title.startswith("https://orders.example.com wants access")
    assert notification.body.index("WDJB-MJHT") < notification.body.index("Upstash")
    assert notification.body.endswith("The app calls itself “Upstash”.")


def test_access_request_over_the_bridge_says_so() -> None:
    """Before the name that the app claims."""
    (notification,) = notifications_of(replace(CONNECTED, pairings=(replaced(pairing(), via_bridge=True),)))

    assert VIA_BRIDGE in notification.body
    assert notification.body.index(VIA_BRIDGE) < notification.body.index("calls itself")


def test_access_request_is_reported_once() -> None:
    """It is not repeated after a restart of the daemon, or when another one arrives."""
    one, two = (
        replace(CONNECTED, pairings=(pairing("p1"),)),
        replace(CONNECTED, pairings=(pairing("p1"), pairing("p2"))),
    )

    assert 1 == len(notifications_of(one, one, ABSENT, one))
    assert 2 == len(notifications_of(one, two, two))


def test_request_that_replaces_the_same_one_is_not_reported_again() -> None:
    """Only its code is new. It is reported if it is for something else, or if the earlier one was not reported."""
    first, other = pairing("p1"), pairing("p0")
    again = replaced(pairing("p2"), replaces="p1", repeated=True)
    changed = replaced(pairing("p3"), replaces="p2")
    states = [replace(CONNECTED, pairings=(one,)) for one in (first, again, changed)]

    assert [1, 1, 2] == [len(notifications_of(*states[:number])) for number in (1, 2, 3)]
    assert 2 == len(notifications_of(replace(CONNECTED, pairings=(other,)), states[1]))


def test_new_account_is_reported() -> None:
    """This applies to the first account and to a different one."""
    (notification,) = notifications_of(DISCONNECTED, CONNECTED)
    other = notifications_of(CONNECTED, replace(CONNECTED, connection=connected("bob@example.com")))

    assert ("Connected to Upstash", "Account: ada@example.com") == (notification.title, notification.body)
    assert ["Account: bob@example.com"] == [one.body for one in other]


def test_other_access_to_the_same_account_is_reported() -> None:
    """With the account, the access, and the sign-in."""
    full, read_only = (replaced(connected(), method="grant", access=access) for access in ("full", "read_only"))
    states = [replace(CONNECTED, connection=one) for one in (full, read_only)]

    (notification,) = notifications_of(*states)

    assert (
        "Account: ada@example.com. Personal account, read-only access. Through Upstash's open sign-in"
        == notification.body
    )


def test_ended_grant_is_not_called_an_api_key() -> None:
    """The title is the daemon's."""
    ended = replaced(connected(), state="reconnect_required", method="grant", title=GRANT_ENDED.title)

    (notification,) = notifications_of(CONNECTED, replace(CONNECTED, connection=ended))

    assert "Your sign-in at Upstash has ended" == notification.title


def test_unchanged_connection_after_a_restart_is_not_reported() -> None:
    """The same account is not news."""
    assert [] == notifications_of(CONNECTED, ABSENT, CONNECTED)


@pytest.mark.parametrize(
    "state", ["reconnect_required", "needs_email", "keyring_locked", "keyring_unavailable", "port_conflict"]
)
def test_connection_that_needs_the_user_is_reported_once(state: str) -> None:
    """The text is the daemon's, which says what to do."""
    broken = TrayState(daemon="running", connection=in_state(state, detail="Do this."))

    notifications = notifications_of(CONNECTED, broken, ABSENT, broken)

    assert ["Do this."] == [notification.body for notification in notifications]


def test_failed_sign_in_is_reported_with_its_reason() -> None:
    """One that the user canceled is not reported."""
    failed = replace(DISCONNECTED, connection=in_state("disconnected", attempt=failed_attempt()))
    canceled = replace(DISCONNECTED, connection=in_state("disconnected", attempt=failed_attempt("cancelled")))

    assert ["You said no."] == [one.body for one in notifications_of(DISCONNECTED, failed, failed)]
    assert [] == notifications_of(DISCONNECTED, canceled)
    assert [] == notifications_of(ABSENT, failed)


@pytest.mark.parametrize(("reason", "count"), [("misused", 1), ("expired", 1), ("owner", 0), ("app", 0)])
def test_lost_access_is_reported_unless_it_was_intended(reason: str, count: int) -> None:
    """The name that the app claims comes last."""
    notifications = NotificationTracker().update(CONNECTED, revoked(reason))  # type: ignore[arg-type]

    assert count == len(notifications)
    assert all(notification.body.endswith("“Orders”.") for notification in notifications)


def test_other_events_are_not_reported() -> None:
    """Only changes of the state and revocations are."""
    assert [] == NotificationTracker().update(CONNECTED, event("hello"))


def test_memory_for_reported_requests_is_bounded() -> None:
    """After a thousand more, a request that was already reported is forgotten, and reported again."""
    first = replace(CONNECTED, pairings=(pairing("first"),))
    tracker = NotificationTracker()
    tracker.update(first)
    for number in range(999):
        tracker.update(replace(CONNECTED, pairings=(pairing(str(number)),)))
    remembered = tracker.update(first)
    for number in range(1000, 2000):
        tracker.update(replace(CONNECTED, pairings=(pairing(str(number)),)))

    assert [] == remembered
    assert 1 == len(tracker.update(first))
