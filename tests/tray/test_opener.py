"""Opening pages and folders by what the system has for it."""

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
    sys.platform != "linux", reason="platform: elsewhere there is always something that opens pages and folders"
)

_SCRIPT = """
import sys
from pathlib import Path
from upstash_helper_tray.dispatch.opener import SystemOpener

opener = SystemOpener(patience=float(sys.argv[3]))
print(opener.page(sys.argv[2]) if sys.argv[1] == "page" else opener.folder(Path(sys.argv[2])), flush=True)
"""


def opened(tmp_path: Path, kind: str, what: str, *, program: str | None, patience: float = 60.0) -> str:
    """Open something where ``program`` is all that there is, and return what the opener says."""
    path = tmp_path / "bin"
    path.mkdir()
    if program is not None:
        for name in ("browser", "xdg-open"):
            script = path / name
            script.write_text(f"#!/bin/sh\n{program}\n")
            script.chmod(0o700)
    gone = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}
    environ = {name: value for name, value in os.environ.items() if name not in gone} | {"PATH": str(path)}
    if program is not None:
        environ["BROWSER"] = f"{path / 'browser'} %s"
    command = [sys.executable, "-c", _SCRIPT, kind, what, str(patience)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_it_is_opened_by_the_systems_program(tmp_path: Path, kind: str) -> None:
    """Which is given what is to be opened, as one argument."""
    seen = tmp_path / "seen"

    said = opened(tmp_path, kind, "/a b/$x", program=f'printf %s "$1" > {seen}')

    assert "True" == said
    until(lambda: seen.exists() and seen.read_text())
    assert "/a b/$x" == seen.read_text()


@pytest.mark.parametrize("kind", ["page", "folder"])
@pytest.mark.parametrize("program", [None, "exit 3"], ids=["none", "fails"])
def test_where_nothing_opens_it_that_is_said(tmp_path: Path, kind: str, program: str | None) -> None:
    """So that the user can be told where it is."""
    assert "False" == opened(tmp_path, kind, "/somewhere", program=program)


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_a_program_that_stays_has_opened_it(tmp_path: Path, kind: str) -> None:
    """A browser that was not running is not waited for until it is closed."""
    gone = "exec /bin/sleep 30 >/dev/null 2>&1"

    said = opened(tmp_path, kind, "/somewhere", program=gone, patience=0.1)

    assert "True" == said
