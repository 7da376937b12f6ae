"""The daemon behind sockets that an activator holds: it runs as soon as somebody connects, and not before."""

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
IMPATIENT = (sys.executable, "-m", "tests.support.impatient")
ANSWER_SECONDS = 60.0
"""What a request may take that finds the daemon asleep on a busy machine."""


@dataclass
class Activated:
    """The daemon of a world below ``home``."""

    home: Path
    activator: Activator
    environ: dict[str, str]

    @classmethod
    @contextlib.contextmanager
    def listening(cls, home: Path, *, idle_seconds: float | None = None, **settings: str) -> Iterator[Activated]:
        """
        Listen for it, on both addresses.

        Args:
            home: All its folders are below it.
            idle_seconds: A fraction of a second after which it leaves; None: as it is set.
            settings: By their names in upper case.
        """
        first = listening(HOSTS[0])
        port = first.getsockname()[1]
        environ = environment(home, port, **settings)
        command: tuple[str, ...] = COMMAND
        if idle_seconds is not None:
            command = IMPATIENT
            environ |= {"IMPATIENT_SECONDS": str(idle_seconds), "PYTHONPATH": str(ROOT)}
        with Activator.running(command, environ, [first, listening(HOSTS[1], port)]) as activator:
            yield cls(home=home, activator=activator, environ=environ)

    @property
    def port(self) -> int:
        """Where it is."""
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
        """A client as its owner, which wakes it."""
        return DaemonClient.discover(self.runtime, state=self.state)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What it has logged."""
        lines = (self.home / "log" / "upstash-helper.log").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]

    def get(self, path: str = "/health", *, host: str = HOSTS[0]) -> tuple[int, Any]:
        """Ask on a connection of its own, and return the status and what the JSON says."""
        with contextlib.closing(http.client.HTTPConnection(host, self.port, timeout=ANSWER_SECONDS)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            answer = connection.getresponse()
            return answer.status, msgspec.json.decode(answer.read())

    def asleep(self) -> None:
        """Wait until every process that was started has ended."""
        until(lambda: self.activator.pids and self.activator.pid is None)
        assert not discovery.is_running(self.runtime)
