"""The tray that runs, known by the lock that it holds for its life."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.lock import TRAY_LOCK_FILE, AlreadyHeld, InstanceLock

if TYPE_CHECKING:
    import psutil

_SECONDS: Final = 5.0
"""A tray ends within a second; past this it hangs."""
_LOOK_SECONDS: Final = 0.05


def find(runtime: Path) -> psutil.Process | None:
    """
    Return the process that shows the icon of the profile with this runtime folder.

    Args:
        runtime: Its runtime folder.
    """
    import psutil

    lock = str((runtime / TRAY_LOCK_FILE).resolve())
    own = psutil.Process()
    user = own.username()
    for process in psutil.process_iter():
        # Others' processes cannot be looked into, nor those that have just ended.
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.pid != own.pid and process.username() == user
            if mine and any(file.path == lock for file in process.open_files()):
                return process
    return None


def is_running(runtime: Path) -> bool:
    """Return whether a tray of the profile with this runtime folder is there."""
    if not (runtime / TRAY_LOCK_FILE).exists():
        return False
    try:
        with InstanceLock(runtime, timeout=0.0, file=TRAY_LOCK_FILE):
            return False
    except AlreadyHeld:
        return True
    except OSError:
        return False


def end(process: psutil.Process, runtime: Path) -> None:
    """Ask the tray to go, and wait until it has let go of its lock; one that hangs is ended by force."""
    import psutil

    for ask in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            ask()
        deadline = time.monotonic() + _SECONDS
        while is_running(runtime) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        if not is_running(runtime):
            return
