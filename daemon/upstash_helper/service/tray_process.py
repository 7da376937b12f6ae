"""The running tray process, found by the lock file that it holds while it runs."""

from __future__ import annotations

import contextlib
import os
import sys
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
    for holder in map(_lock_holder, sorted(locks)):
        with contextlib.suppress(psutil.Error):
            if holder not in {None, own.pid}:
                return psutil.Process(holder)
    user = own.username()
    for process in psutil.process_iter():
        # Processes of other users, and those that have just exited, cannot be inspected.
        with contextlib.suppress(psutil.Error, OSError):
            mine = process.pid != own.pid and process.username() == user
            if mine and any(file.path in locks for file in process.open_files()):
                return process
    return None


def _lock_holder(lock: str) -> int | None:
    """
    Return the process that holds a lock according to Linux, or None. A tray does not let other programs of the user
    list its open files, because of its secrets (``core_dumps``), but who holds a lock is public.
    """
    if sys.platform != "linux":
        return None
    try:
        file = Path(lock).stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    wanted = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    for line in lines:
        # Such as "3: FLOCK  ADVISORY  WRITE 4711 00:2c:1042 0 EOF" (proc_locks(5)). A waiting process has "->" first.
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[5:6] == [wanted] and int(fields[4]) > 0:
            return int(fields[4])
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
