"""How the view follows from events and answers."""

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
from upstash_helper_tray.sync import state as fold
from upstash_helper_tray.sync.state import TrayState, reduce_event

STATE: frozenset[fold.Need] = frozenset({"state"})
APPS: frozenset[fold.Need] = frozenset({"apps"})
DATABASES: frozenset[fold.Need] = frozenset({"databases"})
RUNNING = TrayState(daemon="running", connection=connected(), databases=(database("orders"),))


@pytest.mark.parametrize("kind", ["hello", "reset"])
def test_a_stream_that_is_open_or_has_missed_something_asks_for_all(kind: str) -> None:
    """What happened before, or in between, is not in it."""
    after = reduce_event(RUNNING, event(kind))

    assert (RUNNING, STATE) == (after.view, after.needs)


def test_an_event_of_a_later_version_is_passed_over() -> None:
    """It changes nothing, and nothing is read for it."""
    after = reduce_event(RUNNING, event("weather", {"sun": True}))

    assert (RUNNING, frozenset()) == (after.view, after.needs)


# --- the connection ---------------------------------------------------------------------------------------------------


def test_an_account_that_is_connected_has_its_databases_read() -> None:
    """And shows none until then."""
    before = TrayState(daemon="running", connection=in_state("disconnected"))

    after = reduce_event(before, event("connection", connected()))

    assert (connected(), None, DATABASES) == (after.view.connection, after.view.databases, after.needs)


def test_news_of_the_same_account_reads_nothing() -> None:
    """Upstash is not asked again because another sign-in was begun."""
    after = reduce_event(RUNNING, event("connection", connected(attempt=failed_attempt())))

    assert (RUNNING.databases, frozenset()) == (after.view.databases, after.needs)


@pytest.mark.parametrize("other", [connected("bob@example.com"), connected(since="2026-11-26T13:00:00Z")])
def test_the_databases_of_another_account_are_never_shown(other: object) -> None:
    """Not for the time that it takes to read those of the new one."""
    after = reduce_event(RUNNING, event("connection", other))

    assert (None, DATABASES) == (after.view.databases, after.needs)


@pytest.mark.parametrize("state", ["disconnected", "reconnect_required", "keyring_locked", "needs_email"])
def test_without_an_account_there_are_no_databases(state: str) -> None:
    """And none are asked for."""
    after = reduce_event(RUNNING, event("connection", in_state(state)))

    assert (None, frozenset()) == (after.view.databases, after.needs)


def test_an_attempt_is_part_of_the_connection() -> None:
    """So the menu can show the one that runs."""
    after = reduce_event(RUNNING, event("attempt", failed_attempt()))

    assert after.view.connection is not None
    assert failed_attempt() == after.view.connection.attempt


# --- databases --------------------------------------------------------------------------------------------------------


def test_a_database_that_changed_has_them_read_anew() -> None:
    """Those that are known stay until then."""
    after = reduce_event(RUNNING, changed())

    assert (RUNNING.databases, DATABASES) == (after.view.databases, after.needs)


def test_databases_of_an_account_that_is_gone_are_dropped() -> None:
    """A slow answer may come when another account is connected."""
    other = replace(RUNNING, connection=connected("bob@example.com"), databases=None)

    assert other == fold.with_databases(other, connected(), [database("orders")])
    assert other == fold.without_databases(other, connected(), "Upstash cannot be reached.")


def test_databases_that_were_read_before_stay_when_a_read_fails() -> None:
    """With why they may be out of date."""
    after = fold.without_databases(RUNNING, connected(), "Upstash cannot be reached.")

    assert (RUNNING.databases, "Upstash cannot be reached.") == (after.databases, after.databases_error)
    assert "" == fold.with_databases(after, connected(), []).databases_error


# --- who wants in, and who is in --------------------------------------------------------------------------------------


def test_requests_wait_in_the_order_in_which_they_came() -> None:
    """One that is told twice waits once."""
    view = RUNNING
    for one in (pairing("p1"), pairing("p2"), pairing("p2")):
        view = reduce_event(view, event("pairing", one)).view

    assert ["p1", "p2"] == [one.id for one in view.pairings]


@pytest.mark.parametrize("state", ["denied", "expired"])
def test_a_request_that_is_over_waits_no_longer(state: str) -> None:
    """However it ended."""
    before = replace(RUNNING, pairings=(pairing("p1"), pairing("p2")))

    after = reduce_event(before, event("pairing", pairing("p1", state)))  # type: ignore[arg-type]

    assert (("p2",), frozenset()) == (tuple(one.id for one in after.view.pairings), after.needs)


def test_an_approved_request_has_the_apps_read() -> None:
    """No event says who was let in."""
    after = reduce_event(replace(RUNNING, pairings=(pairing(),)), event("pairing", pairing(state="approved")))

    assert ((), APPS) == (after.view.pairings, after.needs)


def test_a_request_is_shown_before_the_daemon_has_told_its_state() -> None:
    """The state may wait for the keyring; whoever waits for a yes does not."""
    view = fold.with_pairings(TrayState(), [pairing()])

    assert ("running", None) == (view.daemon, view.connection)
    assert "absent" == fold.with_pairings(TrayState(), []).daemon


def test_a_revoked_app_is_gone() -> None:
    """The others stay."""
    after = reduce_event(replace(RUNNING, apps=(app("a1"), app("a2"))), revoked("owner"))

    assert ("a2",) == tuple(one.id for one in after.view.apps)


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_a_status_makes_the_daemon_run() -> None:
    """Its databases are read, also those of an account that is known: events may have been missed."""
    after = fold.with_status(RUNNING, status(connected(), console_url="https://console.upstash.com"), connected())

    assert ("running", "https://console.upstash.com") == (after.view.daemon, after.view.console_url)
    assert (RUNNING.databases, DATABASES) == (after.view.databases, after.needs)


def test_a_daemon_that_is_gone_leaves_nothing_behind() -> None:
    """But for what is the tray's own."""
    full = replace(RUNNING, pairings=(pairing(),), apps=(app(),), console_url="https://c.example", starts_at_login=True)

    assert TrayState(daemon="absent", error_text="Why.", starts_at_login=True) == fold.absent(full, "Why.")
    assert TrayState(daemon="starting", starts_at_login=True) == fold.absent(full, "Why.", starting=True)
