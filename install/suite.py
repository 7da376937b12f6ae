"""All checks and tests. pytest is last, so that its summary is the last line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from install import report
from install.environment import ROOT
from install.foreground import run
from install.parallel import Failure, Program, run_all
from install.progress import say


def _mypy_for(platform: str) -> Sequence[str]:
    """
    Return the type check for another platform: it finds names that do not exist there.

    Unreachable code is not an error, because much code is for one platform only.
    """
    options = ("--platform", platform, "--no-warn-unreachable", "--cache-dir", f".mypy_cache/{platform}")
    return ("-m", "mypy", "--no-error-summary", *options, "daemon", "tray", "install")


# import-linter has no __main__, and the first line of its script may be too long for the system in a deep folder.
_LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"

STATIC_CHECKS: tuple[tuple[str, Sequence[str]], ...] = (
    ("ruff check", ("-m", "ruff", "check", "--quiet")),
    ("ruff format", ("-m", "ruff", "format", "--check", "--quiet")),
    ("mypy", ("-m", "mypy", "--no-error-summary")),
    ("mypy for Windows", _mypy_for("win32")),
    ("mypy for macOS", _mypy_for("darwin")),
    ("lint-imports", ("-c", _LINT_IMPORTS, "--no-logo")),
    ("JavaScript types", ("-m", "install.javascript", "types")),
    ("JavaScript style", ("-m", "install.javascript", "style")),
    ("JavaScript build", ("-m", "install.javascript", "build")),
    ("JavaScript tests", ("-m", "install.javascript", "tests")),
)

WINDOWS_JOB = ("-m", "install.wine.job")

# One runs for each core at a time. The longest are first.
ALL_CHECKS = (
    ("Windows", WINDOWS_JOB),
    ("other Pythons and newest packages", ("-m", "install.pythons")),
    *STATIC_CHECKS,
)

# The tests of a file run in one process, because they share a sandbox, a daemon, or a browser. Many tests wait: with
# one process per core, the cores are idle for 40% of the time. `tests/support/longest_first.py` sets the order.
_PROCESSES = min((os.cpu_count() or 1) + 1, 4)
_IN_PARALLEL = ("-n", str(_PROCESSES), "--dist", "loadfile", "--no-loadscope-reorder")
ALL_TESTS = ("-m", "pytest", *_IN_PARALLEL)
# On request: measuring costs a tenth of a second for each of the thousands of processes that the tests start.
COVERAGE = ("--cov", "--cov-report=term")

FAILED_CHECKS = "UPSTASH_HELPER_FAILED_CHECKS"
"""The environment variable with the failed checks and what they printed last, for a pytest plugin of this project."""

FAILED_AT_FIRST = "UPSTASH_HELPER_FAILED_AT_FIRST"
"""The environment variable with the names of the tests that run again, for the same plugin."""

MOST_REPEATED = 5
"""If more tests fail, a busy machine is not the reason."""

_LAST_LINES = 50
_LINE = 400
"""How much of a failed check's output is printed again at the end: CI systems may show only the end of a long log."""

_TESTS_FAILED = 1
"""The exit code of pytest for a complete run with failed tests."""


def run_everything(
    python: Path,
    *,
    checks: Sequence[tuple[str, Sequence[str]]] = ALL_CHECKS,
    tests: Sequence[str] = ALL_TESTS,
) -> int:
    """
    Run the checks, one for each core at a time, then all tests. A failure does not stop the rest.

    The tests run real browsers, keyrings, and desktops, several at a time. If only a few fail, they run once more, one
    at a time, and the second result counts. Both are printed.

    Args:
        python: The environment's interpreter.
        checks: The names of the checks, and the interpreter's arguments to run them.
        tests: The interpreter's arguments to run the tests.

    Returns:
        0 if nothing failed, otherwise the exit code of the tests, or 1 if only checks failed.
    """
    programs = [Program(name, [str(python), *arguments]) for name, arguments in checks]
    failed = run_all(programs, at_once=os.cpu_count() or 1, cwd=ROOT)
    code = _run_twice([str(python), *tests], {FAILED_CHECKS: "\n".join(map(_end_of, failed))})
    return code or int(bool(failed))


def _end_of(failure: Failure) -> str:
    """Return the name of a failed check and the last lines that it printed, long ones cut."""
    lines = failure.output.rstrip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"--- {failure.name} failed ---", *(line[:_LINE] for line in lines)])


def _run_twice(command: Sequence[str], env: dict[str, str]) -> int:
    """Run pytest, then the failed tests again if they are few. Return the last exit code."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tests.xml"
        code = run([*command, f"--junitxml={file}"], cwd=ROOT, env=env)
        failed = list(report.read(file).failed) if code == _TESTS_FAILED and file.exists() else []
    if not 0 < len(failed) <= MOST_REPEATED:
        return code
    say(f"\nRunning failed tests once more ({len(failed)}), one at a time:")
    only_failed = ("-n", "0", "--last-failed", "--last-failed-no-failures", "none")
    return run([*command, *only_failed], cwd=ROOT, env={**env, FAILED_AT_FIRST: ", ".join(failed)})


def run_tests(python: Path, arguments: Sequence[str]) -> int:
    """Run pytest in the checkout with ``arguments`` and return its exit code."""
    return run([str(python), "-m", "pytest", *arguments], cwd=ROOT)


def run_windows(python: Path, arguments: Sequence[str]) -> int:
    """Run the tests on Windows, or only those that pytest's ``arguments`` name, and return the exit code."""
    return run([str(python), *WINDOWS_JOB, *arguments], cwd=ROOT)


def relative_to(root: Path, arguments: Sequence[str]) -> list[str]:
    """
    Return pytest's ``arguments`` for use with ``root`` as the working directory.

    Paths that exist in the current working directory are made absolute. Others are paths in the checkout.
    """
    if Path.cwd() == root:
        return list(arguments)
    return [_absolute(argument) for argument in arguments]


def _absolute(argument: str) -> str:
    path, separator, test = argument.partition("::")
    if argument.startswith("-") or not Path(path).exists():
        return argument
    return f"{Path(path).absolute()}{separator}{test}"
