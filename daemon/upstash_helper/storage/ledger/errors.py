"""What it means that the ledger failed, and how that is said."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.broker.errors import LedgerFull, LedgerUnavailable
from upstash_helper.system.private_files import NotPrivate

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

ErrorKind = Literal["damaged", "full", "read_only", "busy", "disk", "other"]
"""``disk``: it fails for another reason; ``other``: it is sound, and what was asked of it cannot be done."""

# More than the disk needs to take a few pages, and the shared memory of a connection (32 KiB).
_PROBE: Final = bytes(65_536)


class LedgerDamaged(Exception):
    """The file is none that the ledger has written, or not all of it."""


class LedgerRefused(Exception):
    """The file is sound, and not for this program. ``str()`` says why and what to do."""


def error_kind(error: BaseException, path: Path | None) -> ErrorKind:
    """Return what ``error`` means for the ledger at ``path``; None is memory."""
    match error:
        case LedgerDamaged() | msgspec.DecodeError() | UnicodeDecodeError():
            return "damaged"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return "full"
        case OSError(errno=errno.EROFS):
            return "read_only"
        case OSError():
            return "disk"
        case _:
            return _fault_by_code(error, path)


def _fault_by_code(error: BaseException, path: Path | None) -> ErrorKind:
    import sqlite3

    if not isinstance(error, sqlite3.Error):
        return "other"
    # Errors of the Python module itself have no code. The low byte of an extended one is the plain one.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and path is not None:
        return _what_the_disk_says(path)
    faults: dict[int, ErrorKind] = {
        sqlite3.SQLITE_CORRUPT: "damaged",
        sqlite3.SQLITE_NOTADB: "damaged",
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_READONLY: "read_only",
        sqlite3.SQLITE_BUSY: "busy",
        sqlite3.SQLITE_LOCKED: "busy",
    }
    return faults.get(code, "other")


def _what_the_disk_says(path: Path) -> ErrorKind:
    """
    Write a little next to the ledger, to learn why SQLite could not.

    It reports a quota, or no room for its shared memory, as an I/O error and keeps the system's reason for itself.
    """
    probe = path.with_name(f".{path.name}.probe")
    try:
        try:
            with probe.open("wb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        return error_kind(error, None)
    return "disk"


def explain(error: BaseException, path: Path | None) -> LedgerUnavailable | LedgerFull:
    """Return the domain's error for ``error``; what it holds of values is left out."""
    if isinstance(error, LedgerUnavailable | LedgerFull):
        return error.with_traceback(None)
    if isinstance(error, NotPrivate | LedgerRefused):
        return LedgerUnavailable(str(error))
    place = path or "The ledger in memory"
    fault = error_kind(error, path)
    if fault == "full":
        return LedgerFull(f"The disk of {place} is full: free some space, then try again.")
    reasons = {
        "damaged": "is damaged, again and again. Check the disk.",
        "read_only": "cannot be written. Make it and its folder writable, then try again.",
        "busy": "is in use by another program. End it, then try again.",
    }
    reason = reasons.get(fault) or f"cannot be used: {_reason(error)}."
    advice = " Check the folder's owner and mode." if fault == "disk" else ""
    return LedgerUnavailable(f"{place} {reason}{advice}")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    # SQLite's own messages may quote what was asked for; the names of its codes do not.
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    _log.error("The ledger failed: %s.", name)
    return name
