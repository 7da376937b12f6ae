"""
Checks the ledger's file for ``doctor``. Run with ``python -m``.

It only reads, since a daemon may be using the file: neither the file nor those that SQLite keeps next to it change.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.storage.ledger.schema import APPLICATION_ID, MIGRATIONS
from upstash_helper.system import console, disk_errors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_BUSY_SECONDS: Final = 2.0
_MAX_LINES: Final = 3

State = Literal["ok", "absent", "older", "newer", "foreign", "damaged", "unreadable"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The program's output."""

    state: State
    """``older``: the daemon migrates it when it starts. ``foreign``: a SQLite database that is not a ledger."""
    version: int = 0
    known: int = len(MIGRATIONS)
    """The latest version that this program supports."""
    detail: str = ""
    damaged: int = 0
    """The number of damaged files that were moved aside earlier."""
    behind: bool = False
    """Whether the latest changes could not be read."""


def check_file(path: Path) -> CheckResult:
    """Check the ledger at ``path``."""
    log, index = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))
    try:
        if not path.exists():
            return CheckResult(state="absent", damaged=_damaged(path))
        found = _check_idle_or_open(path, log, index)
        if found.state == "damaged" and index.exists():
            found = _read(path, "mode=ro")  # a daemon has started to write meanwhile
    except OSError as error:
        return CheckResult(state="unreadable", detail=disk_errors.reason(error))
    return msgspec.structs.replace(found, damaged=_damaged(path))


def _check_idle_or_open(path: Path, log: Path, index: Path) -> CheckResult:
    # If both exist, a process has the file open, or was killed. Otherwise SQLite would create them, even to read,
    # unless it is told that the file does not change, which is true then.
    if log.exists() and index.exists():
        return _read(path, "mode=ro")
    behind = log.exists() and log.stat().st_size > 0
    return msgspec.structs.replace(_read(path, "immutable=1"), behind=behind)


def _read(path: Path, mode: str) -> CheckResult:
    import sqlite3

    try:
        return _check_database(f"{path.absolute().as_uri()}?{mode}")
    except sqlite3.Error as error:
        return CheckResult(state="damaged" if _means_damage(error) else "unreadable", detail=_name(error))


def _check_database(uri: str) -> CheckResult:
    import sqlite3

    with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA query_only = ON")
        version = _number(connection, "user_version")
        tables: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if _number(connection, "application_id") != APPLICATION_ID or not version:
            if not tables and not version:
                return CheckResult(state="damaged", detail="it is empty")
            return CheckResult(state="foreign", version=version)
        if version > len(MIGRATIONS):
            return CheckResult(state="newer", version=version)
        lines = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MAX_LINES})")]
    if lines != ["ok"]:
        return CheckResult(state="damaged", version=version, detail="; ".join(" ".join(line.split()) for line in lines))
    return CheckResult(state="older" if version < len(MIGRATIONS) else "ok", version=version)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def _means_damage(error: sqlite3.Error) -> bool:
    import sqlite3

    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _name(error: sqlite3.Error) -> str:
    name: str = getattr(error, "sqlite_errorname", "SQLite failed")
    return name


def _damaged(path: Path) -> int:
    aside = re.compile(rf"{re.escape(path.name)}\.damaged-\d+")
    try:
        return sum(1 for file in path.parent.iterdir() if aside.fullmatch(file.name))
    except OSError:
        return 0


def main(arguments: Sequence[str]) -> None:
    """Check the file that the first argument names; print a ``CheckResult`` as one line of JSON."""
    console.write_utf8(msgspec.json.encode(check_file(Path(arguments[0]))) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])
