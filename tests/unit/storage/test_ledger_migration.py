"""From one format of the ledger to the next: a copy before, all or nothing, and the way back."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_ledger import APP, FILLED, everything, fill
from tests.security.test_t51_ledger import SMALL_DISK, outcome
from tests.security.test_t51_ledger import fill as fill_disk
from tests.support.mounts import ROOT, run_with_mounts
from tests.support.until import until
from upstash_helper.broker.errors import LedgerUnavailable
from upstash_helper.storage.ledger import backup
from upstash_helper.storage.ledger.schema import MIGRATIONS, Migration
from upstash_helper.storage.ledger.sqlite import SqliteLedger

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")

NEXT = (*MIGRATIONS, ("ALTER TABLE apps ADD COLUMN note TEXT", "UPDATE apps SET note = 'new'"))
"""A format that is to come."""
AFTER = (*NEXT, ("UPDATE apps SET note = 'newer'",))
"""The one after that."""

WRONG = [
    pytest.param("INSERT INTO nowhere VALUES (1)", id="fails"),
    pytest.param("COMMIT", id="commits-by-itself"),
    pytest.param("ROLLBACK", id="undoes-by-itself"),
]
LONG = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 100000000)
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    SELECT 1, 1, 1, 'app-1', 'One', 'web', 'database.read', number, 'ok' FROM numbers
"""


@pytest.fixture(name="filled")
async def _filled(tmp_path: Path) -> Path:
    """A ledger of the first format, closed properly."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


def look(path: Path, query: str) -> object:
    """Return the only value that ``query`` finds."""
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute(query).fetchone()
    return value


def dump(path: Path) -> list[str]:
    """Return all that is in a ledger that nobody has open; the disk may be full."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        return list(connection.iterdump())


async def bring(path: Path, migrations: tuple[Migration, ...]) -> None:
    """Open the ledger with a program of that format."""
    ledger = SqliteLedger(path, migrations=migrations)
    try:
        await ledger.apps.load()
    finally:
        await ledger.close()


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


# --- a step that fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_change_that_fails_leaves_all_as_it_was(filled: Path, wrong: str) -> None:
    """
    Neither the format nor a row is other than before, whatever the step did to its transaction, and the older program
    goes on with it.
    """
    before = dump(filled)

    with pytest.raises(LedgerUnavailable, match="could not be migrated from format 1 to 3") as raised:
        await bring(filled, (*NEXT, ("DELETE FROM apps", wrong)))

    assert "install the previous version again" in str(raised.value)
    assert (before, 1) == (dump(filled), look(filled, "PRAGMA user_version"))
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()


async def test_what_is_not_sound_is_not_kept(filled: Path) -> None:
    """
    A step that succeeds and leaves the file unsound counts as one that fails.
    """
    unsound = (
        "CREATE TABLE extra (a TEXT)",
        "INSERT INTO extra VALUES (NULL)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE extra (a TEXT NOT NULL)' WHERE name = 'extra'",
        "PRAGMA writable_schema = RESET",
    )
    before = dump(filled)

    with pytest.raises(LedgerUnavailable, match="could not be migrated"):
        await bring(filled, (*MIGRATIONS, unsound))

    assert before == dump(filled)
    await bring(filled, NEXT)
    assert 2 == look(filled, "PRAGMA user_version")


async def test_after_a_failure_a_mended_program_succeeds(filled: Path) -> None:
    """
    The next update of the program finds the file as if the wrong one had never been there.
    """
    with pytest.raises(LedgerUnavailable):
        await bring(filled, (*NEXT, ("INSERT INTO nowhere VALUES (1)",)))

    await bring(filled, AFTER)

    assert (3, "newer") == (look(filled, "PRAGMA user_version"), look(filled, "SELECT note FROM apps"))


# --- interrupted ------------------------------------------------------------------------------------------------------

BRING = """
    import asyncio, pathlib, sys
    from upstash_helper.storage.ledger.sqlite import SqliteLedger
    from tests.unit.storage.test_ledger_migration import LONG, NEXT

    ledger = SqliteLedger(pathlib.Path(sys.argv[1]), migrations=(*NEXT, (LONG,)), deadline=600.0)
    asyncio.run(ledger.apps.load())
"""


@pytest.mark.slow
async def test_a_kill_in_the_middle_loses_nothing(filled: Path) -> None:
    """
    A program that is killed with SIGKILL while it changes the format has changed nothing: the older program goes on
    with all that there was, and so does the newer one at its next start.
    """
    before = dump(filled)
    log = filled.with_name("ledger.db-wal")
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BRING), str(filled)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        # Some of the change is on the disk already, and the copy is complete.
        until(lambda: log.exists() and log.stat().st_size > 4_000_000)
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()

    assert before == dump(backup.path_of(filled, 1))
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()
    assert before == dump(filled)
    await bring(filled, AFTER)
    assert 3 == look(filled, "PRAGMA user_version")


async def test_a_copy_that_was_cut_off_does_not_pass_for_one(filled: Path) -> None:
    """
    What a program left that was killed while it copied is neither used nor in the way.
    """
    draft = filled.with_name(".ledger.db.v1.bak.new")
    draft.write_bytes(b"half of it")
    before = dump(filled)

    await bring(filled, NEXT)

    assert {"ledger.db", "ledger.db.v1.bak"} == names(filled)
    assert before == dump(backup.path_of(filled, 1))


# --- full -------------------------------------------------------------------------------------------------------------


async def change_on_a_full_disk(path: Path, folder: Path) -> dict[str, Any]:
    """Bring a ledger to the next format while there is no room, with a little, and with enough."""
    made = SqliteLedger(path)
    await made.apps.save(APP)
    await made.close()
    before = dump(path)
    ballast = fill_disk(folder)
    seen: dict[str, Any] = {"codes": [], "same": []}
    for pages in (0, 8, 24):
        os.truncate(ballast, max(ballast.stat().st_size - pages * 4096, 0))
        ledger = SqliteLedger(
            path, migrations=(*MIGRATIONS, ("INSERT INTO creations VALUES (hex(zeroblob(200000)), '')",))
        )
        seen["codes"].append(await outcome(ledger.apps.load()))
        await ledger.close()
        seen["same"].append(dump(path) == before)
        seen["drafts"] = [file.name for file in folder.iterdir() if file.name.endswith(".new")]
    ballast.unlink()
    await bring(path, NEXT)
    return seen | {"version": look(path, "PRAGMA user_version"), "note": look(path, "SELECT note FROM apps")}


async def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path) -> None:
    """
    Whether there is no room for the copy or none for the change: the file is as it was, and with room it is done.
    """
    seen = run_with_mounts(SMALL_DISK, change_on_a_full_disk, tmp_path / "ledger.db", tmp_path)

    assert (["disk_full"] * 3, [True] * 3, []) == (seen["codes"], seen["same"], seen["drafts"])
    assert (2, "new") == (seen["version"], seen["note"])


# --- the copies -------------------------------------------------------------------------------------------------------


async def test_the_copy_has_what_was_written_last(filled: Path) -> None:
    """
    What is still in the -wal file, of a program that was killed, is in the copy as well.
    """
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE apps SET name = 'written last'")
        assert filled.with_name("ledger.db-wal").stat().st_size > 0

        await bring(filled, NEXT)

    assert "written last" == look(backup.path_of(filled, 1), "SELECT name FROM apps")


async def test_there_is_one_copy_for_each_of_the_latest_formats(filled: Path) -> None:
    """
    Copies do not pile up: those of the two formats before stay, and of each there is one.
    """
    grown = MIGRATIONS
    for number in range(4):
        grown = (*grown, (f"ALTER TABLE apps ADD COLUMN c{number} TEXT",))
        await bring(filled, grown)

    assert {"ledger.db", "ledger.db.v3.bak", "ledger.db.v4.bak"} == names(filled)


@unix
async def test_a_link_in_its_place_is_not_followed(filled: Path, tmp_path: Path) -> None:
    """
    A link where the copy goes leads nowhere: it is replaced, and what it points to stays.
    """
    other = tmp_path / "somebody-elses"
    other.write_text("precious")
    copy = backup.path_of(filled, 1)
    copy.symlink_to(other)

    await bring(filled, NEXT)

    assert "precious" == other.read_text()
    assert not copy.is_symlink()
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)


async def test_an_older_program_names_the_way_back(filled: Path) -> None:
    """
    Who goes back to the version before is told of the copy, and that it works.
    """
    await bring(filled, NEXT)
    copy = backup.path_of(filled, 1)

    with pytest.raises(LedgerUnavailable, match="was written by a newer version") as raised:
        await bring(filled, MIGRATIONS)
    assert f"Or replace it with {copy}" in str(raised.value)

    copy.replace(filled)
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()
