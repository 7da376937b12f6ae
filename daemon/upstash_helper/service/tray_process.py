"""The running tray process, found by the lock file that it holds while it runs."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol.lock import TRAY_LOCK_FILE, AlreadyHeld, InstanceLock, holder

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

_SECONDS: Final = 5.0
"""A tray exits within a second. One that takes longer than this is killed."""
_START_SECONDS: Final = 10.0
"""It takes its lock first, within a second or two."""
_POLL_SECONDS: Final = 0.05


def find(*runtimes: Path) -> psutil.Process | None:
    """
    Return the tray process of a profile, or None.

    Args:
        runtimes: The profile's runtime folders.
    """
    import psutil

    locks = [(runtime / TRAY_LOCK_FILE).resolve() for runtime in runtimes]
    own = psutil.Process()
    for pid in map(holder, locks):
        with contextlib.suppress(psutil.Error):
            if pid not in {None, own.pid}:
                return psutil.Process(pid)
    user = own.username()
    for process in psutil.process_iter():
        # Processes of other users, and those that have just exited, cannot be inspected.
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.pid != own.pid and process.username() == user
            if mine and any(Path(file.path) in locks for file in process.open_files()):
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


def wait_until_running(*runtimes: Path) -> bool:
    """Return whether a tray that has just been started is running: it takes its lock before it shows the icon."""
    return _wait(lambda: is_running(*runtimes), _START_SECONDS)


def end(process: psutil.Process, *runtimes: Path) -> bool:
    """
    Terminate the tray and wait until it has released its lock. Kill it if it does not exit in time.

    Returns:
        Whether it has exited.
    """
    import psutil

    for stop in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            stop()
        if _wait(lambda: not is_running(*runtimes), _SECONDS):
            return True
    return False


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
