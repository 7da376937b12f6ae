"""
The tray as a process.

    with TrayProcess.running(environment) as tray:
        …
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STOP_SECONDS = 10.0


class TrayProcess:
    """A tray that can be started, stopped, killed, and started again."""

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        """
        Args:
            environment: The whole environment, with the folders, the session bus, and the display.
            arguments: Arguments of ``upstash-helper tray``.
        """
        self.environment = dict(environment)
        self._command = [sys.executable, "-P", "-m", "upstash_helper", "tray", *arguments]
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    @contextmanager
    def running(cls, environment: Mapping[str, str], *arguments: str) -> Iterator[Self]:
        """Run a tray for the duration of the block."""
        tray = cls(environment, *arguments)
        try:
            tray.start()
            yield tray
        finally:
            tray.kill()

    def start(self) -> None:
        """Start it. Wait for its icon to know when it is ready."""
        self._process = subprocess.Popen(
            self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, or None while it is running."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> tuple[int, str]:
        """End it as a logout does, and return its exit code and its output."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait until it has ended, and return its exit code and its output."""
        assert self._process is not None
        printed, _ = self._process.communicate(timeout=STOP_SECONDS)
        return self._process.returncode, printed

    def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
