"""The measurements can be run. Their figures are not tested."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    "which", ["start", "idle", "requests", "list", "tray", "activation", "floods", "databases", "sandbox", "mcp"]
)
def test_measurement_prints_its_figures(which: str) -> None:
    """A measurement can be run, and prints its figures."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", which],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert 0 == done.returncode, done.stderr
    assert "x\n" in done.stdout or "wake-ups" in done.stdout or "answered" in done.stdout
