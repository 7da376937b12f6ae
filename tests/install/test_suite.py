"""Running all checks and tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from install import suite
from install.environment import ROOT

PYTHON = Path(sys.executable)

GOOD = ("good", ("-c", ""))
BAD = ("bad", ("-c", "print('why'); raise SystemExit(3)"))

PRINTS_FAILED_CHECKS = ("-c", f"import os; print('failed before:', os.environ[{suite.FAILED_CHECKS!r}])")
FAILS = ("-c", "raise SystemExit(5)")


def test_success() -> None:
    """
    If all checks and tests pass, the exit code is 0.
    """
    assert suite.run_everything(PYTHON, checks=[GOOD, GOOD], tests=("-c", "")) == 0


def test_failed_check_does_not_stop_the_tests(capfd: pytest.CaptureFixture[str]) -> None:
    """
    After a failed check, the tests are still run, and the exit code is 1 even if they pass.
    """
    code = suite.run_everything(PYTHON, checks=[BAD, GOOD], tests=PRINTS_FAILED_CHECKS)

    out, err = capfd.readouterr()
    assert code == 1
    assert out.splitlines() == ["failed before: --- bad failed ---", "why"]
    printed = sorted(line.partition(",")[0] for line in err.splitlines())
    assert printed == ["--- bad ---", "bad: failed", "good: ok", "why"]


def test_only_the_end_of_a_failed_checks_output_is_repeated(capfd: pytest.CaptureFixture[str]) -> None:
    """
    A long output is printed whole once, and its last lines, cut, next to the result.
    """
    verbose = ("verbose", ("-c", "print('\\n'.join(map(str, range(200))), 'x' * 1000, sep='\\n'); raise SystemExit(1)"))

    suite.run_everything(PYTHON, checks=[verbose], tests=PRINTS_FAILED_CHECKS)

    out, err = capfd.readouterr()
    _, *repeated, last = out.splitlines()
    assert [str(number) for number in range(151, 200)] == repeated
    assert "x" * 400 == last
    assert "\n0\n1\n" in err


def test_exit_code_of_failed_tests() -> None:
    """
    If tests fail, the exit code is that of pytest, also after a failed check.
    """
    assert suite.run_everything(PYTHON, checks=[GOOD], tests=FAILS) == 5
    assert suite.run_everything(PYTHON, checks=[BAD], tests=FAILS) == 5


def test_all_checks_have_the_windows_job_and_the_other_pythons() -> None:
    """
    Both start first, because they take longest, and fail the run like any other check.
    """
    first, second, *others = suite.ALL_CHECKS

    assert ("Windows", suite.WINDOWS_JOB) == first
    assert ("-m", "install.pythons") == second[1]
    assert suite.STATIC_CHECKS == tuple(others)


def test_paths_are_relative_to_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Paths in pytest's arguments are relative to the current working directory, if they exist there.
    """
    (tmp_path / "test_a.py").touch()
    monkeypatch.chdir(tmp_path)

    arguments = suite.relative_to(ROOT, ["test_a.py::test_b[x]", "-q", "tests/api"])

    assert arguments == [f"{tmp_path / 'test_a.py'}::test_b[x]", "-q", "tests/api"]


def test_arguments_are_unchanged_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In the checkout's folder, arguments are not changed.
    """
    monkeypatch.chdir(ROOT)

    assert suite.relative_to(ROOT, ["tests", "-k", "install"]) == ["tests", "-k", "install"]


TESTS = """
import pathlib
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_fails_at_first(number: int) -> None:
    seen = pathlib.Path(__file__).with_name(f"seen-{{number}}")
    assert seen.exists() or seen.touch()

def test_passes() -> None: ...
"""


def run_pytest_twice(folder: Path, count: int, *, again: bool) -> int:
    """Run tests of which ``count`` fail in the first run, and ``again`` in the second."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    tests_of_file = TESTS.format(count=count)
    (folder / "test_it.py").write_text(tests_of_file.replace("seen.exists() or", "") if again else tests_of_file)
    tests = ("-m", "pytest", "-q", "--rootdir", str(folder), "-p", "tests.support.failed_checks", str(folder))
    return suite.run_everything(PYTHON, checks=[GOOD], tests=tests)


def test_few_failed_tests_are_run_once_more_and_both_results_are_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """
    A test that fails only while others run beside it does not fail the run, but it is named next to the result.
    """
    code = run_pytest_twice(tmp_path, suite.MOST_REPEATED, again=False)

    out, err = capfd.readouterr()
    first, _, second = out.partition(f"{suite.MOST_REPEATED} failed, 1 passed")
    assert 0 == code
    assert "FAILED" in first
    assert "tests that are run for the second time" in second
    assert "test_fails_at_first[0]" in second
    assert out.splitlines()[-1].startswith(f"{suite.MOST_REPEATED} passed")
    assert "once more" in err


def test_test_that_fails_twice_fails_the_run(tmp_path: Path) -> None:
    """
    The second result counts.
    """
    assert 1 == run_pytest_twice(tmp_path, 1, again=True)


def test_many_failed_tests_are_not_run_once_more(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """
    Many failures have another reason than a busy machine.
    """
    code = run_pytest_twice(tmp_path, suite.MOST_REPEATED + 1, again=False)

    assert 1 == code
    assert "once more" not in capfd.readouterr().err
