"""Whether this machine can run the tests on Windows."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping

PLATFORM = "platform:"
"""The prefix of a reason that cannot be fixed on this machine. As for a test, any other reason fails the run in CI."""

PROGRAMS = ("wine", "wineserver", "wineboot", "osslsigncode")


def reason_to_skip(
    *,
    system: str = sys.platform,
    machine: str = platform.machine(),
    find: Callable[[str], str | None] = shutil.which,
) -> str | None:
    """Return why the tests on Windows cannot run here, or None if they can."""
    if system == "win32":
        return f"{PLATFORM} this is Windows, where `python install/test.py` runs the tests."
    if not system.startswith("linux") or machine != "x86_64":
        return f"{PLATFORM} Wine runs 64-bit Windows programs only on Linux with an x86-64 processor."
    missing = [program for program in PROGRAMS if find(program) is None]
    if missing:
        return f"missing programs: {', '.join(missing)} (Debian: apt install wine wine64 osslsigncode)."
    return None


def exit_code(reason: str, environ: Mapping[str, str] = os.environ) -> int:
    """Return the exit code of a run that is skipped: in CI, nothing may be missing."""
    return int(environ.get("CI") == "true" and not reason.startswith(PLATFORM))
