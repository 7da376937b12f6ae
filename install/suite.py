"""Everything that a change has to pass, in the order of speed. pytest comes last, so that its last line is the last."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from install.environment import ROOT
from install.foreground import run
from install.progress import say


def _mypy_for(platform: str) -> Sequence[str]:
    """
    Return the check of what is shipped, as if on another platform: it finds what is called there and does not exist.

    What one platform never reaches is no mistake there.
    """
    options = ("--platform", platform, "--no-warn-unreachable", "--cache-dir", f".mypy_cache/{platform}")
    return ("-m", "mypy", "--no-error-summary", *options, "daemon", "tray", "install")


# It has no __main__, and its script's first line may be too long for the system (a deep folder).
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

# A process for each core; the tests of a file stay together, for they share a sandbox, a daemon or a browser. More than
# that is faster by a minute, and then a busy machine makes tests fail that look at what happens within a time.
_IN_PARALLEL = ("-n", "logical", "--maxprocesses", "4", "--dist", "loadfile")
ALL_TESTS = ("-m", "pytest", *_IN_PARALLEL, "--cov", "--cov-report=term")

FAILED_CHECKS = "UPSTASH_HELPER_FAILED_CHECKS"
"""The environment variable by which a plugin of the tests is told what failed before them."""

INTERRUPTED = 130


def run_everything(
    python: Path, *, checks: Sequence[tuple[str, Sequence[str]]] = STATIC_CHECKS, tests: Sequence[str] = ALL_TESTS
) -> int:
    """
    Run the static checks and all tests, and say how long each took. What fails does not stop the rest.

    Args:
        python: The environment's interpreter.
        checks: What goes before the tests: names, and the interpreter's arguments.
        tests: The interpreter's arguments that run the tests.

    Returns:
        0 if nothing failed, else the exit code of the tests, or 1 if they passed.
    """
    failed = []
    for name, arguments in checks:
        started = time.monotonic()
        code = run([str(python), *arguments], cwd=ROOT)
        if code == INTERRUPTED:
            return code
        say(f"{name}: {'failed' if code else 'ok'}, {time.monotonic() - started:.1f} s")
        if code:
            failed.append(name)
    code = run([str(python), *tests], cwd=ROOT, env={FAILED_CHECKS: ", ".join(failed)})
    return code or int(bool(failed))


def run_tests(python: Path, arguments: Sequence[str]) -> int:
    """Run pytest at the top of the checkout with ``arguments`` and return its exit code."""
    return run([str(python), "-m", "pytest", *arguments], cwd=ROOT)


def seen_from(root: Path, arguments: Sequence[str]) -> list[str]:
    """
    Return pytest's ``arguments`` so that they mean the same with ``root`` as the working directory.

    Paths that exist in the present working directory are made absolute; others are taken as paths in the checkout.
    """
    if Path.cwd() == root:
        return list(arguments)
    return [_absolute(argument) for argument in arguments]


def _absolute(argument: str) -> str:
    path, separator, test = argument.partition("::")
    if argument.startswith("-") or not Path(path).exists():
        return argument
    return f"{Path(path).absolute()}{separator}{test}"
