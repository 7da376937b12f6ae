"""
A pytest plugin: on Linux, the folders of the tests (``tmp_path``) are in memory.

The daemon waits for the disk at every change of its ledger, which takes milliseconds, and tens of them while several
processes test at a time. A test notices that only by its duration: what a power failure would lose, no test can see.

The folders are below ``/dev/shm``, if that is large enough and programs may run there. A folder of the user's choice
(``PYTEST_DEBUG_TEMPROOT``, or ``--basetemp``) takes precedence.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path("/dev/shm")  # noqa: S108 - pytest makes a folder in it that only the user may enter
NEEDED: Final = 4 << 30
"""A run of all tests needs a fraction of a gigabyte, and those with failures are kept."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Choose the folder, before pytest creates it. With several processes, the first one decides for all."""
    if sys.platform == "linux" and is_suitable(FOLDER, needed=NEEDED):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(FOLDER))


def is_suitable(folder: Path, *, needed: int) -> bool:
    """Return whether a folder has ``needed`` bytes of space and of memory, and programs may run there."""
    try:
        found = os.statvfs(folder)
        memory = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return False
    available = [int(line.split()[1]) << 10 for line in memory.splitlines() if line.startswith("MemAvailable:")]
    return (
        os.access(folder, os.W_OK | os.X_OK)
        and not found.f_flag & os.ST_NOEXEC
        and min(found.f_bavail * found.f_frsize, *available) >= needed
    )
