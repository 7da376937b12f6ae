"""
A look at the ledger's file, for ``doctor``. ``python -m`` of this module does it.

It is read and nothing else, beside a daemon that may be using it: neither the file nor those next to it are changed.
"""

from __future__ import annotations

import re
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.storage.ledger.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_BUSY_SECONDS: Final = 2.0
_MOST_LINES: Final = 3

State = Literal["ok", "absent", "older", "newer", "foreign", "damaged", "unreadable"]


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    state: State
    """``older``: the daemon brings it up to date when it starts. ``foreign``: a database, and not the ledger."""
    version: int = 0
    known: int = len(MIGRATIONS)
    """The newest version that this program knows."""
    detail: str = ""
    damaged: int = 0
    """LedgerDamaged files that were moved aside before."""
    behind: bool = False
    """Whether what was written last could not be looked at."""


def look(path: Path) -> CheckResult:
    """Return how the ledger at ``path`` is."""
    log, index = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm"))
    try:
        if not path.exists():
            return CheckResult(state="absent", damaged=_damaged(path))
        found = _look(path, log, index)
        if found.state == "damaged" and index.exists():
            found = _read(path, "mode=ro")  # a daemon has begun to write meanwhile
    except OSError as error:
        return CheckResult(state="unreadable", detail=error.strerror or type(error).__name__)
    return msgspec.structs.replace(found, damaged=_damaged(path))


def _look(path: Path, log: Path, index: Path) -> CheckResult:
    # Where both are there, somebody has the file open, or was killed. Else SQLite would make them, to read; unless it
    # is told that nobody changes the file, which then is so.
    if log.exists() and index.exists():
        return _read(path, "mode=ro")
    behind = log.exists() and log.stat().st_size > 0
    return msgspec.structs.replace(_read(path, "immutable=1"), behind=behind)


def _read(path: Path, how: str) -> CheckResult:
    import sqlite3

    try:
        return _checked(f"{path.absolute().as_uri()}?{how}")
    except sqlite3.Error as error:
        return CheckResult(state="damaged" if _is_damage(error) else "unreadable", detail=_name(error))


def _checked(uri: str) -> CheckResult:
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
        lines = [row[0] for row in connection.execute(f"PRAGMA integrity_check({_MOST_LINES})")]
    if lines != ["ok"]:
        return CheckResult(state="damaged", version=version, detail="; ".join(" ".join(line.split()) for line in lines))
    return CheckResult(state="older" if version < len(MIGRATIONS) else "ok", version=version)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def _is_damage(error: sqlite3.Error) -> bool:
    import sqlite3

    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _name(error: sqlite3.Error) -> str:
    name: str = getattr(error, "sqlite_errorname", type(error).__name__)
    return name


def _damaged(path: Path) -> int:
    aside = re.compile(rf"{re.escape(path.name)}\.damaged-\d+")
    try:
        return sum(1 for file in path.parent.iterdir() if aside.fullmatch(file.name))
    except OSError:
        return 0


def main(arguments: Sequence[str]) -> None:
    """Look at the file that is given; print what was found as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(look(Path(arguments[0]))).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
