"""The whole suite: everything is run, and one failure is enough."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from install import suite
from install.environment import ROOT

PYTHON = Path(sys.executable)

GOOD = ("good", ("-c", ""))
BAD = ("bad", ("-c", "raise SystemExit(3)"))

SAYS_WHAT_FAILED = ("-c", f"import os; print('failed before:', os.environ[{suite.FAILED_CHECKS!r}])")
FAILS = ("-c", "raise SystemExit(5)")


def test_all_good_is_good() -> None:
    """
    The exit code is 0 only then.
    """
    assert suite.run_everything(PYTHON, checks=[GOOD, GOOD], tests=("-c", "")) == 0


def test_a_failed_check_stops_nothing_and_fails_all(capfd: pytest.CaptureFixture[str]) -> None:
    """
    A typing error does not hide what the tests would have said, and passing tests do not hide the typing error.
    """
    code = suite.run_everything(PYTHON, checks=[BAD, GOOD], tests=SAYS_WHAT_FAILED)

    out, err = capfd.readouterr()
    assert code == 1
    assert out == f"failed before: bad{os.linesep}"
    assert [line.partition(",")[0] for line in err.splitlines()] == ["bad: failed", "good: ok"]


def test_failed_tests_fail_all() -> None:
    """
    The exit code of pytest tells what was wrong, also after a failed check.
    """
    assert suite.run_everything(PYTHON, checks=[GOOD], tests=FAILS) == 5
    assert suite.run_everything(PYTHON, checks=[BAD], tests=FAILS) == 5


def test_paths_mean_what_they_mean_where_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Arguments for pytest may be typed in any folder, with the shell's completion of paths.
    """
    (tmp_path / "test_a.py").touch()
    monkeypatch.chdir(tmp_path)

    arguments = suite.seen_from(ROOT, ["test_a.py::test_b[x]", "-q", "tests/api"])

    assert arguments == [f"{tmp_path / 'test_a.py'}::test_b[x]", "-q", "tests/api"]


def test_at_the_top_arguments_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where pytest runs anyway, nothing is rewritten.
    """
    monkeypatch.chdir(ROOT)

    assert suite.seen_from(ROOT, ["tests", "-k", "install"]) == ["tests", "-k", "install"]
