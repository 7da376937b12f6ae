"""
Opening the ledger's file, whatever state it is found in.

It is used by one connection of one program, so nobody else's locks are waited for longer than a moment.
"""

from __future__ import annotations

import logging
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.storage.ledger.errors import LedgerDamaged, LedgerRefused
from upstash_helper.storage.ledger.schema import Migration, check, migrate
from upstash_helper.system import private_files

if TYPE_CHECKING:
    import sqlite3

_log = logging.getLogger(__name__)

_BUSY: Final = 1.0
"""Seconds to wait for another program that has the file locked, such as a daemon that is about to end."""

_COMPANIONS: Final = ("-wal", "-shm")
"""What SQLite keeps next to the file: what was written last, and an index of that."""

_MOST_DAMAGED: Final = 9
"""How many damaged files may lie around: a disk that damages one after the other is not to be filled with them."""

_PRAGMAS: Final = (
    "trusted_schema = OFF",  # a file that was tampered with calls no functions
    "cell_size_check = ON",  # damage is found before it is acted upon
    "cache_size = -512",  # KiB: an idle daemon is small, and so is what is asked of it
    "temp_store = MEMORY",
)
_DURABLE: Final = (
    "journal_mode = WAL",
    "synchronous = FULL",  # what was committed is on the disk
    "fullfsync = ON",  # macOS: on the disk, and not in its cache
    "checkpoint_fullfsync = ON",
    "journal_size_limit = 1048576",  # bytes that the -wal file keeps after it was long
)


def open_file(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection:
    """
    Open the ledger at ``path``; one is made if there is none.

    Raises:
        LedgerDamaged: If it is not sound, or no ledger.
        LedgerRefused: If it is of a later version.
        NotPrivate: If it is a link, no regular file, or somebody else's.
        OSError: If it cannot be made.
        sqlite3.Error: If it cannot be opened or written.
    """
    made = private_files.ensure(path)
    for companion in _COMPANIONS:
        private_files.restrict(_with(path, companion))
    if not made and path.stat().st_size == 0:
        raise LedgerDamaged  # cut off: the ledger's own files never are empty
    try:
        return _opened(path, migrations)
    except BaseException:
        if made and path.stat().st_size == 0:
            path.unlink()
        raise


def open_memory(migrations: tuple[Migration, ...], path: Path | None = None) -> tuple[sqlite3.Connection, bool]:
    """
    Open a ledger in memory, with what the file at ``path`` holds if it can be read.

    Returns:
        The connection, and whether it has all that there was.

    Raises:
        LedgerRefused: If the file is of a later version.
        NotPrivate: If it is a link, no regular file, or somebody else's.
    """
    copy, whole = None, True
    if path is not None and private_files.check(path) is not None:
        copy = _copied(path, migrations)
        whole = copy is not None
    connection = copy or _connected(":memory:")
    migrate(connection, migrations, None)
    return connection, whole


def read_only(path: Path) -> bool:
    """Return whether the file, or the folder for those next to it, can be read and not be written."""
    return any(os.access(place, os.R_OK) and not os.access(place, os.W_OK) for place in (path, path.parent))


def quarantine(path: Path) -> Path:
    """
    Move a damaged file, and what belongs to it, out of the way; return where it is now.

    Raises:
        LedgerRefused: If there are too many already.
        OSError: If it cannot be moved.
    """
    for number in range(1, _MOST_DAMAGED + 1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not os.path.lexists(aside):
            break
    else:
        message = f"{path} is damaged, and so were {_MOST_DAMAGED} before it. Check the disk, and remove them."
        raise LedgerRefused(message)
    # The file comes first: should this be interrupted, SQLite removes what it finds next to a new file. The other way
    # round an old state would be taken for the newest.
    for companion in ("", *_COMPANIONS):
        if os.path.lexists(_with(path, companion)):
            _with(path, companion).rename(_with(aside, companion))
    _log.warning("%s is damaged. It is %s now, and an empty one is begun.", path, aside)
    return aside


def _opened(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection:
    connection = _connected(str(path))
    try:
        check(connection, migrations, str(path))  # first: what is refused is left as it is
        for pragma in _DURABLE:
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection, migrations, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _copied(path: Path, migrations: tuple[Migration, ...]) -> sqlite3.Connection | None:
    import sqlite3

    # Next to a file that was not closed properly lies what was written last; "immutable" does not look at that, and
    # needs nothing but the file.
    for how in ("mode=ro", "immutable=1"):
        connection = _connected(":memory:")
        try:
            with closing(_connected(f"{path.absolute().as_uri()}?{how}")) as source:
                check(source, migrations, str(path))
                source.backup(connection)
        except LedgerRefused:
            connection.close()
            raise
        except (sqlite3.Error, LedgerDamaged) as error:
            connection.close()
            _log.warning("%s cannot be read (%s, %s).", path, how, getattr(error, "sqlite_errorname", "damaged"))
        else:
            return connection
    return None


def _connected(name: str) -> sqlite3.Connection:
    import sqlite3

    # The thread changes, and there is one at a time. Transactions are begun and ended by hand.
    connection = sqlite3.connect(
        name, timeout=_BUSY, isolation_level=None, check_same_thread=False, uri=name.startswith("file://")
    )
    connection.row_factory = sqlite3.Row
    connection.text_factory = _text
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _text(data: bytes) -> str:
    # The module's own way raises an error that cannot be told from others.
    return data.decode()


def _with(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
