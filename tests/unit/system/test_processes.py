"""Starting our own programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from upstash_helper.system.processes import start_detached

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_relative_home_is_the_same_folder_for_both_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A detached process has another working directory. It would keep its files elsewhere, and never be found.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPSTASH_HELPER_HOME", "home")
    (tmp_path / "logs").mkdir()
    script = "import os; print(os.getcwd(), os.environ['UPSTASH_HELPER_HOME'], sep='\\n')"

    process = start_detached([sys.executable, "-c", script], output=tmp_path / "out", folder=tmp_path / "logs")
    code = process.wait(60)

    printed = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    assert (0, [str(tmp_path / "logs"), str(tmp_path / "home")]) == (code, printed)
