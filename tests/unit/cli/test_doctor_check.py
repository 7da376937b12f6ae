"""Checks are made at once, each within its time, and shown in order."""

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


def test_all_are_made_at_once_and_shown_in_order() -> None:
    """
    The second can end before the first has: it is shown after it.
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


def test_one_that_hangs_is_given_up_and_the_others_are_shown() -> None:
    """
    It is an error of its own, with how long was waited.
    """
    for_ever = threading.Event()

    def hangs() -> Iterator[CheckResult]:
        for_ever.wait()
        yield ok("hangs", "never")

    found = list(run_checks([Check("hangs", hangs, 0.1), Check("works", lambda: [ok("works", "fine")], 30.0)]))
    for_ever.set()

    assert [("hangs", "error"), ("works", "ok")] == [(one.name, one.state) for one in found]
    assert "within 0.1 s" in found[0].detail


def test_one_that_hangs_does_not_keep_the_program_from_ending() -> None:
    """
    Its thread goes with the process.
    """
    program = """
        import threading
        from upstash_helper.cli.doctor.check import Check, run_checks
        print([one.state for one in run_checks([Check("hangs", threading.Event().wait, 0.1)])])
    """

    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True)

    assert b"['error']" == ran.stdout.strip()


def test_one_that_fails_says_so_and_quotes_nothing() -> None:
    """
    A mistake in a check is told as one; the error's own words may hold anything.
    """

    def fails() -> Iterator[CheckResult]:
        yield ok("fails", f"{int('a secret')}")

    (found,) = run_checks([Check("fails", fails)])

    assert ("error", True) == (found.state, "ValueError" in found.detail)
    assert "a secret" not in found.detail + found.fix


def test_a_program_past_its_time_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """
    Nothing of it is left, though its child holds its output open.
    """
    noted = tmp_path / "child"
    script = f"""
        import pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(noted)!r}).write_text(str(child.pid))
        time.sleep(600)
    """

    ended = subprocesses.run([sys.executable, "-c", textwrap.dedent(script)], seconds=5.0)

    assert subprocesses.Ended(None, "", "") == ended
    until(lambda: not psutil.pid_exists(int(noted.read_text())) or _is_dead(int(noted.read_text())))


def test_nothing_outlives_a_program_that_is_interrupted(tmp_path: Path) -> None:
    """
    With Ctrl-C, or because a check is not waited for any longer: what hangs is ended.
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

    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60, check=True)

    pid = int(noted.read_text())
    until(lambda: not psutil.pid_exists(pid) or _is_dead(pid))


def _is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_program_says_is_read_from_its_last_line() -> None:
    """
    Warnings of a library before it are no obstacle; what is no such answer is none.
    """
    answer = '{"name":"x","state":"ok","detail":"y"}'
    assert ok("x", "y") == subprocesses.Ended(0, f"warning\n{answer}\n", "").last_line(CheckResult)
    assert subprocesses.Ended(0, "", "").last_line(CheckResult) is None
    assert subprocesses.Ended(0, "[]\n", "").last_line(CheckResult) is None
