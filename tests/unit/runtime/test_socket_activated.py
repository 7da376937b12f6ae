"""A daemon that is started by a connection to its socket, as a process."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("platform: only Unix has socket activation", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.process import COMMAND, ServiceManager, daemon_process, default_sighup, environment
from tests.support.until import until
from tests.support.world import free_port
from upstash_helper.cli import exit_codes
from upstash_helper.client import DaemonClient
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.wire import StartedAttempt


def test_first_request_starts_the_daemon(tmp_path: Path) -> None:
    """Nothing runs until the first request, which starts the daemon and is answered by it."""
    with Activated.listening(tmp_path) as daemon:
        before = list(daemon.activator.pids)

        status, health = daemon.get()
        again, _ = daemon.get(host="::1")

        assert ([], 200, 200) == (before, status, again)
        assert {"status": "ok", "service": "upstash-helper"} == health
        assert 1 == len(daemon.activator.pids)


def test_status_shows_socket_activation(tmp_path: Path) -> None:
    """The owner sees that the daemon was started on demand, and that both addresses are served."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        status = daemon.client.status()

        assert "socket" == status.started_by
        assert ["listening", "listening"] == [one.state for one in status.listeners]


def test_daemon_started_by_a_user_ignores_idle_exit(tmp_path: Path) -> None:
    """The status shows that a user started the daemon. It stays in spite of `idle_exit`, and logs why."""
    with daemon_process(tmp_path, free_port(), IDLE_EXIT="5") as daemon:
        client = DaemonClient.discover(daemon.runtime)

        assert "user" == client.status().started_by
        assert 1 == [line["event"] for line in daemon.log].count("idle_exit_without_activator")
        time.sleep(6)  # longer than its idle time
        assert "user" == client.status().started_by
        assert wake_note.read(tmp_path / "state") is None


def test_status_shows_start_by_systemd(tmp_path: Path) -> None:
    """A daemon that systemd starts without a connection, as at login, differs from one that a user starts."""
    as_systemd = ["/bin/sh", "-c", 'export SYSTEMD_EXEC_PID=$$; exec "$@"', "sh", *COMMAND]
    with subprocess.Popen(as_systemd, env=environment(tmp_path, free_port()), stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: (tmp_path / "run" / discovery.DISCOVERY_FILE).exists())  # noqa: PLW0108
            started_by = DaemonClient.discover(tmp_path / "run").status().started_by
        finally:
            process.terminate()

    assert "service" == started_by


def test_unwritable_wake_note_is_not_fatal(tmp_path: Path) -> None:
    """If the state folder cannot be created, the daemon serves, and logs the failure."""
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    with Activated.listening(tmp_path) as daemon:
        assert 200 == daemon.get()[0]

        until(lambda: "wake_note_not_written" in [line["event"] for line in daemon.log])


def test_idle_daemon_exits_and_is_started_again(tmp_path: Path) -> None:
    """After the idle time it exits cleanly and removes its discovery file. The next request starts another one."""
    with Activated.listening(tmp_path, idle_seconds=1) as daemon:
        first = daemon.get()[0]
        daemon.wait_until_exited()
        gone = (daemon.activator.codes, discovery.read(daemon.runtime))
        second = daemon.get()[0]

        assert (200, 200) == (first, second)
        assert ([0], None) == gone
        assert 2 == len(daemon.activator.pids)
        events = [line["event"] for line in daemon.log]
        assert ["starting", "ready", "idle_exit", "stopping", "starting", "ready"] == events


def test_event_stream_keeps_the_daemon(tmp_path: Path) -> None:
    """While a tray or dashboard follows the events, the daemon stays. Once it has disconnected, the daemon exits."""
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        following = daemon.client.follow()
        hello = next(following).event
        time.sleep(1)
        started, alive = list(daemon.activator.pids), daemon.activator.pid
        following.close()  # type: ignore[attr-defined]  # a generator
        daemon.wait_until_exited()

        assert "hello" == hello
        assert (started, started[-1]) == (daemon.activator.pids, alive)


def test_pending_sign_in_keeps_the_daemon(tmp_path: Path) -> None:
    """During a sign-in the daemon stays although the browser has no connection to it."""
    with Activated.listening(tmp_path, idle_seconds=0.05, CLIENT_ID="client") as daemon:
        daemon.get()
        begun = daemon.client.connect(open_browser=False)
        assert isinstance(begun, StartedAttempt)
        time.sleep(1)
        started, alive = list(daemon.activator.pids), daemon.activator.pid
        daemon.client.cancel_attempt(begun.attempt_id)
        daemon.wait_until_exited()

        assert (started, started[-1]) == (daemon.activator.pids, alive)


# --- refused connections ----------------------------------------------------------------------------------------------


def assert_refused(daemon: Activated, code: int) -> None:
    """Check that connections are refused immediately, without starting processes over and over."""
    began = time.monotonic()
    answers = []
    while time.monotonic() - began < 6:
        answers.append(daemon.get())
        time.sleep(0.1)
    starts = len(daemon.activator.pids)
    until(lambda: daemon.activator.pid is None)

    assert {503} == {status for status, _ in answers}
    assert {"not_serving"} == {problem["code"] for _, problem in answers}
    # systemd gives up after five starts within ten seconds.
    assert starts < 5
    assert {code} == set(daemon.activator.codes)
    assert wake_note.read(daemon.state) is None


@pytest.mark.slow
def test_connections_are_refused_while_another_daemon_runs(tmp_path: Path) -> None:
    """
    While another daemon of the profile runs on another port, connections to the socket are refused with a reason.
    Once it has exited, the socket is served.
    """
    with Activated.listening(tmp_path) as daemon:
        with daemon_process(tmp_path, free_port()) as other:
            assert_refused(daemon, exit_codes.ALREADY_RUNNING)

            assert other.process.pid == other.announced.pid
            other.process.send_signal(signal.SIGTERM)
            other.wait()

        assert 200 == daemon.get()[0]


@pytest.mark.slow
def test_connections_are_refused_if_unit_and_settings_differ(tmp_path: Path) -> None:
    """If the unit and the settings have different ports, connections are refused, and the log names both ports."""
    other = free_port()
    with Activated.listening(tmp_path, PORT=str(other)) as daemon:
        assert_refused(daemon, exit_codes.USAGE)

        refused = next(line["detail"] for line in daemon.log if line["event"] == "sockets_refused")
        assert f"127.0.0.1:{daemon.port}, but the settings have port {other}" in refused
        assert "upstash-helper install" in refused


@pytest.mark.slow
def test_connections_are_refused_until_the_settings_are_valid(tmp_path: Path) -> None:
    """With invalid settings connections are refused. Once they are fixed, the next request is served."""
    settings = tmp_path / "config" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("prot = 4000", encoding="utf-8")
    with Activated.listening(tmp_path) as daemon:
        assert_refused(daemon, exit_codes.USAGE)
        settings.write_text("", encoding="utf-8")

        assert 200 == daemon.get()[0]


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd requires Linux")
def test_daemon_works_with_systemd_socket_activate(tmp_path: Path) -> None:
    """
    Started by `systemd-socket-activate`, it reports its readiness, answers the first request, and exits when idle.
    """
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("systemd-socket-activate is missing: install the package systemd")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="uh") as short, contextlib.ExitStack() as stack:
        manager = ServiceManager(str(Path(short) / "notify"))
        stack.callback(manager.close)
        environ = environment(tmp_path, port, IDLE_EXIT="5") | manager.environ
        # The program passes few variables unless requested.
        given = [f"--setenv={name}" for name in environ if name.startswith(("UPSTASH_", "COV", "NOTIFY_", "HOME"))]
        addresses = ["-l", f"127.0.0.1:{port}", "-l", f"[::1]:{port}"]
        with default_sighup():
            process = subprocess.Popen([program, *addresses, *given, *COMMAND], env=environ, stdin=subprocess.DEVNULL)
        stack.enter_context(process)
        stack.callback(process.kill)
        until(lambda: _accepts(port))

        assert "READY=1" in manager.receive()
        status = DaemonClient.discover(tmp_path / "run", state=tmp_path / "state").status()
        assert ("socket", process.pid) == (status.started_by, status.pid)
        assert "STOPPING=1" in manager.receive()
        assert 0 == process.wait(30)


def _accepts(port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=10):
        return True
    return False
