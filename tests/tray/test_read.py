"""Reading what takes its time: a daemon's status that comes later than its news."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

from tests.support.fake_daemon import FakeDaemon, fake_daemon
from tests.support.tray_facts import connected, database, event, in_state, status
from tests.support.until import SECONDS, until
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.protocol import wire
from upstash_helper_tray import state
from upstash_helper_tray.state import Views
from upstash_helper_tray.sync.read import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


DAEMON, DATABASES = "/v1/daemon", "/v1/databases"
FOUND = (200, msgspec.json.encode(wire.DatabaseList(databases=(database("orders"),))))


@contextlib.contextmanager
def reading(runtime: Path, connection: wire.Connection) -> Iterator[tuple[Views, Reader, type[FakeDaemon]]]:
    """Read from a daemon each of whose answers is given when the test says so."""
    told = (200, msgspec.json.encode(status(connection)))
    with fake_daemon(runtime, held=(DAEMON, DATABASES), daemon=told, databases=FOUND) as daemon:
        views = Views(lambda _before, _after, _event: None)
        reader = Reader(views, failed=lambda _error: None)
        reader.read_from(DaemonClient.discover(runtime))
        reader.start()
        try:
            yield views, reader, daemon
        finally:
            for held in daemon.held.values():
                held.release(99)
            reader.stop()
            reader._thread.join(SECONDS)


def test_news_that_came_before_the_answer_is_not_undone_by_it(tmp_path: Path) -> None:
    """The account was connected while the daemon was looking up what it would answer."""
    with reading(tmp_path, in_state("disconnected")) as (views, reader, daemon):
        reader.want("status")
        until(lambda: DAEMON in daemon.asked)
        views.change(lambda view: state.folded(view, event("connection", connected())).view)
        daemon.held[DAEMON].release()

        until(lambda: views.current.daemon == "running")
        assert connected() == views.current.connection


def test_what_is_wanted_while_it_is_read_is_read_once_more(tmp_path: Path) -> None:
    """Once, however often it was wanted: the answer that comes may be of the time before."""
    with reading(tmp_path, connected()) as (views, reader, daemon):
        views.change(lambda view: state.with_connection(view, connected()).view)
        reader.want("databases")
        until(lambda: daemon.asked == [DATABASES])
        for _ in range(20):
            reader.want("databases")
        daemon.held[DATABASES].release(99)
        until(lambda: len(daemon.asked) == 2)
        reader.want("status")
        daemon.held[DAEMON].release(99)

        # The reader does one thing after the other: the status is read when nothing else is.
        until(lambda: views.current.daemon == "running")
        assert [DATABASES, DATABASES] == daemon.asked[:2]
        assert (database("orders"),) == views.current.databases


def test_a_refresh_is_not_followed_by_another_read(tmp_path: Path) -> None:
    """It knows all that the other would."""
    with reading(tmp_path, connected()) as (views, reader, daemon):
        views.change(lambda view: state.with_connection(view, connected()).view)
        daemon.held[DATABASES].release(99)
        reader.want("databases", "refresh")

        until(lambda: views.current.databases)
        assert set() == reader._wanted
        assert [DATABASES] == daemon.asked


def test_a_daemon_that_is_gone_is_not_read(tmp_path: Path) -> None:
    """What was wanted of it is not asked of the next one."""
    with reading(tmp_path, connected()) as (_, reader, daemon):
        client = reader._client
        reader.read_from(None)
        reader.want("status", "databases", "refresh")
        reader.read_from(client)

        assert set() == reader._wanted
    assert [] == daemon.asked
