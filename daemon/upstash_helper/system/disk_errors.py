"""A full, failing, or read-only disk as a sentence. It is nobody's bug, so nobody gets a traceback for it."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE: Final = frozenset({*_FULL, errno.EROFS, errno.EIO})


def describe(error: BaseException) -> str | None:
    """Return what happened and what to do, in sentences; None if ``error`` is about something else than the disk."""
    if not isinstance(error, OSError) or error.errno not in _UNWRITABLE:
        return None
    advice = (
        "Free some space on the disk."
        if error.errno in _FULL
        else "To use another location for all folders, set UPSTASH_HELPER_HOME."
    )
    return f"{error.filename or 'A file'} cannot be written: {error.strerror}. {advice}"


def describe_full(folder: Path) -> str | None:
    """Return a sentence if the disk with ``folder`` is full, and otherwise None."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    return None if free else f"The disk with {folder} is full. Free some space."
