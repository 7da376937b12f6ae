"""``run --wait-for-port``: a daemon that nobody watches waits for its port, says so, and recovers by itself."""

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


class Stage:
    """A daemon that begins while a program has its port."""

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
        """What its log says."""
        return [json.loads(line)["event"] for line in self.log.read_text(encoding="utf-8").splitlines()]

    def is_waiting(self) -> bool:
        """Return whether it has said that it waits."""
        return discovery.found(self.runtime) is not None


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "home")
    try:
        until(stage.is_waiting)
        yield stage
    finally:
        stage.other.close()
        stage.daemon.kill()
        stage.daemon.communicate()


async def test_it_serves_once_the_port_is_free(stage: Stage) -> None:
    """Nobody has to restart it."""
    stage.other.close()

    until(lambda: discovery.read(stage.runtime) is not None)
    ran = await run_cli("status", "--json", environment=stage.environment)

    assert (0, stage.daemon.pid) == (ran.code, ran.json["pid"])
    assert ["starting", "waiting_for_port", "port_freed", "ready"] == stage.events
    assert not (stage.runtime / discovery.FILE).exists()


@pytest.mark.parametrize(("command", "code"), [("status", exit_codes.NOT_RUNNING), ("start", exit_codes.PORT_BUSY)])
async def test_who_asks_is_told_what_it_waits_for(stage: Stage, command: str, code: int) -> None:
    """They learn which program has the port, and need not wait for an answer."""
    ran = await run_cli(command, environment=stage.environment)

    assert code == ran.code
    assert "is waiting for its port" in ran.err
    assert f"Port {stage.port} of 127.0.0.1 is in use by" in ran.err


async def test_it_can_be_stopped_while_it_waits(stage: Stage) -> None:
    """As any daemon: `stop` ends it, and what it left is no obstacle."""
    ran = await run_cli("stop", "--json", environment=stage.environment)

    assert (0, True) == (ran.code, ran.json["was_running"])
    assert stage.daemon.wait(30) is not None
    assert not discovery.is_running(stage.runtime)
    assert discovery.found(stage.runtime) is None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_it_waits(stage: Stage, number: signal.Signals) -> None:
    """A service manager's, or Ctrl-C; without a traceback."""
    stage.daemon.send_signal(number)

    _, said = stage.daemon.communicate(timeout=30)

    assert stage.daemon.returncode in {-signal.SIGTERM, exit_codes.INTERRUPTED}
    assert "Traceback" not in said
    assert "is waiting for its port" in said


def test_a_word_left_behind_is_not_believed(stage: Stage) -> None:
    """A daemon that is killed while it waits leaves its word, which nobody takes for another's."""
    stage.daemon.kill()
    stage.daemon.wait()

    assert (stage.runtime / discovery.FILE).exists()
    assert discovery.found(stage.runtime) is None
