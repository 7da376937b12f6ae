"""
Copies of the ledger, made before a migration: one for each format, so that the user can go back to an older version.

A copy also has the apps whose access was revoked after it was made. So after a successful migration it is never
restored automatically, and only a few copies are kept.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import closing
from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger.errors import LedgerDamaged, error_kind
from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_log = logging.getLogger(__name__)

KEPT: Final = 2
"""Copies of the latest formats."""


def path_of(path: Path, version: int) -> Path:
    """Return the path of the copy in format ``version`` of the ledger at ``path``."""
    return path.with_name(f"{path.name}.v{version}.bak")


def make(connection: sqlite3.Connection, path: Path, version: int) -> Path:
    """
    Copy the ledger, including its -wal file, and return the path of the copy, which was checked and synced to the disk.

    Raises:
        LedgerDamaged: If the copy fails SQLite's check.
        OSError: If it cannot be written, for example because the disk is full. No partial copy is left.
        sqlite3.Error: Like OSError.
    """
    import sqlite3

    target = path_of(path, version)
    draft = target.with_name(f".{target.name}.new")
    open_files.remove(draft)  # left by a process that was killed
    try:
        private_files.create(draft, b"")
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # so that the copy is a single file
            if copy.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise LedgerDamaged
        private_files.rename_durably(draft, target)
    except sqlite3.Error as error:
        # SQLite may report a full disk as an I/O error. Check the disk before the draft is removed and frees space.
        if error_kind(error, path) == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
    finally:
        open_files.remove(draft)
    return target


def restore(connection: sqlite3.Connection, copy: Path) -> None:
    """
    Replace the content of the ledger with that of the copy, in one transaction.

    Raises:
        sqlite3.Error: If that fails.
    """
    import sqlite3

    with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.backup(connection)


def prune(path: Path) -> None:
    """Remove the copies of the oldest formats. A copy that cannot be removed is not an error."""
    name = re.compile(rf"{re.escape(path.name)}\.v(\d+)\.bak")
    try:
        found = {int(match[1]): file for file in path.parent.iterdir() if (match := name.fullmatch(file.name))}
        for version in sorted(found)[:-KEPT]:
            open_files.remove(found[version])
    except OSError as error:
        _log.warning("Old copies of %s could not be removed: %s.", path, error.strerror)
