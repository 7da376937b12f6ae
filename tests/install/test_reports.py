"""The pytest plugins that report skipped tests in CI and failed checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from install.environment import ROOT
from install.suite import FAILED_CHECKS
from tests.support import skips

PASSING = "def test_passes() -> None: ...\n"
SKIPPED = "import pytest\n\n@pytest.mark.skip(reason={reason!r})\ndef test_skipped() -> None: ...\n"
MODULE = "import pytest\n\npytest.skip({reason!r}, allow_module_level=True)\n"
FAILING = "\ndef test_fails() -> None: assert False\n"
EXPECTED = "import pytest\n\n@pytest.mark.xfail\ndef test_fails() -> None: assert False\n"


def run_pytest(folder: Path, tests: str, plugin: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``tests`` in a separate folder, with one of this project's plugins."""
    (folder / "test_it.py").write_text(PASSING + tests)
    (folder / "pytest.ini").write_text("[pytest]\n")
    inherited = {name: value for name, value in os.environ.items() if name not in ("CI", FAILED_CHECKS)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", plugin],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("tests", [SKIPPED, MODULE, SKIPPED + FAILING])
def test_ci_fails_if_a_test_is_skipped_for_a_missing_program(tmp_path: Path, tests: str) -> None:
    """
    In CI, a test that is skipped because a program is missing fails the run, and is reported with the reason.
    """
    done = run_pytest(tmp_path, tests.format(reason="redis-cli is not installed"), "tests.support.skips", CI="true")

    assert done.returncode == skips.SKIPPED
    assert "redis-cli is not installed" in done.stdout.partition("skipped in CI")[2]
    assert "1 skipped" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("tests", "variables"),
    [
        (SKIPPED.format(reason="platform: the Windows registry"), {"CI": "true"}),
        (EXPECTED, {"CI": "true"}),
        (SKIPPED.format(reason="redis-cli is not installed"), {}),
    ],
    ids=["another-platform", "expected-to-fail", "not-in-ci"],
)
def test_other_skips_are_allowed(tmp_path: Path, tests: str, variables: dict[str, str]) -> None:
    """
    Tests for other operating systems may be skipped in CI, and all tests elsewhere.
    """
    done = run_pytest(tmp_path, tests, "tests.support.skips", **variables)

    assert done.returncode == 0
    assert "skipped in CI" not in done.stdout


def test_failed_check_is_reported_next_to_the_result(tmp_path: Path) -> None:
    """
    What failed checks printed last is printed before pytest's summary, which stays the last line.
    """
    done = run_pytest(tmp_path, "", "tests.support.failed_checks", **{FAILED_CHECKS: "--- mypy failed ---\nfile.py:1"})

    assert "--- mypy failed ---\nfile.py:1\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed")
