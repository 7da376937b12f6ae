"""
``run --wait-for-port``: an unattended daemon waits for its port, reports that, and starts serving once it is free.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.until import until
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class WaitingDaemon:
    """A daemon that is started while another program has its port."""

    def __init__(self, home: Path) -> None:
        self.runtime = home / "run"
        self.log = home / "log" / "upstash-helper.log"
        self.other = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.other.getsockname()[1]
        self.environment = clean_environment() | {
            "UPSTASH_HELPER_HOME": str(home),
            "UPSTASH_HELPER_PORT": str(self.port),
            "UPSTASH_HELPER_CREDENTIAL_STORE": "memory",
        }
        command = (sys.executable, "-m", "upstash_helper", "run", "--wait-for-port")
        self.daemon = subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)

    @property
    def events(self) -> list[str]:
        """The events in its log."""
        return [json.loads(line)["event"] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def is_waiting(self) -> bool:
        """Return whether it has reported that it is waiting."""
        return discovery.read_waiting(self.runtime) is not None


@pytest.fixture(name="waiting")
def _waiting(tmp_path: Path) -> Iterator[WaitingDaemon]:
    waiting = WaitingDaemon(tmp_path / "home")
    try:
        until(waiting.is_waiting)
        yield waiting
    finally:
        waiting.other.close()
        waiting.daemon.kill()
        waiting.daemon.communicate()


async def test_daemon_serves_once_the_port_is_free(waiting: WaitingDaemon) -> None:
    """The daemon does not have to be restarted."""
    waiting.other.close()

    until(lambda: discovery.read(waiting.runtime) is not None)
    ran = await run_cli("status", "--json", environment=waiting.environment)

    assert (0, waiting.daemon.pid) == (ran.code, ran.json["pid"])
    assert ["starting", "waiting_for_port", "port_freed", "ready"] == waiting.events
    assert not (waiting.runtime / discovery.WAITING_FILE).exists()


@pytest.mark.parametrize(("command", "code"), [("status", exit_codes.NOT_RUNNING), ("start", exit_codes.PORT_BUSY)])
async def test_commands_report_why_the_daemon_waits(waiting: WaitingDaemon, command: str, code: int) -> None:
    """The commands report which program has the port, without waiting for a response."""
    ran = await run_cli(command, environment=waiting.environment)

    assert code == ran.code
    assert "is waiting for its port" in ran.err
    assert f"Port {waiting.port} on 127.0.0.1 is in use by" in ran.err


async def test_waiting_daemon_can_be_stopped(waiting: WaitingDaemon) -> None:
    """`stop` ends it like any other daemon, and leaves nothing in the way of the next one."""
    ran = await run_cli("stop", "--json", environment=waiting.environment)

    assert (0, True) == (ran.code, ran.json["was_running"])
    assert waiting.daemon.wait(30) is not None
    assert not discovery.is_running(waiting.runtime)
    assert discovery.read_waiting(waiting.runtime) is None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows does not have these signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_waiting_daemon(waiting: WaitingDaemon, number: signal.Signals) -> None:
    """A signal from a service manager or Ctrl-C ends it without a traceback."""
    waiting.daemon.send_signal(number)

    _, output = waiting.daemon.communicate(timeout=30)

    assert waiting.daemon.returncode in {-signal.SIGTERM, exit_codes.INTERRUPTED}
    assert "Traceback" not in output
    assert "is waiting for its port" in output


def test_stale_waiting_file_is_ignored(waiting: WaitingDaemon) -> None:
    """The file of a daemon that was killed while waiting is not attributed to another daemon."""
    waiting.daemon.kill()
    waiting.daemon.wait()

    assert (waiting.runtime / discovery.WAITING_FILE).exists()
    assert discovery.read_waiting(waiting.runtime) is None
