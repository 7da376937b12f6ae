"""Running several programs at the same time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from install.environment import ROOT
from install.parallel import Failure, Program, run_all
from install.progress import SetupError
from tests.support.until import until


def python(name: str, code: str) -> Program:
    """Return a program in Python."""
    return Program(name, [sys.executable, "-c", code])


def test_output_appears_under_its_name(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    The output of each program is in one piece, with its name before and its result after it.
    """
    both = "import sys; print('one', flush=True); print('two', file=sys.stderr)"

    failed = run_all([python("first", both), python("second", "")], at_once=1, cwd=tmp_path)

    lines = [line.partition(",")[0] for line in capfd.readouterr().err.splitlines()]
    assert [] == failed
    assert ["--- first ---", "one", "two", "first: ok", "second: ok"] == lines


def test_failure_does_not_stop_the_others(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    All programs are run, and those that failed are returned in the order in which they were given, with their output.
    """
    bad = "print('why'); raise SystemExit(3)"

    failed = run_all([python("b", bad), python("a", ""), python("c", bad)], at_once=2, cwd=tmp_path)

    lines = [line.partition(",")[0] for line in capfd.readouterr().err.splitlines()]
    assert [Failure("b", "why\n"), Failure("c", "why\n")] == failed
    assert ["a: ok", "b: failed", "c: failed"] == sorted(line for line in lines if ": " in line)


def test_programs_run_at_the_same_time(tmp_path: Path) -> None:
    """
    Two programs that wait for each other both end.
    """
    wait = "import pathlib, time\npathlib.Path({!r}).touch()\nwhile not pathlib.Path({!r}).exists(): time.sleep(0.01)"

    failed = run_all([python("a", wait.format("a", "b")), python("b", wait.format("b", "a"))], at_once=2, cwd=tmp_path)

    assert [] == failed


def test_background_process_does_not_delay_the_result(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """
    A program has ended even if a process that it has started keeps its output open.
    """
    sleep = "import time; time.sleep(600)"
    leave = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleep!r}]).pid)"
    started = time.monotonic()

    failed = run_all([python("a", leave)], at_once=1, cwd=tmp_path)

    _, pid, result = capfd.readouterr().err.splitlines()
    os.kill(int(pid), signal.SIGTERM)
    assert [] == failed
    assert result.startswith("a: ok")
    assert time.monotonic() - started < 60


def test_missing_program_is_an_error_message(tmp_path: Path) -> None:
    """
    The error for a program that cannot be started names it.
    """
    with pytest.raises(SetupError, match=r"^Cannot start /no/such/program: "):
        run_all([Program("a", ["/no/such/program"])], at_once=1, cwd=tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_ends_the_programs(tmp_path: Path, number: signal.Signals) -> None:
    """
    If the run is interrupted or terminated, its programs are terminated, and no further one is started.
    """
    child = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path('ended').touch(), sys.exit()))\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(600)"
    )
    code = (
        "import pathlib, signal, sys\n"
        "from install.parallel import Program, run_all\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "programs = [Program('', [sys.executable, '-c', code]) for code in sys.argv[2:]]\n"
        "run_all(programs, at_once=1, cwd=pathlib.Path(sys.argv[1]))"
    )
    further = "import pathlib; pathlib.Path('further').touch()"
    command = [sys.executable, "-c", code, str(tmp_path), child, further]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        until((tmp_path / "ready").exists)
        process.send_signal(number)

        assert process.wait() in {-number, 128 + number}
    assert {"ready", "ended"} == {file.name for file in tmp_path.iterdir()}
