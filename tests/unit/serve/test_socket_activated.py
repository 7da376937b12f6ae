"""The daemon as a process that is started by a connection to its socket, and the command line that wakes it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.activator import listening
from tests.support.command_line import run_cli
from tests.support.others import HttpServer
from tests.support.process import COMMAND, Manager, daemon_process, environment, hangups_heard
from tests.support.until import until
from tests.support.world import free_port
from upstash_helper.cli import exit_codes
from upstash_helper.client import DaemonClient, discovery, knock
from upstash_helper.client.discovery import DaemonLock
from upstash_helper.client.wire import StartedAttempt


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
    with daemon_process(tmp_path, free_port(), IDLE_EXIT="1") as daemon:
        client = DaemonClient.discover(daemon.runtime)

        assert "user" == client.status().started_by
        assert 1 == [line["event"] for line in daemon.log].count("idle_exit_without_activator")
        time.sleep(2)  # twice as long as it would stay
        assert "user" == client.status().started_by
        assert knock.noted(tmp_path / "state") is None


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
    with Activated.listening(tmp_path, IDLE_EXIT="1") as daemon:
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
    while time.monotonic() - began < 8:
        answers.append(daemon.get())
        time.sleep(0.1)
    starts = len(daemon.activator.pids)
    until(lambda: daemon.activator.pid is None)

    assert {503} == {status for status, _ in answers}
    assert {"not_serving"} == {problem["code"] for _, problem in answers}
    # systemd gives up after five within ten seconds.
    assert starts < 5
    assert {code} == set(daemon.activator.codes)
    assert knock.noted(daemon.state) is None


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
        assert f"127.0.0.1:{daemon.port} but the settings say port {other}" in refused
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


# --- the command line -------------------------------------------------------------------------------------------------


async def test_a_command_wakes_it(tmp_path: Path) -> None:
    """
    A command that needs the daemon has it started, as any request does.
    """
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        daemon.asleep()

        ran = await run_cli("status", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert "started on demand" in ran.out
        assert 2 == len(daemon.activator.pids)


async def test_a_command_wakes_it_after_a_restart_of_the_machine(tmp_path: Path) -> None:
    """
    What the system clears when it restarts, the runtime folder, is not needed for that; nor is a clean end.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        daemon.activator.signal(signal.SIGKILL)
        daemon.asleep()
        shutil.rmtree(daemon.runtime)

        ran = await run_cli("status", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_start_is_a_knock(tmp_path: Path) -> None:
    """
    `start` has the service manager start it, which has the port, and not a second one beside it.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        await run_cli("stop", environment=daemon.environ)
        daemon.asleep()

        ran = await run_cli("start", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_restart_is_a_stop_and_a_knock(tmp_path: Path) -> None:
    """
    `restart` leaves a new process that the service manager has started.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        ran = await run_cli("restart", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_stop_says_that_it_is_started_again(tmp_path: Path) -> None:
    """
    Who stops it is told that the next request starts it, and how to end it for good.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        ran = await run_cli("stop", environment=daemon.environ)
        daemon.asleep()
        daemon.get()
        as_json = await run_cli("stop", "--json", environment=daemon.environ)

        assert (0, "The daemon is stopped.\n") == (ran.code, ran.out)
        assert "systemctl --user stop upstash-helper.socket" in ran.err
        assert {"was_running": True, "starts_on_demand": True} == as_json.json


async def test_stop_does_not_wake_it(tmp_path: Path) -> None:
    """
    Stopping what sleeps starts nothing.
    """
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        daemon.asleep()

        ran = await run_cli("stop", "--json", environment=daemon.environ)

        assert {"was_running": False} == ran.json
        assert 1 == len(daemon.activator.pids)


# --- the note ---------------------------------------------------------------------------------------------------------


def test_the_note_is_the_users_alone_and_holds_no_secret(tmp_path: Path) -> None:
    """
    What the daemon leaves behind says where to knock, and nothing else.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        file = daemon.state / knock.FILE
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert 0o700 == stat.S_IMODE(file.parent.stat().st_mode)
        assert f'{{"base_url":"http://127.0.0.1:{daemon.port}","format":1}}' == file.read_text(encoding="utf-8")


async def test_a_stranger_on_the_port_is_sent_no_token(tmp_path: Path) -> None:
    """
    Where another program has the port in the meantime, it hears one question that everybody may ask, and no token; the
    command says that the daemon does not run.
    """
    async with HttpServer.listening() as stranger:
        knock.leave_note(tmp_path / "state", f"http://127.0.0.1:{stranger.port}")

        ran = await run_cli("status", environment=environment(tmp_path, stranger.port))
        heard = await stranger.heard()

    assert exit_codes.NOT_RUNNING == ran.code
    assert [b"GET /health HTTP/1.1"] == [said.split(b"\r\n")[0] for said in heard]
    assert b"authorization" not in b"".join(heard).lower()


def test_a_stranger_that_answers_costs_no_time(tmp_path: Path) -> None:
    """
    Who answers without being this profile's daemon is known at once.
    """
    with Activated.listening(tmp_path / "other") as other:
        other.get()
        knock.leave_note(tmp_path / "state", f"http://127.0.0.1:{other.port}")
        began = time.monotonic()

        woken = knock.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - began < knock.STRANGER_SECONDS


def test_a_stranger_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """
    Who accepts connections and never answers holds a command up for two seconds and not for as long as a start takes.
    """
    with listening("127.0.0.1") as mute:
        knock.leave_note(tmp_path / "state", f"http://127.0.0.1:{mute.getsockname()[1]}")
        began = time.monotonic()

        woken = knock.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - began < knock.START_SECONDS / 2


def test_a_daemon_that_starts_slowly_is_waited_for(tmp_path: Path) -> None:
    """
    Once a daemon of the profile has taken its lock, a start that takes longer is no stranger.
    """
    with listening("127.0.0.1") as slow, DaemonLock(tmp_path / "run"):
        knock.leave_note(tmp_path / "state", f"http://127.0.0.1:{slow.getsockname()[1]}")
        began = time.monotonic()

        woken = knock.wake(tmp_path / "run", tmp_path / "state", patience=knock.STRANGER_SECONDS + 1)

        assert not woken
        assert time.monotonic() - began > knock.STRANGER_SECONDS


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"base_url":"http://evil.example:3000"}', b'{"base_url":"https://127.0.0.1:3000"}', b"\xff"],
)
def test_a_note_that_is_none_is_not_followed(tmp_path: Path, content: bytes) -> None:
    """
    Nobody is spoken to for a note that does not name an address of this machine.
    """
    knock.leave_note(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / knock.FILE).write_bytes(content)

    assert knock.noted(tmp_path) is None
    assert not knock.wake(tmp_path, tmp_path)


def test_a_note_that_others_could_have_written_is_not_followed(tmp_path: Path) -> None:
    """
    Nor for a note that may be another user's doing.
    """
    knock.leave_note(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / knock.FILE).chmod(0o644)

    assert knock.noted(tmp_path) is None


def test_a_note_that_is_removed_is_gone(tmp_path: Path) -> None:
    """
    Whoever uninstalls the socket removes the note; one that is not there is no error.
    """
    knock.leave_note(tmp_path, "http://127.0.0.1:3000")
    knock.remove_note(tmp_path)
    knock.remove_note(tmp_path)

    assert [] == list(tmp_path.iterdir())


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
        environ = environment(tmp_path, port, IDLE_EXIT="1") | manager.environ
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
