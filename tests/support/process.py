"""The daemon as a process that reports its readiness to a fake service manager."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil

from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = (sys.executable, "-P", "-m", "upstash_helper", "run")
DEADLINE = 20.0


class ServiceManager:
    """A service manager's socket (sd_notify(3))."""

    def __init__(self, socket_path: str) -> None:
        """
        Args:
            socket_path: As in ``NOTIFY_SOCKET``. A leading ``@`` denotes the abstract namespace.
        """
        self.environ = {"NOTIFY_SOCKET": socket_path}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + socket_path[1:] if socket_path.startswith("@") else socket_path)
        self._socket.settimeout(DEADLINE)

    def receive(self) -> list[str]:
        """Wait for the next message, and return its lines."""
        return self._socket.recv(4096).decode().split("\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@dataclass
class DaemonProcess:
    """A daemon that has reported its readiness."""

    process: subprocess.Popen[str]
    manager: ServiceManager
    home: Path
    environ: Mapping[str, str]

    @property
    def runtime(self) -> Path:
        """Its runtime folder."""
        return self.home / "run"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        lines = (self.home / "log" / "upstash-helper.log").read_bytes().splitlines()
        return [msgspec.json.decode(line) for line in lines]

    @property
    def announced(self) -> discovery.Discovery:
        """Its discovery file."""
        found = discovery.read(self.runtime)
        assert found is not None
        return found

    def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        return self.process.wait(DEADLINE)


def environment(home: Path, port: int, **settings: str) -> dict[str, str]:
    """Return the environment of a daemon with all its folders below ``home``."""
    ours = {"HOME": str(home), "PORT": str(port), "CREDENTIAL_STORE": "memory", "OPEN_BROWSER": "false", **settings}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("UPSTASH_HELPER_")}
    return {**inherited, **{f"UPSTASH_HELPER_{name}": value for name, value in ours.items()}}


@contextlib.contextmanager
def daemon_process(home: Path, port: int, *, browser: str | None = None, **settings: str) -> Iterator[DaemonProcess]:
    """
    Start a daemon, wait until it reports its readiness, and kill it on leaving.

    Args:
        home: The parent of all its folders.
        port: Its port.
        browser: The command that it uses as the user's browser.
        settings: Further settings by name, in upper case.
    """
    # The path of a socket is limited to about 100 characters, and a test's own folder has a long name.
    with tempfile.TemporaryDirectory(prefix="uh") as short, contextlib.ExitStack() as stack:
        manager = ServiceManager(str(Path(short) / "notify"))
        stack.callback(manager.close)
        environ = environment(home, port, **settings) | manager.environ
        if browser is not None:
            environ["BROWSER"] = browser
        with default_sighup():
            process = subprocess.Popen(
                COMMAND, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
        stack.enter_context(process)
        stack.callback(process.kill)
        assert "READY=1" in manager.receive()
        yield DaemonProcess(process=process, manager=manager, home=home, environ=environ)


@contextlib.contextmanager
def default_sighup() -> Iterator[None]:
    """Start processes with the default action for SIGHUP: the tests themselves may run under ``nohup``."""
    if sys.platform == "win32":
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def run(environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected not to start."""
    return subprocess.run(COMMAND, env=environ, capture_output=True, text=True, timeout=DEADLINE, check=False)


def own_name() -> str:
    """Return how messages name this process."""
    return f"{psutil.Process().name()} (process {os.getpid()})"
