"""Waking a daemon that sleeps: the command line, and the note that says where to knock."""

from __future__ import annotations

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
from upstash_helper.protocol import wake_note
from upstash_helper.protocol.lock import InstanceLock

# --- the command line -------------------------------------------------------------------------------------------------


async def test_a_command_wakes_it(tmp_path: Path) -> None:
    """
    A command that needs the daemon has it started, as any request does.
    """
    with Activated.listening(tmp_path, idle_seconds=0.05) as daemon:
        daemon.get()
        daemon.wait_until_exited()

        ran = await run_cli("status", environment=daemon.environ)

        assert exit_codes.OK == ran.code, ran.err
        assert "started on demand" in ran.out
        assert len(daemon.activator.pids) > 1  # it may have left between two questions of the command


async def test_a_command_wakes_it_after_a_restart_of_the_machine(tmp_path: Path) -> None:
    """
    What the system clears when it restarts, the runtime folder, is not needed for that; nor is a clean end.
    """
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        daemon.activator.signal(signal.SIGKILL)
        daemon.wait_until_exited()
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
        daemon.wait_until_exited()

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
        daemon.wait_until_exited()
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
        daemon.wait_until_exited()

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

        file = daemon.state / wake_note.FILE
        assert 0o600 == stat.S_IMODE(file.stat().st_mode)
        assert 0o700 == stat.S_IMODE(file.parent.stat().st_mode)
        assert f'{{"base_url":"http://127.0.0.1:{daemon.port}","format":1}}' == file.read_text(encoding="utf-8")


async def test_a_stranger_on_the_port_is_sent_no_token(tmp_path: Path) -> None:
    """
    Where another program has the port in the meantime, it hears one question that everybody may ask, and no token; the
    command says that the daemon does not run.
    """
    async with HttpServer.listening() as stranger:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{stranger.port}")

        ran = await run_cli("status", environment=environment(tmp_path, stranger.port))
        heard = await stranger.received()

    assert exit_codes.NOT_RUNNING == ran.code
    assert [b"GET /health HTTP/1.1"] == [said.split(b"\r\n")[0] for said in heard]
    assert b"authorization" not in b"".join(heard).lower()


def test_a_stranger_that_answers_costs_no_time(tmp_path: Path) -> None:
    """
    Who answers without being this profile's daemon is known at once.
    """
    with Activated.listening(tmp_path / "other") as other:
        other.get()
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{other.port}")
        began = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - began < wake.STRANGER_SECONDS


def test_a_stranger_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    """
    Who accepts connections and never answers holds a command up for two seconds and not for as long as a start takes.
    """
    with listening("127.0.0.1") as mute:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{mute.getsockname()[1]}")
        began = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state")

        assert not woken
        assert time.monotonic() - began < wake.START_SECONDS / 2


def test_a_daemon_that_starts_slowly_is_waited_for(tmp_path: Path) -> None:
    """
    Once a daemon of the profile has taken its lock, a start that takes longer is no stranger.
    """
    with listening("127.0.0.1") as slow, InstanceLock(tmp_path / "run"):
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{slow.getsockname()[1]}")
        began = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state", patience=wake.STRANGER_SECONDS + 1)

        assert not woken
        assert time.monotonic() - began > wake.STRANGER_SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd is Linux's")
def test_a_service_manager_that_is_slow_is_waited_for(tmp_path: Path) -> None:
    """
    Where it is systemd that has the port, nobody else is there who could be a stranger, however slow the disk is.
    """
    with as_systemd(tmp_path) as manager:
        wake_note.write(tmp_path / "state", f"http://127.0.0.1:{manager.port}")
        began = time.monotonic()

        woken = wake.wake(tmp_path / "run", tmp_path / "state", patience=2 * wake.STRANGER_SECONDS)

        assert not woken
        assert time.monotonic() - began >= 2 * wake.STRANGER_SECONDS


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
def test_a_note_that_is_none_is_not_followed(tmp_path: Path, content: bytes) -> None:
    """
    Nobody is spoken to for a note that does not name an address of this machine.
    """
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / wake_note.FILE).write_bytes(content)

    assert wake_note.read(tmp_path) is None
    assert not wake.wake(tmp_path, tmp_path)


def test_a_note_that_others_could_have_written_is_not_followed(tmp_path: Path) -> None:
    """
    Nor for a note that may be another user's doing.
    """
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    (tmp_path / wake_note.FILE).chmod(0o644)

    assert wake_note.read(tmp_path) is None


def test_a_note_that_is_removed_is_gone(tmp_path: Path) -> None:
    """
    Whoever uninstalls the socket removes the note; one that is not there is no error.
    """
    wake_note.write(tmp_path, "http://127.0.0.1:3000")
    wake_note.remove(tmp_path)
    wake_note.remove(tmp_path)

    assert [] == list(tmp_path.iterdir())
