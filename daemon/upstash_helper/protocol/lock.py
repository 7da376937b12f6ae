"""The lock that one running daemon, or one running tray, holds per profile."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from upstash_helper.system import private_files

if TYPE_CHECKING:
    from types import TracebackType

LOCK_FILE: Final = "daemon.lock"
TRAY_LOCK_FILE: Final = "tray.lock"

# `is_running` holds the lock for some microseconds. A daemon that starts at that moment retries.
_ACQUIRE_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.01


class AlreadyHeld(Exception):
    """Another process holds the lock: this profile already has a running daemon or tray."""


class InstanceLock:
    """
    A lock that a process holds for as long as it lives. The system releases it however the process ends.

    The lock is on the open file, not on its content, so a lock file that was left behind has no meaning.
    """

    def __init__(self, *runtimes: Path, timeout: float = _ACQUIRE_SECONDS, file: str = LOCK_FILE) -> None:
        """
        Args:
            runtimes: The profile's runtime folders. Created if missing. The lock is taken in each of them, because
                earlier versions use only one.
            timeout: Seconds to keep trying.
            file: The lock's file name. Each name has at most one holder.
        """
        self._paths: Final = tuple(runtime / file for runtime in runtimes)
        self._timeout = timeout
        self._descriptors: list[int] = []

    def acquire(self) -> None:
        """
        Take the lock.

        Raises:
            AlreadyHeld: If another process has it.
            OSError: If the file can be created in none of the folders.
        """
        failure: OSError | None = None
        try:
            for path in self._paths:
                try:
                    self._descriptors.append(self._acquire(path))
                except OSError as error:  # a full or read-only disk
                    failure = failure or error
        except BaseException:
            self.release()
            raise
        if failure is not None and not self._descriptors:
            raise failure

    def release(self) -> None:
        """Release the lock if it is held."""
        while self._descriptors:
            os.close(self._descriptors.pop())

    def _acquire(self, path: Path) -> int:
        private_files.make_folder(path.parent)
        descriptor = private_files.opener(str(path), os.O_RDWR | os.O_CREAT)
        try:
            self._lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._timeout
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise AlreadyHeld
            time.sleep(_RETRY_SECONDS)


def holder(file: Path) -> int | None:
    """
    Return the process that holds the lock in ``file``; None if there is none, or the system does not reveal it.

    Only Linux does. There, the holder does not let other programs of the user list its open files, because of its
    secrets (``system.core_dumps``), but who holds a lock is public. A process in another container is not revealed.
    """
    if sys.platform != "linux":
        return None
    try:
        status = file.stat()
        lines = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    wanted = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        # Such as "3: FLOCK  ADVISORY  WRITE 4711 00:2c:1042 0 EOF" (proc_locks(5)). A waiting process has "->" first.
        fields = line.split()
        if fields[1:2] == ["FLOCK"] and fields[5:6] == [wanted] and int(fields[4]) > 0:
            return int(fields[4])
    return None


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
