"""
A full, failing, or read-only disk, or a file that is in use, as a sentence. These are not bugs, so no traceback is
shown.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from upstash_helper.system import open_files

if TYPE_CHECKING:
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNWRITABLE: Final = frozenset({*_FULL, errno.EROFS, errno.EIO})


def describe(error: BaseException) -> str | None:
    """Return what happened and what to do, in sentences; None if ``error`` is about something else."""
    if not isinstance(error, OSError):
        return None
    if error.errno not in _UNWRITABLE:
        return open_files.describe(error)
    advice = (
        "Free some space on the disk."
        if error.errno in _FULL
        else "To use another location for all folders, set UPSTASH_HELPER_HOME."
    )
    return f"{error.filename or 'A file'} cannot be written: {error.strerror}. {advice}"


def is_full(error: OSError) -> bool:
    """Return whether the disk, or the user's share of it, is full."""
    return error.errno in _FULL


def reason(error: OSError) -> str:
    """Return the system's text for ``error``; never that of a library, which may be anything."""
    return error.strerror or (os.strerror(error.errno) if error.errno else "unknown error")


def describe_full(folder: Path) -> str | None:
    """Return a sentence if the disk with ``folder`` is full, and otherwise None."""
    import shutil

    try:
        free = shutil.disk_usage(folder).free
    except OSError:
        return None
    return None if free else f"The disk with {folder} is full. Free some space."
