"""
Opens the ledger's file, or a copy of it in memory, and moves a damaged file aside.

One connection of one process uses the file, so this waits only briefly for locks of others.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger.errors import LedgerDamaged, LedgerRefused
from upstash_helper.storage.ledger.oversized import LARGE, copy_kept, is_oversized
from upstash_helper.storage.ledger.schema import Migration, check, migrate
from upstash_helper.system import open_files, private_files

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 1.0
"""How long to wait for a process that has locked the file, such as a daemon that is about to exit."""

_COMPANIONS: Final = ("-wal", "-shm")
"""SQLite's files next to the database: the write-ahead log and its index."""

_MAX_DAMAGED: Final = 9
"""Damaged files that are kept. A failing disk must not be filled with them."""

_MANY_PAGES: Final = 1024
"""4 MiB."""

_PRAGMAS: Final = (
    "trusted_schema = OFF",  # a manipulated schema must not call functions
    "cell_size_check = ON",  # detects damage before it causes wrong results
    "cache_size = -512",  # KiB: keeps an idle daemon small
    "temp_store = MEMORY",
)
_DURABLE: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",  # a commit returns once it is on the disk
    "fullfsync = ON",  # macOS: flushes the disk's cache too
    "checkpoint_fullfsync = ON",
    "journal_size_limit = 1048576",  # bytes; the -wal file shrinks to this size
)


def open_file(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection:
    """
    Open the ledger at ``path``. It is created if there is none.

    Raises:
        LedgerDamaged: If it is damaged, or not a ledger.
        LedgerRefused: If it is of a later version.
        NotPrivate: If it is a link, no regular file, or another user's.
        OSError: If it cannot be created.
        sqlite3.Error: If it cannot be opened or written.
    """
    created = private_files.ensure(path)
    for companion in _COMPANIONS:
        private_files.restrict(_with(path, companion))
    if not created and path.stat().st_size == 0:
        raise LedgerDamaged  # truncated: a ledger is never empty
    try:
        _replace_oversized(path)
        return _opened(path, migrations)
    except BaseException:
        if created and path.stat().st_size == 0:
            open_files.remove(path)
        raise


def open_memory(migrations: tuple[Migration, ...], path: Path | None = None) -> tuple[sqlite3.Connection, bool]:
    """
    Open a ledger in memory, with the content of the file at ``path`` if it can be read.

    Returns:
        The connection, and whether it has the file's content (True also if there is no file).

    Raises:
        LedgerRefused: If the file is of a later version.
        NotPrivate: If it is a link, no regular file, or another user's.
    """
    copy, complete = None, True
    if path is not None and private_files.check(path) is not None:
        copy = _copied(path, migrations)
        complete = copy is not None
    connection = copy or _connected(":memory:")
    migrate(connection, migrations, None)
    return connection, complete


def read_only(path: Path) -> bool:
    """Return whether the file or its folder is readable but not writable."""
    return any(os.access(place, os.R_OK) and not os.access(place, os.W_OK) for place in (path, path.parent))


def file_status(path: Path) -> tuple[int, ...]:
    """Return numbers that change when the file is replaced or written; an empty tuple if there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def move_aside(path: Path) -> Path:
    """
    Move a damaged file and SQLite's files next to it aside, and return its new path.

    Raises:
        LedgerRefused: If there are too many damaged files.
        OSError: If it cannot be moved.
    """
    for number in range(1, _MAX_DAMAGED + 1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not os.path.lexists(aside):
            break
    else:
        message = f"{path} is damaged, like {_MAX_DAMAGED} files before it. Check the disk, and remove those files."
        raise LedgerRefused(message)
    # The database goes first. If this is interrupted, SQLite discards the other files when it creates a new database.
    # Without its write-ahead log, the old database would be used in an outdated state.
    for companion in ("", *_COMPANIONS):
        if os.path.lexists(_with(path, companion)):
            open_files.replace(_with(path, companion), _with(aside, companion))
    _log.warning("%s is damaged. It was moved to %s, and an empty ledger was started.", path, aside)
    return aside


def _replace_oversized(path: Path) -> None:
    """
    Replace an oversized ledger of an earlier version by a copy of what is kept of it, in the same format. The process
    can be killed at any time: either the old file is there, or the copy.
    """
    import sqlite3

    size = path.stat().st_size
    if size < LARGE:
        return
    with closing(_connected(str(path))) as connection:
        if not is_oversized(connection, path):
            return
        draft = path.with_name(f".{path.name}.new")
        open_files.remove(draft)  # left by a process that was killed
        try:
            private_files.create(draft, b"")
            with closing(_connected(str(draft))) as copy:
                copy.execute("PRAGMA journal_mode = OFF")  # what fails is removed as a whole
                copy.execute("PRAGMA synchronous = OFF")  # it is synced once, before it is renamed
                copy_kept(f"{path.absolute().as_uri()}?mode=rw", copy)
                if copy.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise LedgerDamaged
            # Writes what is left in the write-ahead log, and removes the log: it must not be applied to the copy.
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] != "delete":
                raise sqlite3.OperationalError("the write-ahead log is in use")
            connection.close()
            private_files.sync_folder(path.parent)
            private_files.rename_durably(draft, path)
        finally:
            open_files.remove(draft)
    _log.info("ledger_shrunk", extra={"before": size, "after": path.stat().st_size})


def _opened(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection:
    connection = _connected(str(path))
    try:
        check(connection, migrations, str(path))  # first: a file that is refused must not change
        for pragma in _DURABLE:
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection, migrations, path)
        _shrink(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _shrink(connection: sqlite3.Connection) -> None:
    """Give unused pages back to the disk if there are many. Otherwise they are used again."""
    import sqlite3

    pages, unused = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    if unused < _MANY_PAGES or unused < pages // 2:
        return
    try:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as error:  # such as a full disk
        _log.info("ledger_not_shrunk", extra={"error": getattr(error, "sqlite_errorname", type(error).__name__)})


def _copied(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection | None:
    import sqlite3

    # The latest changes of a file that was not closed are in its write-ahead log. "immutable" ignores that log, but
    # works where SQLite cannot create its index.
    for mode in ("mode=ro", "immutable=1"):
        connection = _connected(":memory:")
        uri = f"{path.absolute().as_uri()}?{mode}"
        try:
            with closing(_connected(uri)) as source:
                if is_oversized(source, path):
                    copy_kept(uri, connection)
                else:
                    check(source, migrations, str(path))
                    source.backup(connection)
        except LedgerRefused:
            connection.close()
            raise
        except (sqlite3.Error, LedgerDamaged) as error:
            connection.close()
            _log.warning("%s cannot be read (%s, %s).", path, mode, getattr(error, "sqlite_errorname", "damaged"))
        else:
            return connection
    return None


def _connected(name: str) -> sqlite3.Connection:
    import sqlite3

    # The worker's thread changes, but there is only one at a time. Transactions are managed explicitly.
    # URIs are for reading only, and for attached files.
    connection = sqlite3.connect(name, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False, uri=True)
    try:
        connection.row_factory = sqlite3.Row
        connection.text_factory = _text
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # Windows moves no file that is open
        raise
    return connection


def _text(data: bytes) -> str:
    # The module's default raises a general OperationalError for invalid UTF-8.
    return data.decode()


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
