"""Programs with a time limit, whose descendants may hold their output."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.platforms import WINE
from tests.support.until import until
from upstash_helper.system import bounded_run

if TYPE_CHECKING:
    from pathlib import Path

NEVER = 600.0


def program(code: str) -> list[str]:
    """Return the command of a Python program."""
    return [sys.executable, "-c", textwrap.dedent(code)]


def child(noted: Path, *, detached: bool = False) -> str:
    """Return code that starts a process which inherits the output, and notes its ID."""
    options = "start_new_session=True" if detached else ""
    return f"""
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], {options})
pathlib.Path({str(noted)!r}).write_text(str(child.pid))
print("started", flush=True)
"""


def is_dead(noted: Path) -> bool:
    """Return whether the process whose ID was noted has ended."""
    pid = int(noted.read_text())
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_output_input_and_exit_code(tmp_path: Path) -> None:
    """A program gets its input, environment, and folder, and both of its outputs are returned."""
    code = "import os, sys; print(sys.stdin.read(), os.environ['X'], os.getcwd()); sys.stderr.write('e'); sys.exit(3)"
    environ = {**os.environ, "X": "y"}

    code_, out, err = bounded_run.run(program(code), seconds=NEVER, stdin=b"in", environ=environ, folder=tmp_path)

    assert (3, b"e") == (code_, err)
    assert f"in y {tmp_path}" == out.decode().strip()


def test_large_output_is_complete() -> None:
    """It is more than a pipe holds."""
    ran = bounded_run.run(program("import sys; sys.stdout.write('x' * 1_000_000)"), seconds=NEVER)

    assert (0, 1_000_000) == (ran.code, len(ran.out))


def test_program_without_input_reads_none_and_may_ignore_its_own() -> None:
    """A program that does not read its input is no error, also if there is more than a pipe holds."""
    without = bounded_run.run(program("import sys; print(repr(sys.stdin.read()))"), seconds=NEVER)
    ignored = bounded_run.run(program("print('done')"), seconds=NEVER, stdin=b"x" * 1_000_000)

    assert b"''" == without.out.strip()
    assert (0, b"done") == (ignored.code, ignored.out.strip())


@pytest.mark.skipif(sys.platform == "win32", reason="platform: on Windows, no signal ends a write")
def test_input_is_complete_although_a_signal_interrupts_it() -> None:
    """A write to a full pipe ends early if its thread handles a signal."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    code = "import sys, time; time.sleep(2); print(len(sys.stdin.buffer.read()))"

    def interrupt() -> None:
        for thread in threading.enumerate():
            if thread.name == "bounded-run" and thread.ident is not None:
                signal.pthread_kill(thread.ident, signal.SIGUSR1)

    timer = threading.Timer(1.0, interrupt)
    timer.start()
    try:
        ran = bounded_run.run(program(code), seconds=NEVER, stdin=b"x" * 1_000_000)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)

    assert b"1000000" == ran.out.strip()


@pytest.mark.parametrize("limit", [NEVER, None], ids=["limit", "no limit"])
def test_child_that_holds_the_output_is_not_waited_for(tmp_path: Path, limit: float | None) -> None:
    """A program that leaves a process in the background has ended, and what it has written is returned."""
    noted = tmp_path / "child"

    ran = bounded_run.run(program(child(noted)), seconds=limit, descendants_live=True)

    try:
        assert (0, b"started") == (ran.code, ran.out.strip())
        assert not is_dead(noted)
    finally:
        psutil.Process(int(noted.read_text())).kill()


def test_descendants_are_killed_at_the_time_limit(tmp_path: Path) -> None:
    """So is a grandchild that holds the output."""
    noted = tmp_path / "grandchild"
    inner = child(noted) + "\ntime.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"

    ran = bounded_run.run(program(code), seconds=8.0)

    assert ran.code is None
    until(lambda: is_dead(noted))


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no sessions that a process could move to")
def test_descendant_that_escapes_is_not_waited_for(tmp_path: Path) -> None:
    """One in a session of its own is not killed, and its output has no end."""
    noted = tmp_path / "child"

    ran = bounded_run.run(program(child(noted, detached=True) + "time.sleep(600)"), seconds=5.0)

    try:
        assert (None, b"started") == (ran.code, ran.out.strip())
    finally:
        psutil.Process(int(noted.read_text())).kill()


def test_missing_program_is_an_error(tmp_path: Path) -> None:
    """The caller says what to do."""
    with pytest.raises(FileNotFoundError):
        bounded_run.run([str(tmp_path / "no-such-program")], seconds=NEVER)


if sys.platform == "win32":
    import ctypes

    def handles() -> int:
        """Return the number of this process's open handles, or one that grows with it."""
        if WINE is None:
            return psutil.Process().num_handles()
        # Wine does not count them. It gives a new one the lowest free number, in steps of four.
        kernel = ctypes.WinDLL("kernel32")
        event: int = kernel.CreateEventW(None, False, False, None)
        kernel.CloseHandle(event)
        return event // 4

    def test_missing_program_leaves_no_handle(tmp_path: Path) -> None:
        """The daemon runs for months."""
        before = 0

        for number in range(40):
            if number == 20:
                before = handles()
            with pytest.raises(FileNotFoundError):
                bounded_run.run([str(tmp_path / "no-such-program")], seconds=NEVER)

        assert handles() < before + 20
