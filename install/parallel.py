"""Running several programs at the same time. The output of each is shown in one piece when it has ended."""

from __future__ import annotations

import concurrent.futures
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

from install.progress import SetupError, say

_LAST_SECONDS = 1.0
"""How long output is read after a program has ended."""


@dataclass(frozen=True)
class Program:
    """A program to run, and its name in messages."""

    name: str
    command: Sequence[str]


@dataclass(frozen=True)
class Failure:
    """A program that failed, and what it printed."""

    name: str
    output: str


def run_all(programs: Sequence[Program], *, at_once: int, cwd: Path) -> list[Failure]:
    """
    Run programs, and print the output, the result, and the duration of each. A failure does not stop the others.

    If this process is interrupted or terminated, they are terminated.

    Args:
        programs: The programs, in the order in which to start them.
        at_once: How many run at the same time.
        cwd: Their working directory.

    Returns:
        Those whose exit code is not 0, in the order of ``programs``.

    Raises:
        SetupError: If a program cannot be started.
    """
    failed = {}
    group = _Group(cwd)
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool, group:
            for future in concurrent.futures.as_completed([pool.submit(group.run, program) for program in programs]):
                name, code, output, seconds = future.result()
                if output.strip():
                    say(f"--- {name} ---\n{output.rstrip()}")
                say(f"{name}: {'failed' if code else 'ok'}, {seconds:.1f} s")
                if code:
                    failed[name] = Failure(name, output)
    finally:
        signal.signal(signal.SIGTERM, before)
    return [failed[program.name] for program in programs if program.name in failed]


def _read(stream: IO[str] | None, chunks: list[str]) -> None:
    """Collect the lines of a stream, and close it at its end."""
    if stream is not None:
        with stream:
            chunks.extend(stream)


def _exit(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


class _Group:
    """The programs that are running. On exit from the context, they are terminated, and no further ones are started."""

    def __init__(self, cwd: Path) -> None:
        self._cwd = cwd
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._over = False

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
            for process in self._running:
                process.terminate()

    def run(self, program: Program) -> tuple[str, int, str, float]:
        """Run a program, and return its name, exit code, output, and duration in seconds."""
        started = time.monotonic()
        with self._lock:
            if self._over:
                return program.name, 1, "", 0.0
            process = self._start(program)
            self._running.add(process)
        chunks: list[str] = []
        reader = threading.Thread(target=_read, args=(process.stdout, chunks), daemon=True)
        reader.start()
        code = process.wait()
        with self._lock:
            self._running.remove(process)
        # Not until the end of the output: a process that the program has left in the background may keep it open.
        reader.join(_LAST_SECONDS)
        return program.name, code, "".join(chunks), time.monotonic() - started

    def _start(self, program: Program) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                program.command,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise SetupError(f"Cannot start {program.command[0]}: {error.strerror}.") from error
