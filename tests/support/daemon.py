"""
The daemon for tests: the real one, in a separate process with its own folders.

    with DaemonProcess.running(tmp_path, client_id="…", auth_url=sandbox.auth_url) as daemon:
        daemon.client.status()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.world import free_port
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.settings.profiles import Folders, locate

__all__ = ["DaemonFailed", "DaemonProcess", "clean_environment", "free_port"]

START_SECONDS = 90.0
STOP_SECONDS = 10.0
QUIETLY = ("--no-browser", "--no-notifications")
"""Avoids side effects on the desktop of the user who runs the tests."""


class DaemonFailed(Exception):
    """The daemon ended instead of serving."""

    def __init__(self, output: str, returncode: int) -> None:
        super().__init__(f"the daemon ended with {returncode}: {output}")
        self.output = output
        self.returncode = returncode


class DaemonProcess:
    """A daemon with its folders. It can be started, stopped, killed, and started again."""

    def __init__(
        self,
        home: Path,
        *,
        profile: str | None = None,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        quietly: bool = True,
        **settings: str | int,
    ) -> None:
        """
        Args:
            home: The parent of all its folders (``UPSTASH_HELPER_HOME``).
            profile: The name of its profile.
            port: Its port; None: any free port.
            environment: Added to this process's environment.
            quietly: Whether it runs without a browser and notifications.
            settings: Flags of ``run`` by the setting's name. By default the credential store is ``memory``.
        """
        self.home = home
        self.port = free_port() if port is None else port
        self.environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(home)} | dict(environment or {})
        self._profile = profile
        self._quietly = QUIETLY if quietly else ()
        self.settings: dict[str, str | int] = {"credential_store": "memory", **settings, "port": self.port}
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    @contextmanager
    def running(cls, home: Path, **options: Any) -> Iterator[Self]:
        """Start a daemon, and stop it on leaving."""
        daemon = cls(home, **options)
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.kill()

    def start(self) -> DaemonClient:
        """
        Start it and wait until it serves.

        Raises:
            DaemonFailed: If it ends instead, with its output and exit code.
        """
        profile = ["--profile", self._profile] if self._profile else []
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self.settings.items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "upstash_helper", *profile, "run", *self._quietly, "--stop-with-parent", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            text=True,
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                output = self.output()
                raise DaemonFailed(output, self._process.returncode)
            try:
                client = self.client
                client.health()
            except DaemonUnreachable:
                time.sleep(0.01)
            else:
                return client
        self._process.kill()
        raise DaemonFailed(f"It did not serve within {START_SECONDS} seconds.\n{self.output()}", -1)

    @property
    def folders(self) -> Folders:
        """Its folders."""
        return locate(profile=self._profile, environ=self.environment)[1]

    @property
    def client(self) -> DaemonClient:
        """
        An owner's client.

        Raises:
            DaemonUnreachable: If it is not running.
        """
        return DaemonClient.discover(self.folders.runtime)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Its log."""
        return self.folders.log_file.read_text(encoding="utf-8")

    def stop(self) -> int:
        """Stop it like Ctrl-C would, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
        return self.wait()

    def close_stdin(self) -> int:
        """Close its standard input, as happens when its parent ends, and return its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Kill it without cleanup, if it is running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def output(self) -> str:
        """Return its output, once it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.read()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of the helper."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UPSTASH_HELPER_")}
