"""One set-up at a time in a checkout, across processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from install.progress import say

_PAUSE_SECONDS = 0.2


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """
    Hold the lock on the file at ``path``, waiting for whoever holds it.

    The operating system lets go of it when the process ends, however it ends. Where the file system knows no locks
    (some network folders), this does nothing.
    """
    with path.open("ab") as file:
        if not _try(file):
            say("Waiting for another set-up of this checkout ...")
            while not _try(file):
                time.sleep(_PAUSE_SECONDS)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try(file: BinaryIO) -> bool:
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

    def _try(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
