"""The daemon as a process: single instance, readiness, signals, and files."""

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
    pytest.skip("platform: readiness notifications and signals require Unix", allow_module_level=True)

import resource


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(name="daemon")
def _daemon(home: Path) -> Iterator[DaemonProcess]:
    with daemon_process(home, free_port()) as daemon:
        yield daemon


def test_ready_daemon_is_announced_and_serves(daemon: DaemonProcess) -> None:
    """When the daemon reports READY=1, its discovery file exists and it serves requests."""
    announced = daemon.announced

    with urllib.request.urlopen(f"{announced.base_url}/health") as answer:  # noqa: S310 - our own loopback address
        assert 200 == answer.status
    assert daemon.process.pid == announced.pid
    assert 0o600 == stat.S_IMODE(discovery.discovery_file(daemon.runtime).stat().st_mode)
    assert 0o700 == stat.S_IMODE(daemon.runtime.stat().st_mode)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_stops_the_daemon_cleanly(daemon: DaemonProcess, number: signal.Signals) -> None:
    """On SIGTERM, SIGINT, or SIGHUP, the daemon reports STOPPING=1, removes its discovery file, and exits."""
    daemon.process.send_signal(number)

    assert "STOPPING=1" in daemon.manager.receive()
    assert 0 == daemon.wait()
    assert not discovery.discovery_file(daemon.runtime).exists()
    assert ["starting", "ready", "stopping"] == [line["event"] for line in daemon.log]


def test_api_stops_the_daemon(daemon: DaemonProcess) -> None:
    """The owner can stop the daemon through its API, and gets a response."""
    stop = urllib.request.Request(  # noqa: S310 - our own loopback address
        f"{daemon.announced.base_url}/v1/daemon/stop",
        method="POST",
        headers={"Authorization": f"Bearer {daemon.announced.owner_token}"},
    )

    with urllib.request.urlopen(stop) as answer:  # noqa: S310 - as above
        assert 202 == answer.status
    assert 0 == daemon.wait()


def test_open_event_streams_do_not_delay_a_stop(daemon: DaemonProcess) -> None:
    """With open event streams, a stop takes less than three seconds, and each stream gets a final event."""
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
    """A browser that never returns. The value is the pipe to which it writes its process id."""
    pipe, script = tmp_path / "pipe", tmp_path / "browser"
    os.mkfifo(pipe)
    script.write_text(f'#!/bin/sh\necho $$ > "{pipe}"\nexec sleep 60\n')
    script.chmod(0o700)
    return pipe


@contextlib.contextmanager
def with_hanging_thread(home: Path, pipe: Path) -> Iterator[DaemonProcess]:
    """Yield a daemon with a thread that hangs in a system call, because the browser it starts hangs."""
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


def test_hanging_thread_does_not_delay_a_stop(home: Path, hanging_browser: Path) -> None:
    """
    A system call that never returns, such as starting a browser that hangs, does not delay a stop beyond its limit.
    """
    with with_hanging_thread(home, hanging_browser) as daemon:
        began = time.monotonic()

        daemon.process.send_signal(signal.SIGTERM)

        assert 0 == daemon.wait()
        assert time.monotonic() - began < 3.0
        assert not discovery.discovery_file(daemon.runtime).exists()


def test_second_signal_exits_immediately(home: Path, hanging_browser: Path) -> None:
    """A second signal ends the daemon without waiting for pending work."""
    with with_hanging_thread(home, hanging_browser) as daemon:
        daemon.process.send_signal(signal.SIGTERM)
        assert "STOPPING=1" in daemon.manager.receive()

        daemon.process.send_signal(signal.SIGTERM)

        assert 128 + signal.SIGTERM == daemon.wait()
        assert not discovery.discovery_file(daemon.runtime).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux can read the limits of another process")
def test_low_limit_of_open_files_is_raised(home: Path) -> None:
    """The daemon raises a low soft limit of open files, to fit its connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with daemon_process(home, free_port()) as daemon:
            assert min(1024, hard) == psutil.Process(daemon.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_second_daemon_of_a_profile_exits_successfully(daemon: DaemonProcess) -> None:
    """A second daemon reports the first one, which keeps running, and exits with success."""
    second = run(daemon.environ)

    assert exit_codes.OK == second.returncode
    assert f"already running as process {daemon.process.pid}" in second.stderr
    assert daemon.process.pid == daemon.announced.pid


def test_busy_port_is_reported_with_its_program(home: Path) -> None:
    """If another program has the port, the error names it, and the exit code is specific."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        refused = run(environment(home, taken.getsockname()[1]))

    assert exit_codes.PORT_BUSY == refused.returncode
    assert own_name() in refused.stderr
    assert not discovery.discovery_file(home / "run").exists()


def test_files_of_a_killed_daemon_do_not_prevent_a_start(home: Path) -> None:
    """After a daemon was killed, the next one starts in spite of the files left behind."""
    port = free_port()
    with daemon_process(home, port) as killed:
        killed.process.kill()
        killed.wait()
        assert discovery.discovery_file(killed.runtime).exists()

    with daemon_process(home, port) as daemon:
        assert daemon.process.pid == daemon.announced.pid


def test_symlinked_runtime_folder_is_rejected(home: Path, tmp_path: Path) -> None:
    """A runtime folder that is a symbolic link is not used, since the owner's token would be written elsewhere."""
    home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (home / "run").symlink_to(tmp_path / "elsewhere")

    refused = run(environment(home, free_port()))

    assert exit_codes.USAGE == refused.returncode
    assert "symbolic link" in refused.stderr
    assert [] == list((tmp_path / "elsewhere").iterdir())


def test_mode_of_the_runtime_folder_is_corrected(home: Path) -> None:
    """A runtime folder that others can read becomes private."""
    (home / "run").mkdir(parents=True)
    (home / "run").chmod(0o755)

    with daemon_process(home, free_port()) as daemon:
        assert 0o700 == stat.S_IMODE(daemon.runtime.stat().st_mode)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="platform: only root can give a folder away")
def test_runtime_folder_of_another_user_is_rejected(home: Path) -> None:
    """A runtime folder that another user has created is not used."""
    (home / "run").mkdir(parents=True, mode=0o700)
    os.chown(home / "run", 65534, 65534)

    refused = run(environment(home, free_port()))

    assert exit_codes.USAGE == refused.returncode
    assert "belongs to the user with ID 65534" in refused.stderr
