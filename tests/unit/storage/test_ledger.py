"""How the ledger is kept: its formats, its limits, and what it does when it cannot be had."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.contract.test_ledger import APP, ENTRY, FILLED, everything, fill
from tests.support.clock import FakeClock
from upstash_helper.broker.errors import LedgerUnavailable
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.storage.ledger.audit import MAX_ENTRIES
from upstash_helper.storage.ledger.schema import MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")

NEXT = (*MIGRATIONS, ("ALTER TABLE apps ADD COLUMN note TEXT", "UPDATE apps SET note = 'new'"))
"""A format that is to come."""


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
    """A ledger of the first format, closed properly."""
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the file as another program might."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def look(path: Path, query: str) -> object:
    """Return the only value that ``query`` finds."""
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute(query).fetchone()
    return value


# --- formats ----------------------------------------------------------------------------------------------------------


async def test_an_older_format_is_brought_up_to_date(filled: Path) -> None:
    """
    After an update of the program, everything that it remembered is still there.
    """
    ledger = SqliteLedger(filled, migrations=NEXT)

    found = await everything(ledger)
    await ledger.close()

    assert FILLED == found
    assert (2, "new") == (look(filled, "PRAGMA user_version"), look(filled, "SELECT note FROM apps"))


async def test_an_older_format_is_kept_as_a_copy(filled: Path) -> None:
    """
    Who goes back to the older version of the program has the file as that one left it, for their eyes alone.
    """
    updated = SqliteLedger(filled, migrations=NEXT)
    await updated.apps.remove(APP.id)
    await updated.close()

    copy = filled.with_name("ledger.db.v1.bak")
    older = SqliteLedger(copy)
    found = await everything(older)
    await older.close()

    assert FILLED == found
    assert {"ledger.db", "ledger.db.v1.bak"} == {file.name for file in filled.parent.iterdir()}


@unix
async def test_the_copy_is_its_users_alone(filled: Path) -> None:
    """
    The copy of an older format has mode 0600, whatever the umask.
    """
    before = os.umask(0)
    ledger = SqliteLedger(filled, migrations=NEXT)

    await ledger.apps.load()
    await ledger.close()
    os.umask(before)

    assert 0o600 == stat.S_IMODE(filled.with_name("ledger.db.v1.bak").stat().st_mode)


async def test_a_new_file_needs_no_copy(path: Path) -> None:
    """
    All steps are taken at once where there was nothing, and nothing is copied.
    """
    ledger = SqliteLedger(path, migrations=NEXT)

    await ledger.apps.load()
    await ledger.close()

    assert ["ledger.db"] == [file.name for file in path.parent.iterdir()]


# --- limits -----------------------------------------------------------------------------------------------------------

MANY = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {most})
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    SELECT 1, 1, 1, 'app-1', 'One', 'web', 'database.read', number, 'ok' FROM numbers
"""


async def test_the_oldest_entries_make_room(filled: Path) -> None:
    """
    The audit keeps a bounded number of entries: the newest ones.
    """
    with closing(sqlite3.connect(filled)) as connection, connection:
        connection.execute(MANY.format(most=MAX_ENTRIES))
    ledger = SqliteLedger(filled)

    newest = await ledger.audit.add(ENTRY, forget_before=0.0)
    await ledger.close()

    assert MAX_ENTRIES == look(filled, "SELECT count(*) FROM audit")
    assert (newest - MAX_ENTRIES + 1, newest) == (look(filled, "SELECT min(id) FROM audit"), MAX_ENTRIES + 2)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM creates WHERE caller = 'a' AND key = 'b'",
        "DELETE FROM creates WHERE sent_at < 1",
        "SELECT DISTINCT database_id FROM creates WHERE state = 'done' AND database_id IN ('a', 'b')",
        "SELECT owner FROM creations WHERE database_id = 'a'",
        "DELETE FROM pairings WHERE expires_at < 1",
        "SELECT * FROM audit WHERE app_id = 'a' ORDER BY id DESC LIMIT 1",
        "SELECT id FROM audit WHERE app_name = 'a' AND id < 9 AND last_at >= 0 ORDER BY id DESC LIMIT 1",
        "DELETE FROM audit WHERE last_at < 1 AND id != 9",
        "DELETE FROM audit WHERE id <= 1",
    ],
)
async def test_what_is_asked_for_is_indexed(filled: Path, query: str) -> None:
    """
    No call becomes slower with all that was remembered: each query goes along an index.
    """
    with closing(sqlite3.connect(filled)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]

    assert [] == [step for step in plan if not step.startswith("SEARCH")]


async def test_what_was_committed_is_on_the_disk(ledger: SqliteLedger) -> None:
    """
    SQLite is told to wait for the disk at each commit, and to trust no schema.
    """
    names = ("journal_mode", "synchronous", "trusted_schema")

    def ask(connection: sqlite3.Connection) -> list[object]:
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    found = await ledger._transactions.run(ask)

    assert ["wal", 2, 0] == found


def test_a_daemon_that_did_not_use_it_yet_has_not_loaded_sqlite() -> None:
    """
    Starting the daemon costs nothing of SQLite.
    """
    script = """if True:
        import sys
        sys.modules.pop("sqlite3", None)  # what measures the coverage uses it
        from upstash_helper.storage.ledger.sqlite import SqliteLedger
        SqliteLedger(None)
        print("sqlite3" in sys.modules)
    """

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False\n" == ended.stdout


# --- when it cannot be had --------------------------------------------------------------------------------------------


async def test_a_ledger_that_cannot_be_opened_is_tried_anew_after_a_pause(path: Path) -> None:
    """
    Once the obstacle is gone it works without a restart; and however many ask, it is not tried all the time.
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


async def test_a_file_that_another_program_holds_is_said_to_be(filled: Path, ledger: SqliteLedger) -> None:
    """
    While another program writes in the file, writing fails with what to do; afterwards it works.
    """
    await ledger.apps.load()

    with locked(filled), pytest.raises(LedgerUnavailable, match="in use by another program"):
        await ledger.apps.remove(APP.id)
    await ledger.apps.remove(APP.id)

    assert () == await ledger.apps.load()


async def test_what_is_late_has_no_effect(filled: Path) -> None:
    """
    A call that was told to have failed, for it took too long, does nothing once it could.
    """
    ledger = SqliteLedger(filled, deadline=0.1)
    await ledger.apps.load()

    with locked(filled), pytest.raises(LedgerUnavailable, match="does not respond"):
        await ledger.apps.remove(APP.id)
    for thread in [thread for thread in threading.enumerate() if thread.name == "ledger"]:
        await asyncio.to_thread(thread.join, 20)

    assert (APP,) == await ledger.apps.load()
    await ledger.close()


async def test_a_value_that_cannot_be_written_harms_nobody_else(ledger: SqliteLedger) -> None:
    """
    What SQLite cannot hold is refused in the port's words, and the next call is served as ever.
    """
    unusable = msgspec.structs.replace(ENTRY, app_name="\ud800", count=2**64)

    with pytest.raises(LedgerUnavailable, match="cannot be used"):
        await ledger.audit.add(unusable, forget_before=0.0)
    await ledger.audit.add(ENTRY, forget_before=0.0)

    assert 1 == len(await ledger.audit.page(AuditQuery()))


async def test_closing_never_fails(filled: Path) -> None:
    """
    Closing a ledger that does not answer is given up after a while, and raises nothing.
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
