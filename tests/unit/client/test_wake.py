"""Waking a socket-activated daemon: by commands, and by the note with its address."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.activator import as_systemd, listening
from tests.support.command_line import run_cli
from tests.support.other_programs import HttpServer
from tests.support.process import environment
from upstash_helper.cli import exit_codes
from upstash_helper.client import wake
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.lock import InstanceLock

# --- the command line -------------------------------------------------------------------------------------------------


async def test_command_wakes_the_daemon(tmp_path: Path) -> None:
    """A command that needs the daemon starts it, as any request does."""
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        daemon.wait_until_exited()

        ran = await run_cli("status", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert "started on demand" in ran.out
        assert len(daemon.activator.pids) > 1  # it may have exited between two requests of the command


async def test_command_wakes_the_daemon_after_a_restart_of_the_machine(tmp_path: Path) -> None:
    """The runtime folder is cleared then, and the daemon was killed."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        daemon.activator.signal(signal.SIGKILL)
        daemon.wait_until_exited()
        shutil.rmtree(daemon.runtime)

        ran = await run_cli("status", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_start_uses_the_service_manager(tmp_path: Path) -> None:
    """`start` does not start a second daemon next to the socket."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        await run_cli("stop", environment=daemon.environ)
        daemon.wait_until_exited()

        ran = await run_cli("start", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_restart_uses_the_service_manager(tmp_path: Path) -> None:
    """The new process was started by the service manager."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        ran = await run_cli("restart", "--json", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert daemon.activator.pids[1] == ran.json["pid"]


async def test_stop_warns_that_the_next_request_starts_the_daemon(tmp_path: Path) -> None:
    """The warning contains the command that stops the socket."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        ran = await run_cli("stop", environment=daemon.environ)
        daemon.wait_until_exited()
        daemon.get()
        as_json = await run_cli("stop", "--json", environment=daemon.environ)

        assert (0, "The daemon was stopped.\n") == (ran.code, ran.out)
        assert "systemctl --user stop upstash-helper.socket" in ran.err
        assert {"was_running": True, "starts_on_demand": True} == as_json.json


async def test_stop_does_not_wake_the_daemon(tmp_path: Path) -> None:
    """A daemon that is not running is not started to be stopped."""
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        daemon.wait_until_exited()

        ran = await run_cli("stop", "--json", environment=daemon.environ)

        assert {"was_running": False} == ran.json
        assert 1 == len(daemon.activator.pids)


# --- the note ---------------------------------------------------------------------------------------------------------


def test_note_is_private_and_contains_only_the_address(tmp_path: Path) -> None:
    """It outlives the daemon."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()

        file = daemon.state / wake_note.FILE
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert 0o700 == stat.S_IMODE(file.parent.stat().st_mode)
        assert f'{{"base_url":"http://127.0.0.1:{daemon.port}","format":1}}' == file.read_text(encoding="utf-8")


async def test_another_program_on_the_port_gets_no_token(tmp_path: Path) -> None:
    """It receives one request that needs no token, and the command reports that the daemon is not running."""
    async with HttpServer.listening() as server:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{server.port}")

        ran = await run_cli("status", environment=environment(tmp_path, server.port))
        received = await server.received()

    assert exit_codes.NOT_RUNNING == ran.code
    assert [b"GET /health HTTP/1.1"] == [request.split(b"\r\n")[0] for request in received]
    assert b"authorization" not in b"".join(received).lower()


def test_another_program_that_answers_is_recognized_immediately(tmp_path: Path) -> None:
    """It may be the daemon of another profile."""
    with Activated.listening(tmp_path / "other") as other:
        other.get()
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{other.port}")
        started = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - started < wake.LOCK_SECONDS


def test_another_program_that_does_not_answer_times_out(tmp_path: Path) -> None:
    """It delays a command by two seconds, and not by the time that a start may take."""
    with listening("127.0.0.1") as silent:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - started < wake.START_SECONDS / 2


def test_slowly_starting_daemon_is_waited_for(tmp_path: Path) -> None:
    """It already holds its lock."""
    with listening("127.0.0.1") as slow, InstanceLock(tmp_path / "run"):
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{slow.getsockname()[1]}")
        started = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state", timeout=wake.LOCK_SECONDS + 1)

        assert not woken
        assert time.monotonic() - started > wake.LOCK_SECONDS


def test_daemon_that_waits_for_its_port_is_not_waited_for(tmp_path: Path) -> None:
    """Another program has the port, and the daemon says so: the caller reports that instead of waiting, too."""
    with listening("127.0.0.1") as other, InstanceLock(tmp_path / "run"):
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{other.getsockname()[1]}")
        discovery.write_waiting(tmp_path / "run", discovery.Waiting(pid=os.getpid(), reason="Busy."))
        started = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - started < wake.START_SECONDS / 2


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd is for Linux")
def test_slow_service_manager_is_waited_for(tmp_path: Path) -> None:
    """If systemd has the port, it cannot be another program, even if the start takes long."""
    with as_systemd(tmp_path) as manager:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{manager.port}")
        started = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state", timeout=2 * wake.LOCK_SECONDS)

        assert not woken
        assert time.monotonic() - started >= 2 * wake.LOCK_SECONDS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b'{"base_url":"http://evil.example:3000"}',
        b'{"base_url":"https://127.0.0.1:3000"}',
        b"\xff",
        b'{"base_url":"http://127.0.0.1:99999"}',
        b'{"base_url":"http://127.0.0.1:x"}',
        b'{"base_url":"http://["}',
    ],
)
def test_invalid_note_is_ignored(tmp_path: Path, content: bytes) -> None:
    """The address has to be one of this machine."""
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / wake_note.FILE).write_bytes(content)

    assert wake_note.read(tmp_path) is None
    assert not wake.wake(tmp_path, tmp_path)


def test_note_with_wrong_permissions_is_ignored(tmp_path: Path) -> None:
    """Another user may have written it."""
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / wake_note.FILE).chmod(0o644)

    assert wake_note.read(tmp_path) is None


def test_note_can_be_removed_twice(tmp_path: Path) -> None:
    """Uninstalling the socket removes it. A missing note is not an error."""
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    wake_note.remove(tmp_path)
    wake_note.remove(tmp_path)

    assert [] == list(tmp_path.iterdir())
