"""Why the daemon did not start, in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from upstash_helper_tray.sync.start_daemon import StartFailed, _reason, start_daemon

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the command hangs on."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))

    with pytest.raises(StartFailed, match="within 0 seconds"):
        start_daemon("default", patience=0.0)


def test_a_setting_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it stands."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))
    monkeypatch.setenv("UPSTASH_HELPER_PORT", "no-number")

    with pytest.raises(StartFailed, match="UPSTASH_HELPER_PORT"):
        start_daemon("default")


@pytest.mark.parametrize("said", [b"", b"Segmentation fault\n", b'{"code":"x"}\n'])
def test_a_command_without_a_reason_is_to_be_run_by_hand(said: bytes) -> None:
    """The terminal may say more."""
    assert "upstash-helper start" in _reason(said)


def test_the_reason_is_the_commands_last_word() -> None:
    """What libraries warned of before it is passed over; a long one is cut."""
    problem = json.dumps({"detail": "Port 3000 is taken."})
    long = json.dumps({"detail": "x" * 1000})

    assert "Port 3000 is taken." == _reason(f"a warning\n{problem}\n".encode())
    assert 301 == len(_reason(long.encode()))
