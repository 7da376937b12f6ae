"""The measurements can be made. Their figures are for reading, and no test's business."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("which", ["start", "idle", "requests", "list", "tray", "activation"])
def test_a_measurement_runs_and_prints_its_figures(which: str) -> None:
    """A benchmark that nobody can run measures nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", which],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "x\n" in done.stdout or "wake-ups" in done.stdout
