"""Opening pages and folders with the system's programs."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.until import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="platform: elsewhere there is always a program that opens pages and folders"
)

_SCRIPT = """
import sys
from pathlib import Path
from upstash_helper_tray.dispatch.opener import SystemOpener

opener = SystemOpener(timeout=float(sys.argv[3]))
print(opener.open_page(sys.argv[2]) if sys.argv[1] == "page" else opener.open_folder(Path(sys.argv[2])), flush=True)
"""


def opened(tmp_path: Path, kind: str, target: str, *, program: str | None, timeout: float = 60.0) -> str:
    """Open something with ``program`` as the only one available, and return what the opener returned."""
    path = tmp_path / "bin"
    path.mkdir()
    if program is not None:
        for name in ("browser", "xdg-open"):
            script = path / name
            script.write_text(f"#!/bin/sh\n{program}\n")
            script.chmod(0o700)
    removed = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}
    environ = {name: value for name, value in os.environ.items() if name not in removed} | {"PATH": str(path)}
    if program is not None:
        environ["BROWSER"] = f"{path / 'browser'} %s"
    command = [sys.executable, "-c", _SCRIPT, kind, target, str(timeout)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_target_is_passed_to_the_systems_program(tmp_path: Path, kind: str) -> None:
    """It is a single argument, without any interpretation."""
    seen = tmp_path / "seen"

    result = opened(tmp_path, kind, "/a b/$x", program=f'printf %s "$1" > {seen}')

    assert "True" == result
    until(lambda: seen.exists() and seen.read_text())
    assert "/a b/$x" == seen.read_text()


@pytest.mark.parametrize("kind", ["page", "folder"])
@pytest.mark.parametrize("program", [None, "exit 3"], ids=["none", "fails"])
def test_missing_or_failing_program_returns_false(tmp_path: Path, kind: str, program: str | None) -> None:
    """The tray can then show the address to the user."""
    assert "False" == opened(tmp_path, kind, "/somewhere", program=program)


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_program_that_keeps_running_counts_as_success(tmp_path: Path, kind: str) -> None:
    """A browser that was not running before stays in the foreground until it is closed."""
    stays = "exec /bin/sleep 30 >/dev/null 2>&1"

    result = opened(tmp_path, kind, "/somewhere", program=stays, timeout=0.1)

    assert "True" == result
