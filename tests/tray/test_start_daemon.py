"""Starting the daemon from the tray, and the reasons that the user sees if that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from upstash_helper_tray.sync.start_daemon import StartFailed, failure_detail, start_daemon

if TYPE_CHECKING:
    from pathlib import Path


def test_start_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that hangs does not block the tray forever."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))

    with pytest.raises(StartFailed, match="within 0 seconds"):
        start_daemon("default", timeout=0.0)


def test_invalid_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user sees where the setting comes from."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))
    monkeypatch.setenv("UPSTASH_HELPER_PORT", "no-number")

    with pytest.raises(StartFailed, match="UPSTASH_HELPER_PORT"):
        start_daemon("default")


@pytest.mark.parametrize("stderr", [b"", b"Segmentation fault\n", b'{"code":"x"}\n'])
def test_failure_without_a_reason_suggests_the_command(stderr: bytes) -> None:
    """In a terminal it may print more."""
    assert "upstash-helper start" in failure_detail(stderr)


def test_reason_is_the_last_line_and_is_limited() -> None:
    """Warnings that libraries printed before it are skipped."""
    problem = json.dumps({"detail": "Port 3000 is taken."})
    long = json.dumps({"detail": "x" * 1000})

    assert "Port 3000 is taken." == failure_detail(f"a warning\n{problem}\n".encode())
    assert 301 == len(failure_detail(long.encode()))
