"""The running tray process, found by the lock file that it holds while it runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.lock import TRAY_LOCK_FILE, AlreadyHeld, InstanceLock

if TYPE_CHECKING:
    import psutil

_SECONDS: Final = 5.0
"""A tray exits within a second. One that takes longer than this is killed."""
_POLL_SECONDS: Final = 0.05


def find(*runtimes: Path) -> psutil.Process | None:
    """
    Return the tray process of a profile, or None.

    Args:
        runtimes: The profile's runtime folders.
    """
    import psutil

    locks = {str((runtime / TRAY_LOCK_FILE).resolve()) for runtime in runtimes}
    own = psutil.Process()
    user = own.username()
    for process in psutil.process_iter():
        # Processes of other users, and those that have just exited, cannot be inspected.
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.pid != own.pid and process.username() == user
            if mine and any(file.path in locks for file in process.open_files()):
                return process
    return None


def is_running(*runtimes: Path) -> bool:
    """Return whether the tray of the profile with these runtime folders is running."""
    return any(map(_is_held, runtimes))


def _is_held(runtime: Path) -> bool:
    if not (runtime / TRAY_LOCK_FILE).exists():
        return False
    try:
        with InstanceLock(runtime, timeout=0.0, file=TRAY_LOCK_FILE):
            return False
    except AlreadyHeld:
        return True
    except OSError:
        return False


def end(process: psutil.Process, *runtimes: Path) -> None:
    """Terminate the tray and wait until it has released its lock. Kill it if it does not exit in time."""
    import psutil

    for stop in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            stop()
        deadline = time.monotonic() + _SECONDS
        while is_running(*runtimes) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if not is_running(*runtimes):
            return
