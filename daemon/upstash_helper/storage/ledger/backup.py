"""
The copy of the ledger that is made before its format changes, one for each format: the way back.

A copy has the apps that were let in then. One that was shut out since would be let in again by it, so it is never taken
by the program itself once the change has succeeded, and there are few of them.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import closing
from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger.errors import LedgerDamaged, error_kind
from upstash_helper.system import private_files

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_log = logging.getLogger(__name__)

KEPT: Final = 2
"""Copies that stay, those of the latest formats."""


def path_of(path: Path, version: int) -> Path:
    """Return where the copy of the ledger at ``path`` in the format ``version`` is."""
    return path.with_name(f"{path.name}.v{version}.bak")


def make(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """
    Copy the ledger, with what is in its -wal file, and return where the copy is: whole, sound, and on the disk.

    Raises:
        LedgerDamaged: If what was written is not sound.
        OSError: If it cannot be written; no room among the reasons. Nothing is left of it then.
        sqlite3.Error: As OSError.
    """
    import sqlite3

    target = path_of(path, version)
    draft = target.with_name(f".{target.name}.new")
    draft.unlink(missing_ok=True)  # left by a program that was killed
    try:
        private_files.create(draft, b"")
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it is in one file
            if copy.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise LedgerDamaged
        private_files.rename_durably(draft, target)
    except sqlite3.Error as error:
        # SQLite may call a full disk an I/O error. It is to be asked as long as the draft takes the room.
        if error_kind(error, path) == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
    finally:
        draft.unlink(missing_ok=True)
    return target


def restore(connection: sqlite3.Connection, copy: Path) -> None:
    """
    Make the ledger what the copy is, in one transaction.

    Raises:
        sqlite3.Error: If it cannot be done.
    """
    import sqlite3

    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.backup(connection)


def prune(path: Path) -> None:
    """Remove the copies of the oldest formats. That one cannot be removed is no reason for anything to fail."""
    name = re.compile(rf"{re.escape(path.name)}\.v(\d+)\.bak")
    try:
        found = {int(match[1]): file for file in path.parent.iterdir() if (match := name.fullmatch(file.name))}
        for version in sorted(found)[:-KEPT]:
            found[version].unlink()
    except OSError as error:
        _log.warning("Old copies of %s could not be removed: %s.", path, error.strerror)
