"""The daemon as a process that is started by a connection to its socket, and the command line that wakes it."""

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
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.process import COMMAND, Manager, daemon_process, environment, hangups_heard
from tests.support.until import until
from tests.support.world import free_port
from upstash_helper.cli import exit_codes
from upstash_helper.client import DaemonClient
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.wire import StartedAttempt


def test_the_first_request_starts_it(tmp_path: Path) -> None:
    """
    Until somebody asks, nothing runs; the first request starts the daemon, and is answered by it.
    """
    with Activated.listening(tmp_path) as daemon:
        before = list(daemon.activator.pids)

        status, health = daemon.get()
        again, _ = daemon.get(host="::1")

        assert ([], 200, 200) == (before, status, again)
        assert {"status": "ok", "service": "upstash-helper"} == health
        assert 1 == len(daemon.activator.pids)


def test_it_says_what_started_it(tmp_path: Path) -> None:
    """
    The owner sees that the daemon was started on demand, and that both addresses are served.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        status = daemon.client.status()

        assert "socket" == status.started_by
        assert ["listening", "listening"] == [one.state for one in status.listeners]


def test_a_daemon_of_a_persons_says_so_too(tmp_path: Path) -> None:
    """
    A daemon that a person started says that; told to leave when idle it stays, and logs why.
    """
    with daemon_process(tmp_path, free_port(), IDLE_EXIT="5") as daemon:
        client = DaemonClient.discover(daemon.runtime)

        assert "user" == client.status().started_by
        assert 1 == [line["event"] for line in daemon.log].count("idle_exit_without_activator")
        time.sleep(6)  # longer than it would stay
        assert "user" == client.status().started_by
        assert wake_note.read(tmp_path / "state") is None


def test_a_daemon_of_systemds_says_so_too(tmp_path: Path) -> None:
    """
    A daemon that systemd started without a connection, as at login, is told from one that a person started.
    """
    as_systemd = ["/bin/sh", "-c", 'export SYSTEMD_EXEC_PID=$$; exec "$@"', "sh", *COMMAND]
    with subprocess.Popen(as_systemd, env=environment(tmp_path, free_port()), stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: (tmp_path / "run" / discovery.DISCOVERY_FILE).exists())  # noqa: PLW0108
            started_by = DaemonClient.discover(tmp_path / "run").status().started_by
        finally:
            process.terminate()

    assert "service" == started_by


def test_a_note_that_cannot_be_left_is_no_obstacle(tmp_path: Path) -> None:
    """
    With something else in the place of the state folder the daemon serves, and logs what it could not do.
    """
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    with Activated.listening(tmp_path) as daemon:
        assert 200 == daemon.get()[0]

        until(lambda: "note_not_left" in [line["event"] for line in daemon.log])


def test_it_leaves_and_comes_back(tmp_path: Path) -> None:
    """
    After the time that is set without anything to do it ends well and withdraws its announcement; the next request
    starts another one.
    """
    with Activated.listening(tmp_path, idle_seconds=1) as daemon:
        first = daemon.get()[0]
        daemon.asleep()
        gone = (daemon.activator.codes, discovery.read(daemon.runtime))
        second = daemon.get()[0]

        assert (200, 200) == (first, second)
        assert ([0], None) == gone
        assert 2 == len(daemon.activator.pids)
        events = [line["event"] for line in daemon.log]
        assert ["starting", "ready", "idle_exit", "stopping", "starting", "ready"] == events


def test_who_follows_the_events_keeps_it(tmp_path: Path) -> None:
    """
    With a tray or a dashboard that follows what happens the daemon stays; when that has gone, it leaves.
    """
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        following = daemon.client.follow()
        hello = next(following).event
        time.sleep(1)
        started, alive = list(daemon.activator.pids), daemon.activator.pid
        following.close()  # type: ignore[attr-defined]  # a generator
        daemon.asleep()

        assert "hello" == hello
        assert (started, started[-1]) == (daemon.activator.pids, alive)


def test_a_sign_in_that_runs_keeps_it(tmp_path: Path) -> None:
    """
    While the user signs in, in a browser that is connected to nobody here, the daemon waits; it leaves when that is
    over.
    """
    with Activated.listening(tmp_path, idle_seconds=0.05, CLIENT_ID="client") as daemon:
        daemon.get()
        begun = daemon.client.connect(open_browser=False)
        assert isinstance(begun, StartedAttempt)
        time.sleep(1)
        started, alive = list(daemon.activator.pids), daemon.activator.pid
        daemon.client.cancel_attempt(begun.attempt_id)
        daemon.asleep()

        assert (started, started[-1]) == (daemon.activator.pids, alive)


# --- who cannot serve -------------------------------------------------------------------------------------------------


def turned_away(daemon: Activated, code: int) -> None:
    """See that whoever connects is told so at once, by processes that are not started over and over."""
    began = time.monotonic()
    answers = []
    while time.monotonic() - began < 6:
        answers.append(daemon.get())
        time.sleep(0.1)
    starts = len(daemon.activator.pids)
    until(lambda: daemon.activator.pid is None)

    assert {503} == {status for status, _ in answers}
    assert {"not_serving"} == {problem["code"] for _, problem in answers}
    # systemd gives up after five within ten seconds.
    assert starts < 5
    assert {code} == set(daemon.activator.codes)
    assert wake_note.read(daemon.state) is None


@pytest.mark.slow
def test_beside_another_daemon_of_the_profile_it_turns_away(tmp_path: Path) -> None:
    """
    Where another daemon of the profile runs, on another port, who connects to the socket is turned away with a reason,
    and the service manager is not kept busy; the other daemon goes on, and when it has gone the socket serves.
    """
    with Activated.listening(tmp_path) as daemon:
        with daemon_process(tmp_path, free_port()) as other:
            turned_away(daemon, exit_codes.TURNED_AWAY)

            assert other.process.pid == other.announced.pid
            other.process.send_signal(signal.SIGTERM)
            other.wait()

        assert 200 == daemon.get()[0]


@pytest.mark.slow
def test_a_socket_that_is_not_the_settings_turns_away(tmp_path: Path) -> None:
    """
    Where the unit and the settings differ, who connects is turned away, and the log names both ports.
    """
    other = free_port()
    with Activated.listening(tmp_path, PORT=str(other)) as daemon:
        turned_away(daemon, exit_codes.USAGE)

        refused = next(line["detail"] for line in daemon.log if line["event"] == "sockets_refused")
        assert f"127.0.0.1:{daemon.port}, but the settings have port {other}" in refused
        assert "upstash-helper install" in refused


@pytest.mark.slow
def test_settings_that_are_wrong_turn_away_until_they_are_mended(tmp_path: Path) -> None:
    """
    With a mistake in the settings who connects is turned away; once it is mended, the next request is served.
    """
    settings = tmp_path / "config" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("prot = 4000", encoding="utf-8")
    with Activated.listening(tmp_path) as daemon:
        turned_away(daemon, exit_codes.USAGE)
        settings.write_text("", encoding="utf-8")

        assert 200 == daemon.get()[0]


# --- systemd ----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd is Linux's")
def test_by_systemds_own_hand(tmp_path: Path) -> None:
    """
    Started by systemd's `systemd-socket-activate` at the first request, it is ready as a service manager wants it,
    answers that request, and leaves when it is idle.
    """
    program = shutil.which("systemd-socket-activate")
    if program is None:
        pytest.skip("there is no systemd-socket-activate: install the package systemd")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="uh") as short, contextlib.ExitStack() as stack:
        manager = Manager(str(Path(short) / "notify"))
        stack.callback(manager.close)
        environ = environment(tmp_path, port, IDLE_EXIT="5") | manager.environ
        # The program passes on little more than what it is told to.
        given = [f"--setenv={name}" for name in environ if name.startswith(("UPSTASH_", "COV", "NOTIFY_", "HOME"))]
        addresses = ["-l", f"127.0.0.1:{port}", "-l", f"[::1]:{port}"]
        with hangups_heard():
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
