"""The daemon as a process: one instance, readiness, signals, files."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.process import DaemonProcess, daemon_process, environment, own_name, run
from tests.support.world import free_port
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform == "win32":
    pytest.skip("platform: readiness and signals are Unix's", allow_module_level=True)

import resource


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(name="daemon")
def _daemon(home: Path) -> Iterator[DaemonProcess]:
    with daemon_process(home, free_port()) as daemon:
        yield daemon


def test_a_ready_daemon_is_announced_and_answers(daemon: DaemonProcess) -> None:
    """
    When the service manager is told that the daemon is ready, its discovery file is there and it answers.
    """
    announced = daemon.announced

    with urllib.request.urlopen(f"{announced.base_url}/health") as answer:  # noqa: S310 - our own loopback address
        assert 200 == answer.status
    assert daemon.process.pid == announced.pid
    assert 0o600 == stat.S_IMODE(discovery.discovery_file(daemon.runtime).stat().st_mode)
    assert 0o700 == stat.S_IMODE(daemon.runtime.stat().st_mode)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_it_cleanly(daemon: DaemonProcess, number: signal.Signals) -> None:
    """
    On SIGTERM, SIGINT or when its terminal goes, the daemon says that it stops, withdraws its announcement and is gone.
    """
    daemon.process.send_signal(number)

    assert "STOPPING=1" in daemon.manager.receive()
    assert 0 == daemon.wait()
    assert not discovery.discovery_file(daemon.runtime).exists()
    assert ["starting", "ready", "stopping"] == [line["event"] for line in daemon.log]


def test_a_stop_through_the_api_stops_it(daemon: DaemonProcess) -> None:
    """
    The owner can stop the daemon through its API, and gets an answer.
    """
    stop = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{daemon.announced.base_url}/v1/daemon/stop",
        method="POST",
        headers={"Authorization": f"Bearer {daemon.announced.owner_token}"},
    )

    with urllib.request.urlopen(stop) as answer:  # noqa: S310 - as above
        assert 202 == answer.status
    assert 0 == daemon.wait()


def test_open_streams_do_not_hold_it_up(daemon: DaemonProcess) -> None:
    """
    With event streams open, a stop takes less than three seconds, and each of them is told.
    """
    announced = daemon.announced
    ask = (
        f"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1:{announced.port}\r\n"
        f"Authorization: Bearer {announced.owner_token}\r\n\r\n"
    )
    streams = [socket.create_connection(("127.0.0.1", announced.port), timeout=10) for _ in range(5)]
    for stream in streams:
        stream.sendall(ask.encode())
        assert stream.recv(4096).startswith(b"HTTP/1.1 200")
    began = time.monotonic()

    daemon.process.send_signal(signal.SIGTERM)

    assert 0 == daemon.wait()
    assert time.monotonic() - began < 3.0
    for stream in streams:
        with stream, stream.makefile("rb") as rest:
            assert b"event: bye" in rest.read()


@pytest.fixture(name="hanging_browser")
def _hanging_browser(tmp_path: Path) -> Path:
    """A browser that never returns; the pipe into which it says its process id."""
    pipe, script = tmp_path / "pipe", tmp_path / "browser"
    os.mkfifo(pipe)
    script.write_text(f'#!/bin/sh\necho $$ > "{pipe}"\nexec sleep 60\n')
    script.chmod(0o700)
    return pipe


@contextlib.contextmanager
def waiting_for_a_browser(home: Path, pipe: Path) -> Iterator[DaemonProcess]:
    """Yield a daemon of which a thread hangs in the system: it has been asked to connect, and the browser is stuck."""
    command = f"{pipe.with_name('browser')} %s"
    with daemon_process(home, free_port(), CLIENT_ID="client", OPEN_BROWSER="true", browser=command) as daemon:
        announced = daemon.announced
        ask = (
            f"POST /v1/connection HTTP/1.1\r\nHost: 127.0.0.1:{announced.port}\r\n"
            f"Authorization: Bearer {announced.owner_token}\r\n"
            "Content-Type: application/json\r\nContent-Length: 21\r\n\r\n"
            '{"open_browser":true}'
        )
        with socket.create_connection(("127.0.0.1", announced.port)) as asking:
            asking.sendall(ask.encode())
            browser = int(pipe.read_text())
            try:
                yield daemon
            finally:
                os.kill(browser, signal.SIGKILL)


def test_a_thread_that_hangs_does_not_hold_it_up(home: Path, hanging_browser: Path) -> None:
    """
    A call into the system that never returns, such as a browser that is stuck, delays a stop by no more than its bound.
    """
    with waiting_for_a_browser(home, hanging_browser) as daemon:
        began = time.monotonic()

        daemon.process.send_signal(signal.SIGTERM)

        assert 0 == daemon.wait()
        assert time.monotonic() - began < 3.0
        assert not discovery.discovery_file(daemon.runtime).exists()


def test_a_second_signal_ends_it_at_once(home: Path, hanging_browser: Path) -> None:
    """
    Who does not want to wait until what was begun is finished sends a second signal.
    """
    with waiting_for_a_browser(home, hanging_browser) as daemon:
        daemon.process.send_signal(signal.SIGTERM)
        assert "STOPPING=1" in daemon.manager.receive()

        daemon.process.send_signal(signal.SIGTERM)

        assert 128 + signal.SIGTERM == daemon.wait()
        assert not discovery.discovery_file(daemon.runtime).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: another process's limits can be read on Linux alone")
def test_a_low_limit_of_descriptors_is_raised(home: Path) -> None:
    """
    Under a low limit of open files the daemon raises its own, so that its connections and those of Upstash fit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with daemon_process(home, free_port()) as daemon:
            assert min(1024, hard) == psutil.Process(daemon.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_second_daemon_of_a_profile_leaves_the_first_alone(daemon: DaemonProcess) -> None:
    """
    Who starts a second daemon is told of the first, which goes on; what was wanted is so, hence success.
    """
    second = run(daemon.environ)

    assert exit_codes.OK == second.returncode
    assert f"already running as process {daemon.process.pid}" in second.stderr
    assert daemon.process.pid == daemon.announced.pid


def test_a_busy_port_is_told_by_the_name_of_its_holder(home: Path) -> None:
    """
    A port that another program has stops the daemon with an exit code of its own and the name of that program.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        refused = run(environment(home, taken.getsockname()[1]))

    assert exit_codes.PORT_BUSY == refused.returncode
    assert own_name() in refused.stderr
    assert not discovery.discovery_file(home / "run").exists()


def test_a_lock_of_a_killed_daemon_is_no_obstacle(home: Path) -> None:
    """
    After a daemon was killed, the next one starts, in spite of the files that were left.
    """
    port = free_port()
    with daemon_process(home, port) as killed:
        killed.process.kill()
        killed.wait()
        assert discovery.discovery_file(killed.runtime).exists()

    with daemon_process(home, port) as daemon:
        assert daemon.process.pid == daemon.announced.pid


def test_a_runtime_folder_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    """
    A runtime folder that leads somewhere else is not used: the owner's token would be written there.
    """
    home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (home / "run").symlink_to(tmp_path / "elsewhere")

    refused = run(environment(home, free_port()))

    assert exit_codes.USAGE == refused.returncode
    assert "symbolic link" in refused.stderr
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_a_runtime_folder_that_others_can_read_is_closed(home: Path) -> None:
    """
    A runtime folder that is open to others is theirs no longer once the daemon runs.
    """
    (home / "run").mkdir(parents=True)
    (home / "run").chmod(0o755)

    with daemon_process(home, free_port()) as daemon:
        assert 0o700 == stat.S_IMODE(daemon.runtime.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="platform: only root can give a folder away")
def test_a_runtime_folder_of_another_user_is_refused(home: Path) -> None:
    """
    A runtime folder that another user made first is not used.
    """
    (home / "run").mkdir(parents=True, mode=0o700)
    os.chown(home / "run", 65534, 65534)

    refused = run(environment(home, free_port()))

    assert exit_codes.USAGE == refused.returncode
    assert "belongs to the user with id 65534" in refused.stderr
