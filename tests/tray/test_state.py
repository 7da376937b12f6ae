"""The reducers of the tray's state."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.tray_values import (
    app,
    changed,
    connected,
    database,
    event,
    failed_attempt,
    in_state,
    pairing,
    revoked,
    status,
)
from upstash_helper_tray.sync.state import (
    Need,
    TrayState,
    reduce_event,
    with_databases,
    with_databases_error,
    with_pairings,
    with_status,
    without_daemon,
)

STATE: frozenset[Need] = frozenset({"state"})
APPS: frozenset[Need] = frozenset({"apps"})
DATABASES: frozenset[Need] = frozenset({"databases"})
RUNNING = TrayState(daemon="running", connection=connected(), databases=(database("orders"),))


@pytest.mark.parametrize("kind", ["hello", "reset"])
def test_new_or_incomplete_stream_requires_reading_the_whole_state(kind: str) -> None:
    """What happened before the stream, or in a gap, is not in its events."""
    after = reduce_event(RUNNING, event(kind))

    assert (RUNNING, STATE) == (after.state, after.needs)


def test_unknown_event_is_ignored() -> None:
    """An event of a newer daemon changes nothing, and causes no read."""
    after = reduce_event(RUNNING, event("weather", {"sun": True}))

    assert (RUNNING, frozenset()) == (after.state, after.needs)


# --- the connection ---------------------------------------------------------------------------------------------------


def test_databases_are_read_when_an_account_is_connected() -> None:
    """None are shown until then."""
    before = TrayState(daemon="running", connection=in_state("disconnected"))

    after = reduce_event(before, event("connection", connected()))

    assert (connected(), None, DATABASES) == (after.state.connection, after.state.databases, after.needs)


def test_change_within_the_same_account_keeps_its_databases() -> None:
    """Upstash is not queried because another sign-in was started."""
    after = reduce_event(RUNNING, event("connection", connected(attempt=failed_attempt())))

    assert (RUNNING.databases, frozenset()) == (after.state.databases, after.needs)


@pytest.mark.parametrize("other", [connected("bob@example.com"), connected(since="2026-11-26T13:00:00Z")])
def test_databases_of_the_previous_account_are_dropped(other: object) -> None:
    """They are not shown even while those of the new account are being read."""
    after = reduce_event(RUNNING, event("connection", other))

    assert (None, DATABASES) == (after.state.databases, after.needs)


@pytest.mark.parametrize("state", ["disconnected", "reconnect_required", "keyring_locked", "needs_email"])
def test_databases_are_dropped_and_not_read_without_an_account(state: str) -> None:
    """No connection state other than ``connected`` has databases."""
    after = reduce_event(RUNNING, event("connection", in_state(state)))

    assert (None, frozenset()) == (after.state.databases, after.needs)


def test_attempt_becomes_part_of_the_connection() -> None:
    """The menu can then show the pending sign-in."""
    after = reduce_event(RUNNING, event("attempt", failed_attempt()))

    assert after.state.connection is not None
    assert failed_attempt() == after.state.connection.attempt


# --- databases --------------------------------------------------------------------------------------------------------


def test_databases_are_read_again_when_one_changes() -> None:
    """The known ones stay until then."""
    after = reduce_event(RUNNING, changed())

    assert (RUNNING.databases, DATABASES) == (after.state.databases, after.needs)


def test_late_answer_for_the_previous_account_is_dropped() -> None:
    """Neither its databases nor its error are shown for the new account."""
    other = replace(RUNNING, connection=connected("bob@example.com"), databases=None)

    assert other == with_databases(other, connected(), [database("orders")])
    assert other == with_databases_error(other, connected(), "Upstash cannot be reached.")


def test_known_databases_stay_when_a_read_fails() -> None:
    """They are shown together with the error until a read succeeds."""
    after = with_databases_error(RUNNING, connected(), "Upstash cannot be reached.")

    assert (RUNNING.databases, "Upstash cannot be reached.") == (after.databases, after.databases_error)
    assert "" == with_databases(after, connected(), []).databases_error


# --- access requests and apps -----------------------------------------------------------------------------------------


def test_pending_requests_keep_their_order_and_are_listed_once() -> None:
    """An event that arrives twice does not add a second entry."""
    state = RUNNING
    for one in (pairing("p1"), pairing("p2"), pairing("p2")):
        state = reduce_event(state, event("pairing", one)).state

    assert ["p1", "p2"] == [one.id for one in state.pairings]


@pytest.mark.parametrize("state", ["denied", "expired"])
def test_finished_request_is_removed(state: str) -> None:
    """The other requests stay, and nothing has to be read."""
    before = replace(RUNNING, pairings=(pairing("p1"), pairing("p2")))

    after = reduce_event(before, event("pairing", pairing("p1", state)))  # type: ignore[arg-type]

    assert (("p2",), frozenset()) == (tuple(one.id for one in after.state.pairings), after.needs)


def test_apps_are_read_after_an_approval() -> None:
    """The event does not describe the app that got access."""
    after = reduce_event(replace(RUNNING, pairings=(pairing(),)), event("pairing", pairing(state="approved")))

    assert ((), APPS) == (after.state.pairings, after.needs)


def test_request_is_shown_before_the_status_is_known() -> None:
    """The status may have to wait for the keyring."""
    state = with_pairings(TrayState(), [pairing()])

    assert ("running", None) == (state.daemon, state.connection)
    assert "absent" == with_pairings(TrayState(), []).daemon


def test_revoked_app_is_removed() -> None:
    """The others stay."""
    after = reduce_event(replace(RUNNING, apps=(app("a1"), app("a2"))), revoked("owner"))

    assert ("a2",) == tuple(one.id for one in after.state.apps)


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_status_marks_the_daemon_as_running_and_reads_databases() -> None:
    """The databases of a known account are read too, since events may have been missed."""
    after = with_status(RUNNING, status(connected(), console_url="https://console.upstash.com"), connected())

    assert ("running", "https://console.upstash.com") == (after.state.daemon, after.state.console_url)
    assert (RUNNING.databases, DATABASES) == (after.state.databases, after.needs)


def test_only_the_trays_own_state_is_kept_without_a_daemon() -> None:
    """Everything that came from the daemon is dropped."""
    full = replace(RUNNING, pairings=(pairing(),), apps=(app(),), console_url="https://c.example", starts_at_login=True)

    assert TrayState(daemon="absent", error_text="Why.", starts_at_login=True) == without_daemon(full, "Why.")
    assert TrayState(daemon="starting", starts_at_login=True) == without_daemon(full, "Why.", starting=True)
