"""Running checks at once, with time limits, in order."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import psutil

from tests.support.until import until
from upstash_helper.cli.doctor import subprocesses
from upstash_helper.cli.doctor.check import Check, CheckResult, ok, run_checks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_checks_run_at_once_and_results_are_in_order() -> None:
    """
    The second check can finish before the first, and its result still comes second.
    """
    second_is_done = threading.Event()

    def first() -> Iterator[CheckResult]:
        assert second_is_done.wait(30)
        yield ok("first", "after the second")

    def second() -> Iterator[CheckResult]:
        second_is_done.set()
        yield ok("second", "before the first")

    found = run_checks([Check("first", first, 60.0), Check("second", second, 60.0)])

    assert ["after the second", "before the first"] == [one.detail for one in found]


def test_hanging_check_is_an_error_and_the_others_are_shown() -> None:
    """
    Its result names the time limit.
    """
    for_ever = threading.Event()

    def hangs() -> Iterator[CheckResult]:
        for_ever.wait()
        yield ok("hangs", "never")

    found = list(run_checks([Check("hangs", hangs, 0.1), Check("works", lambda: [ok("works", "fine")], 30.0)]))
    for_ever.set()

    assert [("hangs", "error"), ("works", "ok")] == [(one.name, one.state) for one in found]
    assert "within 0.1 s" in found[0].detail


def test_hanging_check_does_not_delay_the_exit() -> None:
    """
    Its thread ends with the process.
    """
    program = """
        import threading
        from upstash_helper.cli.doctor.check import Check, run_checks
        print([one.state for one in run_checks([Check("hangs", threading.Event().wait, 0.1)])])
    """

    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True)

    assert b"['error']" == ran.stdout.strip()


def test_failing_check_is_an_error_without_the_message() -> None:
    """
    An exception in a check is reported by its type, because its message may contain anything.
    """

    def fails() -> Iterator[CheckResult]:
        yield ok("fails", f"{int('a secret')}")

    (found,) = run_checks([Check("fails", fails)])

    assert ("error", True) == (found.state, "ValueError" in found.detail)
    assert "a secret" not in found.detail + found.fix


def test_program_is_killed_with_its_children_at_the_time_limit(tmp_path: Path) -> None:
    """
    Nothing is left, even if a child holds its output open.
    """
    noted = tmp_path / "child"
    script = f"""
        import pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(noted)!r}).write_text(str(child.pid))
        time.sleep(600)
    """

    ended = subprocesses.run([sys.executable, "-c", textwrap.dedent(script)], seconds=5.0)

    assert subprocesses.ProcessResult(None, "", "") == ended
    until(lambda: _is_dead(int(noted.read_text())))


def test_programs_of_an_abandoned_check_are_killed_at_exit(tmp_path: Path) -> None:
    """
    A hanging program is killed when this one exits.
    """
    noted = tmp_path / "child"
    hangs = f"import os, pathlib, time; pathlib.Path({str(noted)!r}).write_text(str(os.getpid())); time.sleep(600)"
    program = f"""
        import sys
        from upstash_helper.cli.doctor import subprocesses
        from upstash_helper.cli.doctor.check import Check, run_checks
        hangs = lambda: subprocesses.run([sys.executable, "-c", {hangs!r}], seconds=600.0)
        print([one.state for one in run_checks([Check("hangs", hangs, 8.0)])])
    """

    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True)

    assert b"['error']" == ran.stdout.strip()
    pid = int(noted.read_text())
    until(lambda: _is_dead(pid))
    assert _is_dead(pid)


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_result_is_read_from_the_last_line() -> None:
    """
    Warnings of a library before it are ignored; other output is no result.
    """
    answer = '{"name":"x","state":"ok","detail":"y"}'
    assert ok("x", "y") == subprocesses.ProcessResult(0, f"warning\n{answer}\n", "").last_line(CheckResult)
    assert subprocesses.ProcessResult(0, "", "").last_line(CheckResult) is None
    assert subprocesses.ProcessResult(0, "[]\n", "").last_line(CheckResult) is None
