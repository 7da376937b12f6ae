"""
The tray for tests: the real thing in a process of its own.

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
    """A tray. It can be started, stopped, killed and started again."""

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        """
        Args:
            environment: All of it: the folders, the session bus, the display.
            arguments: Of ``upstash-helper tray``.
        """
        self.environment = dict(environment)
        self._command = [sys.executable, "-P", "-m", "upstash_helper", "tray", *arguments]
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    @contextmanager
    def running(cls, environment: Mapping[str, str], *arguments: str) -> Iterator[Self]:
        """Start a tray, and end it on leaving."""
        tray = cls(environment, *arguments)
        try:
            tray.start()
            yield tray
        finally:
            tray.kill()

    def start(self) -> None:
        """Start it. What it shows says when it is there."""
        self._process = subprocess.Popen(
            self._command, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def stop(self) -> tuple[int, str]:
        """End it as a logout does, and return its exit code and all that it printed."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> tuple[int, str]:
        """Wait until it has ended by itself, and return its exit code and all that it printed."""
        assert self._process is not None
        printed, _ = self._process.communicate(timeout=STOP_SECONDS)
        return self._process.returncode, printed

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
