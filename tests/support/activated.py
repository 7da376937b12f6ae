"""A socket-activated daemon: it is started by the first connection."""

from __future__ import annotations

import contextlib
import http.client
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.support.activator import HOSTS, Activator, listening
from tests.support.process import COMMAND, environment
from tests.support.until import until
from upstash_helper.client import DaemonClient
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SHORT_IDLE = (sys.executable, "-m", "tests.support.short_idle")
ANSWER_SECONDS = 60.0
"""How long a request may take that starts the daemon on a busy machine."""


@dataclass
class Activated:
    """A socket-activated daemon with its folders below ``home``."""

    home: Path
    activator: Activator
    environ: dict[str, str]

    @classmethod
    @contextlib.contextmanager
    def listening(cls, home: Path, *, idle_seconds: float | None = None, **settings: str) -> Iterator[Activated]:
        """
        Listen on both addresses.

        Args:
            home: The parent of all its folders.
            idle_seconds: The idle time, a fraction of a second; None: the setting's.
            settings: Settings by name, in upper case.
        """
        first = listening(HOSTS[0])
        port = first.getsockname()[1]
        environ = environment(home, port, **settings)
        command: tuple[str, ...] = COMMAND
        if idle_seconds is not None:
            command = SHORT_IDLE
            environ |= {"SHORT_IDLE_SECONDS": str(idle_seconds), "PYTHONPATH": str(ROOT)}
        with Activator.running(command, environ, [first, listening(HOSTS[1], port)]) as activator:
            yield cls(home=home, activator=activator, environ=environ)

    @property
    def port(self) -> int:
        """Its port."""
        return self.activator.port

    @property
    def runtime(self) -> Path:
        """Its runtime folder."""
        return self.home / "run"

    @property
    def state(self) -> Path:
        """Its state folder."""
        return self.home / "state"

    @property
    def client(self) -> DaemonClient:
        """An owner's client, which wakes the daemon."""
        return DaemonClient.discover(self.runtime, state=self.state)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        lines = (self.home / "log" / "upstash-helper.log").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]

    def get(self, path: str = "/health", *, host: str = HOSTS[0]) -> tuple[int, Any]:
        """Send a request on a new connection, and return the status and the decoded JSON."""
        with contextlib.closing(http.client.HTTPConnection(host, self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, msgspec.json.decode(answer.read())

    def wait_until_exited(self) -> None:
        """Wait until every process that was started has ended."""
        until(lambda: self.activator.pids and self.activator.pid is None)
        assert not discovery.is_running(self.runtime)
