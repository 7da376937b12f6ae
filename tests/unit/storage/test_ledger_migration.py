"""Migrations of the ledger: a copy first, all or nothing, and the way back."""

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
from upstash_helper.broker.identity import Identity
from upstash_helper.storage.ledger import backup
from upstash_helper.storage.ledger.schema import APPLICATION_ID, MIGRATIONS, Migration
from upstash_helper.storage.ledger.sqlite import SqliteLedger

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")

CURRENT = len(MIGRATIONS)
"""The current format."""
NEXT = (*MIGRATIONS, ("ALTER TABLE apps ADD COLUMN note TEXT", "UPDATE apps SET note = 'new'"))
"""The next format."""
AFTER = (*NEXT, ("UPDATE apps SET note = 'newer'",))
"""The format after that."""

WRONG = [
    pytest.param("INSERT INTO nowhere VALUES (1)", id="fails"),
    pytest.param("COMMIT", id="commits"),
    pytest.param("ROLLBACK", id="rolls-back"),
]
LONG = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 100000000)
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    SELECT 1, 1, 1, 'app-1', 'One', 'web', 'database.read', number, 'ok' FROM numbers
"""


@pytest.fixture(name="filled")
async def _filled(tmp_path: Path) -> Path:
    """A ledger of the current format, closed properly."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


def query_value(path: Path, query: str) -> object:
    """Return the only value that ``query`` returns."""
    with closing(sqlite3.connect(path)) as connection:
        (value,) = connection.execute(query).fetchone()
    return value


def dump(path: Path) -> list[str]:
    """Return the content of a ledger that is not open; the disk may be full."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        return list(connection.iterdump())


async def migrate(path: Path, migrations: tuple[Migration, ...]) -> None:
    """Open the ledger with a program of that format."""
    ledger = SqliteLedger(path, migrations=migrations)
    try:
        await ledger.apps.load()
    finally:
        await ledger.close()


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


# --- failing migrations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", WRONG)
async def test_failed_migration_changes_nothing(filled: Path, wrong: str) -> None:
    """
    Format and rows are unchanged, whatever the migration did to its transaction, and the older program can use the
    file.
    """
    before = dump(filled)

    with pytest.raises(
        LedgerUnavailable, match=f"could not be migrated from format {CURRENT} to {CURRENT + 2}"
    ) as raised:
        await migrate(filled, (*NEXT, ("DELETE FROM apps", wrong)))

    assert "install the previous version again" in str(raised.value)
    assert (before, CURRENT) == (dump(filled), query_value(filled, "PRAGMA user_version"))
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()


async def test_migration_that_damages_the_file_is_rolled_back(filled: Path) -> None:
    """
    A migration that succeeds and leaves a damaged file counts as failed.
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
        await migrate(filled, (*MIGRATIONS, unsound))

    assert before == dump(filled)
    await migrate(filled, NEXT)
    assert CURRENT + 1 == query_value(filled, "PRAGMA user_version")


async def test_fixed_migration_succeeds_after_a_failure(filled: Path) -> None:
    """
    The next upgrade finds the file unchanged.
    """
    with pytest.raises(LedgerUnavailable):
        await migrate(filled, (*NEXT, ("INSERT INTO nowhere VALUES (1)",)))

    await migrate(filled, AFTER)

    assert (CURRENT + 2, "newer") == (
        query_value(filled, "PRAGMA user_version"),
        query_value(filled, "SELECT note FROM apps"),
    )


# --- interruptions ----------------------------------------------------------------------------------------------------

BRING = """
    import asyncio, pathlib, sys
    from upstash_helper.storage.ledger.sqlite import SqliteLedger
    from tests.unit.storage.test_ledger_migration import LONG, NEXT

    ledger = SqliteLedger(pathlib.Path(sys.argv[1]), migrations=(*NEXT, (LONG,)), deadline=600.0)
    asyncio.run(ledger.apps.load())
"""


@pytest.mark.slow
async def test_kill_during_a_migration_loses_nothing(filled: Path) -> None:
    """
    After SIGKILL during a migration, the older program can use all data, and so can the newer one at its next start.
    """
    before = dump(filled)
    log = filled.with_name("ledger.db-wal")
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BRING), str(filled)], env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    try:
        # A part of the migration is on the disk already, and the copy is complete.
        until(lambda: log.exists() and log.stat().st_size > 4_000_000)
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()

    assert before == dump(backup.path_of(filled, CURRENT))
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()
    assert before == dump(filled)
    await migrate(filled, AFTER)
    assert CURRENT + 2 == query_value(filled, "PRAGMA user_version")


async def test_partial_copy_is_not_used(filled: Path) -> None:
    """
    The partial copy of a process that was killed is neither used nor an obstacle.
    """
    draft = filled.with_name(f".ledger.db.v{CURRENT}.bak.new")
    draft.write_bytes(b"half of it")
    before = dump(filled)

    await migrate(filled, NEXT)

    assert {"ledger.db", f"ledger.db.v{CURRENT}.bak"} == names(filled)
    assert before == dump(backup.path_of(filled, CURRENT))


# --- full disks -------------------------------------------------------------------------------------------------------


async def migrate_on_a_full_disk(path: Path, folder: Path) -> dict[str, Any]:
    """Migrate a ledger while there is no space, a little, and enough."""
    made = SqliteLedger(path)
    await made.apps.save(APP)
    await made.close()
    before = dump(path)
    ballast = fill_disk(folder)
    seen: dict[str, Any] = {"codes": [], "same": []}
    for pages in (0, 8, 24):
        os.truncate(ballast, max(ballast.stat().st_size - pages * 4096, 0))
        ledger = SqliteLedger(
            path,
            migrations=(
                *MIGRATIONS,
                ("INSERT INTO creations (database_id, owner) VALUES (hex(zeroblob(200000)), '')",),
            ),
        )
        seen["codes"].append(await outcome(ledger.apps.load()))
        await ledger.close()
        seen["same"].append(dump(path) == before)
        seen["drafts"] = [file.name for file in folder.iterdir() if file.name.endswith(".new")]
    ballast.unlink()
    await migrate(path, NEXT)
    return seen | {
        "version": query_value(path, "PRAGMA user_version"),
        "note": query_value(path, "SELECT note FROM apps"),
    }


async def test_full_disk_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    """
    Without space for the copy or the migration the file is unchanged; with space the migration succeeds.
    """
    seen = run_with_mounts(SMALL_DISK, migrate_on_a_full_disk, tmp_path / "ledger.db", tmp_path)

    assert (["disk_full"] * 3, [True] * 3, []) == (seen["codes"], seen["same"], seen["drafts"])
    assert (CURRENT + 1, "new") == (seen["version"], seen["note"])


# --- copies -----------------------------------------------------------------------------------------------------------


async def test_copy_includes_the_write_ahead_log(filled: Path) -> None:
    """
    Changes that are still in the -wal file of a killed process are in the copy too.
    """
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE apps SET name = 'written last'")
        assert filled.with_name("ledger.db-wal").stat().st_size > 0

        await migrate(filled, NEXT)

    assert "written last" == query_value(backup.path_of(filled, CURRENT), "SELECT name FROM apps")


async def test_copies_of_the_two_latest_formats_are_kept(filled: Path) -> None:
    """
    There is one copy for each of the two previous formats, and none of older ones.
    """
    grown = MIGRATIONS
    for number in range(4):
        grown = (*grown, (f"ALTER TABLE apps ADD COLUMN c{number} TEXT",))
        await migrate(filled, grown)

    assert {"ledger.db", *(f"ledger.db.v{CURRENT + older}.bak" for older in (2, 3))} == names(filled)


@unix
async def test_link_in_place_of_the_copy_is_replaced(filled: Path, tmp_path: Path) -> None:
    """
    A link in place of the copy is replaced, and its target is unchanged.
    """
    other = tmp_path / "other"
    other.write_text("precious")
    copy = backup.path_of(filled, CURRENT)
    copy.symlink_to(other)

    await migrate(filled, NEXT)

    assert "precious" == other.read_text()
    assert not copy.is_symlink()
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)


async def test_downgrade_error_names_the_copy(filled: Path) -> None:
    """
    A user who goes back to the previous version is told about the copy, and it works.
    """
    await migrate(filled, NEXT)
    copy = backup.path_of(filled, CURRENT)

    with pytest.raises(LedgerUnavailable, match="was written by a newer version") as raised:
        await migrate(filled, MIGRATIONS)
    assert f"Or replace it with {copy}" in str(raised.value)

    copy.replace(filled)
    older = SqliteLedger(filled)
    assert FILLED == await everything(older)
    await older.close()


# --- the second format: what makes a program's path doubtful ----------------------------------------------------------


async def test_t64_apps_of_the_first_format_keep_their_identity(tmp_path: Path) -> None:
    """
    Apps, requests, and blocks that an older version stored have the same identity as before, without warnings.
    """
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        for statement in (*MIGRATIONS[0], f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1"):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO apps VALUES ('a', 'One', 'native', '/usr/bin/app', '', 7, '[]', 0, x'00', 1, 1, NULL, 0)"
        )
        connection.execute("INSERT INTO blocks VALUES ('b', 'native:/bin/x', 'native', '/bin/x', '', NULL, 1)")
        connection.commit()

    ledger = SqliteLedger(path)
    [app] = await ledger.apps.load()
    _, [block] = await ledger.pairings.load()
    await ledger.close()

    assert Identity(kind="native", name="/usr/bin/app", pid=7) == app.identity
    assert ("native:/usr/bin/app", "native:/bin/x") == (app.identity.key, block.identity.key)
