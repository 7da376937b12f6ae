"""Following a real daemon across restarts and crashes, and a fake one that misbehaves."""

from __future__ import annotations

import asyncio
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support.daemon import DaemonProcess, free_port
from tests.support.fake_daemon import fake_daemon, problem
from tests.support.recorded_follower import RecordedFollower
from tests.support.sample_app import SampleApp
from tests.support.until import until
from tests.support.world import PASSWORD
from upstash_helper.client.daemon import TrayInfo
from upstash_helper.protocol import discovery, wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://orders.example.com"


@pytest.fixture
def recorded(running: DaemonProcess) -> Iterator[RecordedFollower]:
    """A follower of a running daemon."""
    with RecordedFollower.following(running.folders.runtime) as recorded:
        until(lambda: recorded.now.connection)
        yield recorded


async def upstash_request(sandbox: Sandbox) -> None:
    """Wait until Upstash has received a request."""
    async with asyncio.timeout(30):
        while not await sandbox.requests():  # noqa: ASYNC110 - another process receives them
            await asyncio.sleep(0.01)


# --- events -----------------------------------------------------------------------------------------------------------


async def test_state_follows_a_sign_in(recorded: RecordedFollower, running: DaemonProcess, sandbox: Sandbox) -> None:
    """From the click to the databases of the account, without any action in the tray."""
    started = running.client.connect(open_browser=False)
    assert isinstance(started, wire.StartedAttempt)
    landing = await sandbox.authorize(started.authorization_url, "tray-sign-in@example.com", PASSWORD)
    async with aiohttp.ClientSession() as browser, browser.get(landing) as page:
        assert 200 == page.status

    until(lambda: recorded.now.databases is not None)
    assert ["disconnected", "connecting", "connected"] == recorded.connection_states[-3:]
    assert recorded.now.connection is not None
    assert wire.Account(email="tray-sign-in@example.com") == recorded.now.connection.account

    running.client.disconnect()
    until(lambda: recorded.now.connection and recorded.now.connection.state == "disconnected")
    assert recorded.now.databases is None


def test_request_is_shown_while_it_is_pending(recorded: RecordedFollower, running: DaemonProcess) -> None:
    """It is removed once it is decided."""
    app = SampleApp.requesting(running, origin=PAGE)
    pending = until(lambda: recorded.now.pairings)
    running.client.deny(app.id)
    until(lambda: not recorded.now.pairings)

    assert [(app.id, app.code)] == [(one.id, one.user_code) for one in pending]


def test_app_is_shown_until_its_access_is_revoked(recorded: RecordedFollower, running: DaemonProcess) -> None:
    """The tray itself neither approved nor revoked it."""
    app = SampleApp.approved(running, origin=PAGE)
    until(lambda: recorded.now.apps)
    running.client.revoke_app(app.app_id)
    until(lambda: not recorded.now.apps)

    shown = [tuple(one.id for one in state.apps) for state in recorded.states]
    assert [(), (app.app_id,), ()] == [apps for apps, _ in groupby(shown)]


def test_pending_requests_and_apps_are_found_at_start(running: DaemonProcess) -> None:
    """A tray that starts later than the daemon misses nothing."""
    app = SampleApp.requesting(running, origin=PAGE)
    approved = SampleApp.approved(running, origin="https://other.example.org")

    with RecordedFollower.following(running.folders.runtime) as recorded:
        # The connection is read on another thread, so it may be known before the requests and the apps.
        until(lambda: recorded.now.connection and recorded.now.pairings and recorded.now.apps)

        assert [app.id] == [one.id for one in recorded.now.pairings]
        assert [approved.app_id] == [one.id for one in recorded.now.apps]


def test_daemon_knows_its_tray(running: DaemonProcess) -> None:
    """It reports the tray as attached only while its stream is open."""
    with RecordedFollower.following(
        running.folders.runtime, introduction=lambda: TrayInfo("xorg", notifies=True)
    ) as recorded:
        until(lambda: recorded.now.connection)
        tray = running.client.status().tray

    assert tray is not None
    assert ("attached", "xorg", True) == (tray.state, tray.backend, tray.notifies)
    until(lambda: (found := running.client.status().tray) and found.state == "unavailable")


# --- databases --------------------------------------------------------------------------------------------------------


def test_created_and_deleted_databases_are_noticed(
    connected: str, recorded: RecordedFollower, running: DaemonProcess
) -> None:
    """The tray itself made neither change."""
    new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
    made = running.client.create_database(new, idempotency_key="one")
    until(lambda: recorded.now.databases)
    assert recorded.now.databases is not None
    assert ["orders"] == [one.name for one in recorded.now.databases]
    running.client.delete_database(made.id)

    until(lambda: recorded.now.databases == ())


async def test_apps_cause_no_requests_to_upstash(
    connected: str, recorded: RecordedFollower, running: DaemonProcess, sandbox: Sandbox
) -> None:
    """Databases are read once at the start, and not when an app gets or loses access."""
    until(lambda: recorded.now.databases is not None)
    await sandbox.forget_requests()

    app = SampleApp.approved(running, origin=PAGE)
    until(lambda: recorded.now.apps)
    running.client.revoke_app(app.app_id)
    until(lambda: not recorded.now.apps)

    assert [] == await sandbox.requests()


async def test_refresh_bypasses_the_cache(connected: str, recorded: RecordedFollower, sandbox: Sandbox) -> None:
    """Upstash receives a request although the daemon has a recent list."""
    until(lambda: recorded.now.databases is not None)
    await sandbox.forget_requests()

    recorded.follower.refresh_databases()
    await upstash_request(sandbox)

    assert {"GET /v2/redis/databases"} == {f"{it['method']} {it['path']}" for it in await sandbox.requests()}


async def test_slow_upstash_does_not_delay_an_access_request(
    connected: str, recorded: RecordedFollower, running: DaemonProcess, sandbox: Sandbox
) -> None:
    """It is shown while the databases are still being read."""
    until(lambda: recorded.now.databases is not None)
    await sandbox.forget_requests()
    await sandbox.fault(path="/v2/redis/databases", latency=60)
    recorded.follower.refresh_databases()
    await upstash_request(sandbox)

    app = SampleApp.requesting(running, origin=PAGE)
    until(lambda: recorded.now.pairings)

    assert [(app.id, app.code)] == [(one.id, one.user_code) for one in recorded.now.pairings]
    assert [None] == [request["status"] for request in await sandbox.requests()]


async def test_failed_read_of_databases_is_reported_and_retried(
    connected: str, running: DaemonProcess, sandbox: Sandbox
) -> None:
    """After login, the network may come up later than the tray."""
    await sandbox.fault(path="/v2/redis/databases", status=503, times=4)

    with RecordedFollower.following(running.folders.runtime, retries=(0.01,) * 4) as recorded:
        until(lambda: recorded.now.databases is not None)

    assert any(state.databases_error and state.databases is None for state in recorded.states)
    assert "" == recorded.now.databases_error


# --- the daemon stops and starts --------------------------------------------------------------------------------------


def test_daemon_that_starts_later_is_found(tmp_path: Path) -> None:
    """Until then the state has no error: that it is not running needs no explanation."""
    daemon = DaemonProcess(tmp_path / "home")
    try:
        with RecordedFollower.following(daemon.folders.runtime) as recorded:
            daemon.start()
            until(lambda: recorded.now.daemon == "running")
    finally:
        daemon.kill()

    assert {""} == {state.error_text for state in recorded.states}


def test_stopping_daemon_is_shown_as_absent(recorded: RecordedFollower, running: DaemonProcess) -> None:
    """It announces its end, so there is nothing to report."""
    running.client.stop()

    until(lambda: recorded.now.daemon == "absent")
    assert (None, "") == (recorded.now.connection, recorded.now.error_text)


def test_restarted_daemon_is_found_within_five_seconds(tmp_path: Path) -> None:
    """It has another port and another token."""
    first = DaemonProcess(tmp_path / "home")
    second = DaemonProcess(tmp_path / "home", port=free_port())
    try:
        first.start()
        with RecordedFollower.following(first.folders.runtime) as recorded:
            until(lambda: recorded.now.daemon == "running")
            first.kill()
            until(lambda: recorded.now.daemon == "absent")
            second.start()
            until(lambda: recorded.now.daemon == "running" and recorded.now.connection, seconds=5.0)

            app = SampleApp.requesting(second, origin=PAGE)
            until(lambda: recorded.now.pairings)

            assert [(app.id, app.code)] == [(one.id, one.user_code) for one in recorded.now.pairings]
    finally:
        first.kill()
        second.kill()


def test_stop_interrupts_a_blocked_read(recorded: RecordedFollower) -> None:
    """The follower's thread is waiting for the next event at that time."""
    recorded.follower.stop()

    assert not recorded.follower.is_alive


# --- a daemon that misbehaves -----------------------------------------------------------------------------------------


def test_repeatedly_broken_streams_are_retried_slowly_and_reported(tmp_path: Path) -> None:
    """The user is told after the fourth one."""
    with fake_daemon(tmp_path) as daemon, RecordedFollower.following(tmp_path) as recorded:
        until(lambda: recorded.now.error_text)

        assert "keeps closing its event stream" in recorded.now.error_text
        assert "absent" == recorded.now.daemon
        assert 4 == daemon.requested.count("/v1/events")


@pytest.mark.parametrize(
    ("answers", "text"),
    [
        ({"events": (200, b"event: connection\ndata: {}\n\n")}, "different version"),
        ({"events": (200, b"event: connection\ndata: no JSON\n\n")}, "different version"),
        ({"events": (404, b"<html>")}, "another program"),
        ({"daemon": (200, b"[]")}, "restart"),
        ({"events": problem(429, "too_many_streams", "16 event streams are open.")}, "16 event streams are open"),
    ],
    ids=["event", "no-json", "other-program", "status", "too-many"],
)
def test_invalid_answer_is_reported(tmp_path: Path, answers: dict[str, Any], text: str) -> None:
    """The user sees why the daemon cannot be used, and the follower keeps running."""
    with fake_daemon(tmp_path, **answers), RecordedFollower.following(tmp_path) as recorded:
        until(lambda: text in recorded.now.error_text)

        assert "absent" == recorded.now.daemon
        assert recorded.follower.is_alive


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes of files")
def test_discovery_file_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    """The tray would send the token to the address in it."""
    with fake_daemon(tmp_path) as daemon:
        discovery.discovery_file(tmp_path).chmod(0o644)
        with RecordedFollower.following(tmp_path) as recorded:
            until(lambda: "0644" in recorded.now.error_text)

    assert [] == daemon.requested


def test_connection_is_shown_without_a_readable_ledger(tmp_path: Path) -> None:
    """Only access requests and apps are unavailable then."""
    failed = problem(503, "ledger_unavailable", "The disk is full.")

    with (
        fake_daemon(tmp_path, pairings=failed, apps=failed),
        RecordedFollower.following(tmp_path) as recorded,
    ):
        [state, *_] = until(lambda: [state for state in recorded.states if state.connection])

    assert state.connection is not None
    assert "connected" == state.connection.state
    assert ((), ()) == (state.pairings, state.apps)
