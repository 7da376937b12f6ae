"""
The daemon for tests: the real thing in a process of its own, in folders of its own.

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

START_SECONDS = 30.0
STOP_SECONDS = 10.0
QUIETLY = ("--no-browser", "--no-notifications")
"""Whoever runs the tests may have a desktop."""


class DaemonFailed(Exception):
    """The daemon ended instead of serving."""

    def __init__(self, output: str, returncode: int) -> None:
        super().__init__(f"the daemon ended with {returncode}: {output}")
        self.output = output
        self.returncode = returncode


class DaemonProcess:
    """A daemon with its folders. It can be started, stopped, killed and started again."""

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
            home: The root of all its folders (``UPSTASH_HELPER_HOME``).
            profile: Its profile.
            port: Where it listens; None: any that is free.
            environment: Added to this process's environment.
            quietly: Without a browser and notifications.
            settings: Flags of ``run`` by the setting's name; by default the credential store is the memory.
        """
        self.home = home
        self.port = free_port() if port is None else port
        self.environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(home)} | dict(environment or {})
        self._profile = profile
        self._quietly = QUIETLY if quietly else ()
        self._settings: dict[str, str | int] = {"credential_store": "memory", **settings, "port": self.port}
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
            DaemonFailed: If it ends instead, with what it said and its exit code.
        """
        profile = ["--profile", self._profile] if self._profile else []
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self._settings.items()]
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
        self.kill()
        raise DaemonFailed(self.output(), -1)

    @property
    def folders(self) -> Folders:
        """Where it keeps its files."""
        return locate(profile=self._profile, environ=self.environment)[1]

    @property
    def client(self) -> DaemonClient:
        """
        A client of it, as its owner.

        Raises:
            DaemonUnreachable: If it does not run.
        """
        return DaemonClient.discover(self.folders.runtime)

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged."""
        return self.folders.log_file.read_text(encoding="utf-8")

    def stop(self) -> int:
        """Stop it as Ctrl-C would, and return its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
        return self.wait()

    def leave(self) -> int:
        """Close its standard input, as the system does when its parent ends, and return its exit code."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """Let it die without a chance to clean up. Succeeds as well if it does not run."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def output(self) -> str:
        """Return what it wrote to its terminal, once it has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.read()


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of the helper."""
    return {name: value for name, value in os.environ.items() if not name.startswith("UPSTASH_HELPER_")}
