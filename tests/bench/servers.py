"""Starts the servers to measure, as separate processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

READY_SECONDS = 30.0
BASELINE = [sys.executable, str(Path(__file__).with_name("baseline.py"))]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Return a user's environment: without coverage, and with bytecode caching like in an installation."""
    dropped = ("COVERAGE_", "COV_CORE_", "UPSTASH_HELPER_", "PYTHONDONTWRITEBYTECODE")
    return {name: text for name, text in os.environ.items() if not name.startswith(dropped)} | more


class Server:
    """A process that serves a port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, ready_seconds: float, token: str) -> None:
        """See ``running``."""
        self.process, self.port, self.ready_seconds, self.token = process, port, ready_seconds, token
        self._seen = psutil.Process(process.pid)

    @property
    def rss(self) -> int:
        """The resident memory in bytes."""
        return int(self._seen.memory_info().rss)

    @property
    def uss(self) -> int:
        """The unique memory in bytes."""
        return int(self._seen.memory_full_info().uss)

    @property
    def wakeups(self) -> int:
        """The number of voluntary context switches: one for each time it waited."""
        return int(self._seen.num_ctx_switches().voluntary)

    @property
    def cpu_seconds(self) -> float:
        """The processor time since the start."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def running(command: list[str], port: int, env: Mapping[str, str], *, home: Path | None = None) -> Iterator[Server]:
    """Start ``command``, wait for its first response on ``port``, and stop it on leaving."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=dict(env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - started > READY_SECONDS:
                message = f"{command[1:3]} did not become ready"
                raise RuntimeError(message)
            time.sleep(0.001)
        ready = time.perf_counter() - started
        yield Server(process, port, ready, token(home) if home else "")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def answers(port: int) -> bool:
    """Return whether ``/health`` responds."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(f"GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def token(home: Path) -> str:
    """Return the owner's token of the daemon with its folders below ``home``."""
    discovery = msgspec.json.decode((home / "run" / "daemon.json").read_bytes())
    return str(discovery["owner_token"])


def daemon_command(port: int, *settings: str) -> list[str]:
    """Return the command that runs a daemon on ``port``."""
    run = [sys.executable, "-m", "upstash_helper", "run", "--port", str(port)]
    return [*run, "--credential-store", "memory", "--no-browser", *settings]
