"""The ledger's file: formats, limits, and errors."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.contract.test_ledger import APP, ENTRY, FILLED, everything, fill
from tests.support.clock import FakeClock
from upstash_helper.broker.errors import LedgerUnavailable
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.storage.ledger.audit import MAX_APP_ENTRIES
from upstash_helper.storage.ledger.schema import MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.storage.ledger.transactions import Transactions

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")

NEXT = (*MIGRATIONS, ("ALTER TABLE apps ADD COLUMN note TEXT", "UPDATE apps SET note = 'new'"))
"""The next format."""
COPY = f"ledger.db.v{len(MIGRATIONS)}.bak"


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture(name="ledger")
async def _ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    ledger = SqliteLedger(path)
    yield ledger
    await ledger.close()


@pytest.fixture(name="filled")
async def _filled(path: Path) -> Path:
    """A ledger of the current format, closed properly."""
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the file as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def query_value(path: Path, query: str) -> object:
    """Return the only value that ``query`` returns."""
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute(query).fetchone()
    return value


# --- formats ----------------------------------------------------------------------------------------------------------


async def test_older_format_is_migrated(filled: Path) -> None:
    """
    After an upgrade, all data is still there.
    """
    ledger = SqliteLedger(filled, migrations=NEXT)

    found = await everything(ledger)
    await ledger.close()

    assert FILLED == found
    assert (len(NEXT), "new") == (
        query_value(filled, "PRAGMA user_version"),
        query_value(filled, "SELECT note FROM apps"),
    )


async def test_copy_of_the_older_format_is_kept(filled: Path) -> None:
    """
    A user who goes back to the older version has the file as it was, with private permissions.
    """
    updated = SqliteLedger(filled, migrations=NEXT)
    await updated.apps.remove(APP.id)
    await updated.close()

    copy = filled.with_name(COPY)
    older = SqliteLedger(copy)
    found = await everything(older)
    await older.close()

    assert FILLED == found
    assert {"ledger.db", COPY} == {file.name for file in filled.parent.iterdir()}


@unix
async def test_copy_is_private(filled: Path) -> None:
    """
    The copy has mode 0600, whatever the umask.
    """
    before = os.umask(0)
    ledger = SqliteLedger(filled, migrations=NEXT)

    await ledger.apps.load()
    await ledger.close()
    os.umask(before)

    assert 0o600 == stat.S_IMODE(filled.with_name(COPY).stat().st_mode)


async def test_new_file_has_no_copy(path: Path) -> None:
    """
    All migrations of a new file run at once, and nothing is copied.
    """
    ledger = SqliteLedger(path, migrations=NEXT)

    await ledger.apps.load()
    await ledger.close()

    assert ["ledger.db"] == [file.name for file in path.parent.iterdir()]


# --- limits -----------------------------------------------------------------------------------------------------------

MANY = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {most})
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result, share)
    SELECT 1, 1, 1, 'app-1', 'One', 'web', 'database.read', number, 'ok', 'app-1' FROM numbers
"""


async def test_oldest_audit_entries_are_pruned(filled: Path) -> None:
    """
    The audit keeps a limited number of an app's entries: the newest ones.
    """
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(MANY.format(most=MAX_APP_ENTRIES))
    ledger = SqliteLedger(filled)

    newest = await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1e9)
    await ledger.close()

    assert MAX_APP_ENTRIES == query_value(filled, "SELECT count(*) FROM audit WHERE share = 'app-1'")
    oldest = query_value(filled, "SELECT min(id) FROM audit WHERE share = 'app-1'")
    assert (newest - MAX_APP_ENTRIES + 1, newest) == (oldest, MAX_APP_ENTRIES + 2)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM creates WHERE caller = 'a' AND key = 'b'",
        "DELETE FROM creates WHERE sent_elapsed < 1",
        "SELECT DISTINCT database_id FROM creates WHERE state = 'done' AND database_id IN ('a', 'b')",
        "SELECT owner FROM creations WHERE database_id = 'a'",
        "DELETE FROM pairings WHERE id = 'a'",
        "SELECT * FROM audit WHERE app_id = 'a' ORDER BY id DESC LIMIT 1",
        "SELECT id FROM audit WHERE share = 'a' ORDER BY id DESC LIMIT 1 OFFSET 9",
        "DELETE FROM audit WHERE elapsed < 1 AND id != 9",
        "DELETE FROM audit WHERE share = 'a' AND id <= 1",
    ],
)
async def test_queries_use_an_index(filled: Path, query: str) -> None:
    """
    No query becomes slower as the ledger grows.
    """
    with closing(sqlite3.connect(filled)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    assert [] == [step for step in plan if not step.startswith("SEARCH")]


async def test_pragmas_make_commits_durable(path: Path) -> None:
    """
    SQLite syncs each commit to the disk, and does not trust the schema.
    """
    names = ("journal_mode", "synchronous", "trusted_schema")

    def ask(connection: sqlite3.Connection) -> list[object]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    transactions = Transactions(path, deadline=5.0, migrations=MIGRATIONS, monotonic=time.monotonic)
    found = await transactions.run(ask)
    await transactions.close()

    assert ["wal", 2, 0] == found


def test_sqlite_is_imported_lazily() -> None:
    """
    Starting the daemon does not load SQLite.
    """
    script = """if True:
        import sys
        sys.modules.pop("sqlite3", None)  # the coverage tool uses it
        from upstash_helper.storage.ledger.sqlite import SqliteLedger
        SqliteLedger(None)
        print("sqlite3" in sys.modules)
    """

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False\n" == ended.stdout


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_open_is_retried_after_a_pause(path: Path) -> None:
    """
    Once the obstacle is gone, the ledger works without a restart; until then it is not opened for every call.
    """
    clock = FakeClock()
    ledger = SqliteLedger(path, monotonic=clock.monotonic)
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(LedgerUnavailable, match="cannot be used") as first:
        await ledger.apps.save(APP)
    path.parent.unlink()

    with pytest.raises(LedgerUnavailable) as second:
        await ledger.apps.save(APP)
    clock.advance(1)
    await ledger.apps.save(APP)

    assert first.value.detail == second.value.detail
    assert ("ok", "") == (ledger.health().state, ledger.health().detail)
    await ledger.close()


async def test_locked_file_is_reported(filled: Path, ledger: SqliteLedger) -> None:
    """
    While another process writes to the file, writing fails with advice; afterwards it works.
    """
    await ledger.apps.load()

    with locked(filled), pytest.raises(LedgerUnavailable, match="in use by another program"):
        await ledger.apps.remove(APP.id)
    await ledger.apps.remove(APP.id)

    assert () == await ledger.apps.load()


async def test_late_transaction_is_rolled_back(filled: Path) -> None:
    """
    A call that was reported as too slow has no effect later.
    """
    ledger = SqliteLedger(filled, deadline=0.1)
    await ledger.apps.load()

    with locked(filled), pytest.raises(LedgerUnavailable, match="does not respond"):
        await ledger.apps.remove(APP.id)
    for thread in [thread for thread in threading.enumerate() if thread.name == "ledger"]:
        await asyncio.to_thread(thread.join, 20)

    assert (APP,) == await ledger.apps.load()
    await ledger.close()


async def test_unsupported_value_fails_only_its_own_call(ledger: SqliteLedger) -> None:
    """
    A value that SQLite cannot store raises the port's error, and the next call works.
    """
    unusable = msgspec.structs.replace(ENTRY, app_name="\ud800", count=2**64)

    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        await ledger.audit.add(unusable, share="app-1", keep_seconds=1e9)
    await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1e9)

    assert 1 == len(await ledger.audit.page(AuditQuery()))


async def test_close_never_raises(filled: Path) -> None:
    """
    Closing a ledger that does not respond is given up after a while.
    """
    ledger = SqliteLedger(filled, deadline=0.1)
    await ledger.apps.load()

    with locked(filled):
        removing = asyncio.create_task(ledger.apps.remove(APP.id))
        await asyncio.wait((removing,), timeout=0)
        await ledger.close()
        with pytest.raises(LedgerUnavailable):
            await removing

    for thread in [thread for thread in threading.enumerate() if thread.name == "ledger"]:
        await asyncio.to_thread(thread.join, 20)
    await ledger.close()
