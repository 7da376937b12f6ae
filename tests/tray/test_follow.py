"""Following the daemon, whatever becomes of it: a real one, and for its misbehaviour a server that is none."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support.app_side import AppSide
from tests.support.daemon import DaemonProcess, free_port
from tests.support.fake_daemon import fake_daemon, problem
from tests.support.until import until
from tests.support.watched import Watched
from tests.support.world import PASSWORD
from upstash_helper.client.daemon import Tray
from upstash_helper.protocol import discovery, wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://orders.example.com"


@pytest.fixture
def watched(running: DaemonProcess) -> Iterator[Watched]:
    """A follower of a daemon that runs."""
    with Watched.following(running.folders.runtime) as watched:
        until(lambda: watched.now.connection)
        yield watched


async def asked(far_side: Sandbox) -> None:
    """Wait until Upstash was asked for something."""
    async with asyncio.timeout(30):
        while not await far_side.requests():  # noqa: ASYNC110 - another process receives them
            await asyncio.sleep(0.01)


# --- what the daemon tells --------------------------------------------------------------------------------------------


async def test_the_view_follows_a_sign_in(watched: Watched, running: DaemonProcess, far_side: Sandbox) -> None:
    """From the click to the databases of the account, without a look of the user's."""
    started = running.client.connect(open_browser=False)
    assert isinstance(started, wire.StartedAttempt)
    landing = await far_side.authorize(started.authorization_url, "tray-sign-in@example.com", PASSWORD)
    async with aiohttp.ClientSession() as browser, browser.get(landing) as page:
        assert 200 == page.status

    until(lambda: watched.now.databases is not None)
    assert ["disconnected", "connecting", "connected"] == watched.states[-3:]
    assert watched.now.connection is not None
    assert wire.Account(email="tray-sign-in@example.com") == watched.now.connection.account

    running.client.disconnect()
    until(lambda: watched.now.connection and watched.now.connection.state == "disconnected")
    assert watched.now.databases is None


def test_a_request_comes_and_goes(watched: Watched, running: DaemonProcess) -> None:
    """It is there while it waits for the user, and not any longer."""
    app = AppSide.asks(running, origin=PAGE)
    waiting = until(lambda: watched.now.pairings)
    running.client.deny(app.id)
    until(lambda: not watched.now.pairings)

    assert [(app.id, app.code)] == [(one.id, one.user_code) for one in waiting]


def test_an_app_that_is_let_in_is_shown_until_it_is_revoked(watched: Watched, running: DaemonProcess) -> None:
    """Whoever let it in."""
    app = AppSide.let_in(running, origin=PAGE)
    until(lambda: [one.id for one in watched.now.apps] == [app.app_id])
    running.client.revoke_app(app.app_id)

    until(lambda: not watched.now.apps)


def test_what_waits_already_is_found(running: DaemonProcess) -> None:
    """A tray that starts late misses nothing."""
    app = AppSide.asks(running, origin=PAGE)
    let_in = AppSide.let_in(running, origin="https://other.example.com")

    with Watched.following(running.folders.runtime) as watched:
        until(lambda: watched.now.connection)

        assert [app.id] == [one.id for one in watched.now.pairings]
        assert [let_in.app_id] == [one.id for one in watched.now.apps]


def test_the_daemon_knows_its_tray(running: DaemonProcess) -> None:
    """For as long as there is one."""
    with Watched.following(running.folders.runtime, introduction=lambda: Tray("xorg", notifies=True)) as watched:
        until(lambda: watched.now.connection)
        tray = running.client.status().tray

    assert tray is not None
    assert ("attached", "xorg", True) == (tray.state, tray.backend, tray.notifies)
    until(lambda: (found := running.client.status().tray) and found.state == "unavailable")


# --- databases --------------------------------------------------------------------------------------------------------


def test_databases_that_are_made_and_deleted_are_noticed(
    connected: str, watched: Watched, running: DaemonProcess
) -> None:
    """Through whichever app."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")
    until(lambda: watched.now.databases)
    assert watched.now.databases is not None
    assert ["orders"] == [one.name for one in watched.now.databases]
    running.client.delete_database(made.id)

    until(lambda: watched.now.databases == ())


async def test_upstash_is_not_asked_while_nothing_happens(
    connected: str, watched: Watched, running: DaemonProcess, far_side: Sandbox
) -> None:
    """One read at the beginning; an app that comes and goes is none of Upstash's business."""
    until(lambda: watched.now.databases is not None)
    await far_side.forget_requests()

    app = AppSide.let_in(running, origin=PAGE)
    running.client.revoke_app(app.app_id)
    until(lambda: any(view.apps for view in watched.seen) and not watched.now.apps)

    assert [] == await far_side.requests()


async def test_a_refresh_asks_upstash(connected: str, watched: Watched, far_side: Sandbox) -> None:
    """Although the daemon knows a list that is young."""
    until(lambda: watched.now.databases is not None)
    await far_side.forget_requests()

    watched.follower.refresh_databases()

    await asked(far_side)


async def test_a_slow_upstash_does_not_keep_a_request_waiting(
    connected: str, watched: Watched, running: DaemonProcess, far_side: Sandbox
) -> None:
    """Whoever waits for a yes is shown although the databases are being read."""
    until(lambda: watched.now.databases is not None)
    await far_side.forget_requests()
    await far_side.fault(path="/v2/redis/databases", latency=60)
    watched.follower.refresh_databases()
    await asked(far_side)

    app = AppSide.asks(running, origin=PAGE)

    until(lambda: [one.id for one in watched.now.pairings] == [app.id])


async def test_databases_that_cannot_be_read_say_why_and_are_tried_again(
    connected: str, running: DaemonProcess, far_side: Sandbox
) -> None:
    """The network may come after the login."""
    await far_side.fault(path="/v2/redis/databases", status=503, times=4)

    with Watched.following(running.folders.runtime, retries=(0.01,) * 4) as watched:
        until(lambda: watched.now.databases is not None)

    assert any(view.databases_trouble and view.databases is None for view in watched.seen)
    assert "" == watched.now.databases_trouble


# --- the daemon goes and comes ----------------------------------------------------------------------------------------


def test_without_a_daemon_there_is_nothing_to_show(tmp_path: Path) -> None:
    """And nothing more to say than that; when one comes it is found."""
    daemon = DaemonProcess(tmp_path / "home")
    try:
        with Watched.following(daemon.folders.runtime) as watched:
            daemon.start()
            until(lambda: watched.now.daemon == "running")
    finally:
        daemon.kill()

    assert {""} == {view.trouble for view in watched.seen}


def test_a_daemon_that_stops_is_gone_at_once(watched: Watched, running: DaemonProcess) -> None:
    """It says goodbye."""
    running.client.stop()

    until(lambda: watched.now.daemon == "absent")
    assert (None, "") == (watched.now.connection, watched.now.trouble)


def test_a_killed_daemon_is_found_again_on_another_port_within_five_seconds(tmp_path: Path) -> None:
    """With another token, in another process."""
    first = DaemonProcess(tmp_path / "home")
    second = DaemonProcess(tmp_path / "home", port=free_port())
    try:
        first.start()
        with Watched.following(first.folders.runtime) as watched:
            until(lambda: watched.now.daemon == "running")
            first.kill()
            until(lambda: watched.now.daemon == "absent")
            second.start()
            until(lambda: watched.now.daemon == "running" and watched.now.connection, seconds=5.0)

            app = AppSide.asks(second, origin=PAGE)
            until(lambda: [one.id for one in watched.now.pairings] == [app.id])
    finally:
        first.kill()
        second.kill()


def test_the_end_does_not_wait_for_news(watched: Watched) -> None:
    """Although the thread sleeps in the kernel."""
    watched.follower.stop()

    assert not watched.follower._thread.is_alive()


# --- what is there is no daemon, or an ill one ------------------------------------------------------------------------


def test_streams_that_break_again_and_again_are_told_and_not_hammered(tmp_path: Path) -> None:
    """Each time a little later, and in the end the user is told."""
    with fake_daemon(tmp_path) as daemon, Watched.following(tmp_path) as watched:
        until(lambda: watched.now.trouble)

        assert "again and again" in watched.now.trouble
        assert "absent" == watched.now.daemon
        assert 4 == daemon.asked.count("/v1/events")


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"events": (200, b"event: connection\ndata: {}\n\n")}, "another version"),
        ({"events": (200, b"event: connection\ndata: no JSON\n\n")}, "another version"),
        ({"events": (404, b"<html>")}, "another program"),
        ({"daemon": (200, b"[]")}, "restart"),
        ({"events": problem(429, "too_many_streams", "16 event streams are open.")}, "16 event streams are open"),
    ],
    ids=["event", "no-json", "stranger", "status", "too-many"],
)
def test_what_cannot_be_understood_is_told_in_words(tmp_path: Path, answers: dict[str, Any], words: str) -> None:
    """And never ends the tray."""
    with fake_daemon(tmp_path, **answers), Watched.following(tmp_path) as watched:
        until(lambda: words in watched.now.trouble)

        assert "absent" == watched.now.daemon
        assert watched.follower._thread.is_alive()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes of files")
def test_an_announcement_of_somebody_elses_is_not_believed(tmp_path: Path) -> None:
    """Its address would get the token."""
    with fake_daemon(tmp_path) as daemon:
        discovery.discovery_file(tmp_path).chmod(0o644)
        with Watched.following(tmp_path) as watched:
            until(lambda: "0644" in watched.now.trouble)

    assert [] == daemon.asked


def test_a_ledger_that_cannot_be_read_takes_nothing_else_away(tmp_path: Path) -> None:
    """Nobody can ask to be let in then; the connection is shown all the same."""
    ill = problem(503, "ledger_unavailable", "The disk is full.")

    with fake_daemon(tmp_path, pairings=ill, apps=ill), Watched.following(tmp_path) as watched:
        until(lambda: any(view.connection and view.connection.state == "connected" for view in watched.seen))
