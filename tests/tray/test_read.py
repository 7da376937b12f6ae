"""Reading the status and the databases on the worker thread."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from tests.support.fake_daemon import FakeDaemon, fake_daemon
from tests.support.tray_values import connected, database, event, in_state, status
from tests.support.until import until
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.protocol import wire
from upstash_helper_tray.sync.read import Reader
from upstash_helper_tray.sync.state import StateStore, reduce_event, with_connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


DAEMON, DATABASES = "/v1/daemon", "/v1/databases"
FOUND = (200, msgspec.json.encode(wire.DatabaseList(databases=(database("orders"),))))


@contextlib.contextmanager
def reading(
    runtime: Path, connection: wire.Connection
) -> Iterator[tuple[StateStore, Reader, type[FakeDaemon], DaemonClient]]:
    """Read from a daemon whose answers the test releases one by one."""
    answer = (200, msgspec.json.encode(status(connection)))
    with fake_daemon(runtime, held=(DAEMON, DATABASES), daemon=answer, databases=FOUND) as daemon:
        store = StateStore(lambda _before, _after, _event: None)
        reader = Reader(store, on_failure=lambda _error: None)
        client = DaemonClient.discover(runtime)
        reader.read_from(client)
        reader.start()
        try:
            yield store, reader, daemon, client
        finally:
            for held in daemon.held.values():
                held.release(99)
            reader.stop()
            until(lambda: not reader.is_alive)


def test_event_that_arrives_before_the_answer_wins(tmp_path: Path) -> None:
    """The account was connected while the daemon was preparing its answer."""
    with reading(tmp_path, in_state("disconnected")) as (store, reader, daemon, _):
        reader.request("status")
        until(lambda: DAEMON in daemon.requested)
        store.update(lambda state: reduce_event(state, event("connection", connected())).state)
        daemon.held[DAEMON].release()

        until(lambda: store.current.daemon == "running")
        assert connected() == store.current.connection


def test_requests_during_a_read_cause_exactly_one_more(tmp_path: Path) -> None:
    """The pending answer may be outdated, but one further read is enough."""
    with reading(tmp_path, connected()) as (store, reader, daemon, _):
        store.update(lambda state: with_connection(state, connected()).state)
        reader.request("databases")
        until(lambda: daemon.requested == [DATABASES])
        for _ in range(20):
            reader.request("databases")
        daemon.held[DATABASES].release(99)
        until(lambda: len(daemon.requested) == 2)
        reader.request("status")
        daemon.held[DAEMON].release(99)

        # Reads run one after the other, so the status comes after any further read of the databases.
        until(lambda: store.current.daemon == "running")
        assert [DATABASES, DATABASES] == daemon.requested[:2]
        assert (database("orders"),) == store.current.databases


def test_refresh_replaces_a_pending_read(tmp_path: Path) -> None:
    """It includes everything that a plain read would return."""
    with reading(tmp_path, connected()) as (store, reader, daemon, _):
        store.update(lambda state: with_connection(state, connected()).state)
        daemon.held[DATABASES].release(99)
        reader.request("databases", "refresh")

        until(lambda: store.current.databases)
        assert frozenset() == reader.requested
        assert [DATABASES] == daemon.requested


def test_requests_for_a_lost_daemon_are_dropped(tmp_path: Path) -> None:
    """They are not sent to the next one."""
    with reading(tmp_path, connected()) as (_, reader, daemon, client):
        reader.read_from(None)
        reader.request("status", "databases", "refresh")
        reader.read_from(client)

        assert frozenset() == reader.requested
    assert [] == daemon.requested
