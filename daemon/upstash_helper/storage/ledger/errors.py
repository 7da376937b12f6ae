"""Classification of the errors of SQLite and the disk, and their translation to the domain's errors."""

from __future__ import annotations

import errno
import logging
import os
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.broker.errors import LedgerFull, LedgerUnavailable
from upstash_helper.system import disk_errors, open_files
from upstash_helper.system.private_files import NotPrivate

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)

ErrorKind = Literal["damaged", "full", "read_only", "busy", "disk", "other"]
"""``disk``: another I/O error. ``other``: the file is intact, and the operation failed for a different reason."""

# More than a few pages and the shared memory of a connection (32 KiB).
_PROBE: Final = bytes(65_536)


class LedgerDamaged(Exception):
    """The file is not a ledger, or not an intact one."""


class LedgerRefused(Exception):
    """This version must not use the file. ``str()`` explains it and suggests a fix."""


def error_kind(error: BaseException, path: Path | None) -> ErrorKind:
    """Classify an error of the ledger at ``path``; None for one in memory."""
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
            return _kind_of_sqlite_error(error, path)


def _kind_of_sqlite_error(error: BaseException, path: Path | None) -> ErrorKind:
    import sqlite3

    if not isinstance(error, sqlite3.Error):
        return "other"
    # Errors raised by the Python module have no code. The low byte of an extended code is the primary code.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN} and path is not None:
        return _kind_of_disk_error(path)
    kinds: dict[int, ErrorKind] = {
        sqlite3.SQLITE_CORRUPT: "damaged",
        sqlite3.SQLITE_NOTADB: "damaged",
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_READONLY: "read_only",
        sqlite3.SQLITE_BUSY: "busy",
        sqlite3.SQLITE_LOCKED: "busy",
    }
    return kinds.get(code, "other")


def _kind_of_disk_error(path: Path) -> ErrorKind:
    """
    Write a file next to the ledger to find out why SQLite could not.

    SQLite reports an exceeded quota, or no space for its shared memory, as an I/O error, without the system's error.
    """
    probe = path.with_name(f".{path.name}.probe")
    try:
        try:
            with probe.open("wb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
        finally:
            open_files.remove(probe)
    except OSError as error:
        return error_kind(error, None)
    return "disk"


def explain(error: BaseException, path: Path | None) -> LedgerUnavailable | LedgerFull:
    """Return the domain's error for ``error``. Its text does not quote values from the ledger."""
    if isinstance(error, LedgerUnavailable | LedgerFull):
        return error.with_traceback(None)
    if isinstance(error, NotPrivate | LedgerRefused):
        return LedgerUnavailable(str(error))
    place = path or "The ledger in memory"
    kind = error_kind(error, path)
    if kind == "full":
        return LedgerFull(f"The disk of {place} is full. Free some space, then try again.")
    reasons = {
        "damaged": "was damaged repeatedly. Check the disk.",
        "read_only": "cannot be written. Make it and its folder writable, then try again.",
        "busy": "is in use by another program. Stop that program, then try again.",
    }
    reason = reasons.get(kind) or f"cannot be used: {_reason(error)}."
    advice = " Check the folder's owner and mode." if kind == "disk" else ""
    return LedgerUnavailable(f"{place} {reason}{advice}")


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return disk_errors.reason(error)
    # SQLite's messages may quote values; the names of its error codes do not.
    name: str | None = getattr(error, "sqlite_errorname", None)
    _log.error("The ledger failed: %s.", name or type(error).__name__)
    return f"SQLite reports {name}" if name else "the daemon's log has the kind of error"
