"""A lock across processes, so that only one setup runs in an environment at a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from install.progress import say

_POLL_SECONDS = 0.2


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """
    Hold a lock on a file. Wait if another process holds it.

    The operating system releases it when the process exits, however it exits. On file systems without locks (some
    network folders), this does nothing.
    """
    with path.open("ab") as file:
        if not _try_lock(file):
            say("Waiting for another setup of this checkout ...")
            while not _try_lock(file):
                time.sleep(_POLL_SECONDS)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        except OSError:
            return True
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
