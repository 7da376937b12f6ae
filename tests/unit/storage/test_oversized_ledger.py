"""
T68: a ledger that an older version has let grow. It is opened quickly, with little space, and can be interrupted.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.security.test_t51_ledger import fill as fill_disk
from tests.security.test_t51_ledger import outcome
from tests.support.mounts import ROOT, run_with_mounts
from upstash_helper.broker.errors import LedgerUnavailable
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.storage.ledger import backup
from upstash_helper.storage.ledger.audit import MAX_APP_ENTRIES, MAX_APPS_ENTRIES, MAX_NO_TOKEN_ENTRIES
from upstash_helper.storage.ledger.schema import APPLICATION_ID, MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger

LARGE = 32 * 1024 * 1024
"""Bytes; see ``oversized.LARGE``."""
APPS = {"app-0", "app-1"}
INSERT_AUDIT = """
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    VALUES (?, ?, 1, ?, 'One', 'https://one.example.com', ?, ?, 'ok')
"""


def write_old(path: Path, *, rows: int = 9_000, apps: int = 2, askers: int = 0) -> Path:
    """Write a ledger of the first format whose audit makes it too large, with an entry of the owner that is old."""
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in (*MIGRATIONS[0], f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 1"):
            connection.execute(statement)
        for app in sorted(APPS):
            values = (app, "web", f"https://{app}.example.com", bytes(32))
            connection.execute(
                "INSERT INTO apps VALUES (?, 'One', ?, ?, '', NULL, '[\"databases:read\"]', 0, ?, 1, 1, NULL, 0)",
                values,
            )
        connection.execute("INSERT INTO creations VALUES ('database-1', 'app:app-1')")
        connection.execute(INSERT_AUDIT, (0, 0, "app-1", "app.let_in", "pairing-1"))
        who = [f"app-{number % apps}" for number in range(rows)]
        who[rows - askers :] = [f"pairing:{number}" for number in range(askers)]
        connection.executemany(
            INSERT_AUDIT, ((at, at, app, "database.read", "/" + "t" * 4_000) for at, app in enumerate(who, start=1))
        )
    path.chmod(0o600)
    return path


@pytest.fixture(name="old")
def _old(tmp_path: Path) -> Path:
    """The ledger."""
    return write_old(tmp_path / "state" / "ledger.db")


def rows(path: Path, query: str) -> list[Any]:
    """Return the first column of a query."""
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(query)]


def names(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


async def open_and_close(path: Path) -> set[str]:
    """Open the ledger like the daemon does, and return the apps in it."""
    ledger = SqliteLedger(path)
    try:
        return {app.id for app in await ledger.apps.load()}
    finally:
        await ledger.close()


async def test_t68_neither_the_ledger_nor_its_copy_is_large_after_the_upgrade(old: Path) -> None:
    """Both have the apps and the newest entries, and what the user needs to know about an app, however old."""
    assert old.stat().st_size > LARGE

    ledger = SqliteLedger(old)
    page = await ledger.audit.page(AuditQuery(limit=2))
    creator = await ledger.creates.creator("database-1")
    apps = {app.id for app in await ledger.apps.load()}
    await ledger.close()

    copy = backup.path_of(old, 1)
    assert {"ledger.db", copy.name} == names(old)
    assert all(file.stat().st_size < 5_000_000 for file in (old, copy))
    assert ([9_000, 8_999], "app:app-1", APPS) == ([entry.at for entry in page], creator, apps)
    for path in (old, copy):
        assert 2 * MAX_APP_ENTRIES + 1 == len(rows(path, "SELECT id FROM audit"))
        assert ["pairing-1"] == rows(path, "SELECT target FROM audit WHERE action = 'app.let_in'")
        assert sorted(APPS) == rows(path, "SELECT id FROM apps ORDER BY id")


async def test_t68_many_apps_and_askers_have_no_more_than_their_shares(tmp_path: Path) -> None:
    """The copy is limited by the same shares as the audit."""
    path = write_old(tmp_path / "state" / "ledger.db", rows=12_000, apps=50, askers=700)

    await open_and_close(path)

    copied = rows(backup.path_of(path, 1), "SELECT app_id FROM audit WHERE action != 'app.let_in'")
    askers = [app for app in copied if app.startswith("pairing:")]
    assert (MAX_NO_TOKEN_ENTRIES, MAX_APPS_ENTRIES) == (len(askers), len(copied) - len(askers))


async def test_t68_old_version_can_use_the_copy(old: Path) -> None:
    """Its IDs go on where they were."""
    await open_and_close(old)
    backup.path_of(old, 1).replace(old)

    older = SqliteLedger(old, migrations=MIGRATIONS[:1])
    pairings = await older.pairings.load()
    await older.close()
    with closing(sqlite3.connect(old)) as connection, connection:
        added = connection.execute(INSERT_AUDIT, (1, 1, "owner", "app.rename", "")).lastrowid

    assert (((), ()), 9_002) == (pairings, added)


async def test_t68_changes_in_the_write_ahead_log_are_kept(old: Path) -> None:
    """Those of a process that was killed: they are in the copy, and the log is not applied to it again."""
    script = """
        import os, sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("DELETE FROM apps WHERE id = 'app-0'")
        os._exit(9)  # without closing the file, like a process that is killed
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(old)], check=False)
    assert old.with_name("ledger.db-wal").stat().st_size > 0

    apps = await open_and_close(old)

    assert ({"app-1"}, ["app-1"]) == (apps, rows(backup.path_of(old, 1), "SELECT id FROM apps"))
    assert ["ok"] == rows(old, "PRAGMA integrity_check")


OPEN_AND_BE_KILLED = """
    import asyncio, os, pathlib, signal, sys

    from upstash_helper.storage.ledger.sqlite import SqliteLedger

    path, left = pathlib.Path(sys.argv[1]), int(sys.argv[2])

    def count(event, arguments):
        global left
        if event in ("sqlite3.connect", "open", "os.remove", "os.rename", "os.chmod") and any(
            str(path) in str(argument) or path.name in str(argument) for argument in arguments
        ):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    asyncio.run(SqliteLedger(path, deadline=60.0).apps.load())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no kill -9")
async def test_t68_kill_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """
    The process is killed before each of its accesses to the folder in turn. After each, the file is an intact ledger
    with all apps, whether old, small, or migrated, and the next start finishes, leaving nothing behind.
    """
    template = write_old(tmp_path / "template" / "ledger.db")
    seen, step, code = set(), 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        step += 1
        path = tmp_path / f"state-{step}" / "ledger.db"
        path.parent.mkdir()
        path.write_bytes(template.read_bytes())
        path.chmod(0o600)
        command = [sys.executable, "-c", textwrap.dedent(OPEN_AND_BE_KILLED), str(path), str(step)]
        code = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode

        seen.add((path.stat().st_size > LARGE, *rows(path, "PRAGMA user_version")))
        assert ["ok"] == rows(path, "PRAGMA integrity_check"), step
        assert APPS == set(rows(path, "SELECT id FROM apps")), step
        assert APPS == await open_and_close(path), step
        assert {"ledger.db", "ledger.db.v1.bak"} == names(path), step
        assert 2 * MAX_APP_ENTRIES + 1 == len(rows(path, "SELECT id FROM audit")), step
        path.unlink()

    assert 0 == code
    assert {(True, 1), (False, 1), (False, len(MIGRATIONS))} == seen


async def test_t68_ledger_that_another_program_reads_is_not_replaced(old: Path) -> None:
    """Its write-ahead log could be applied to the new file. The daemon tries again, and reports why."""
    with closing(sqlite3.connect(old, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN")
        other.execute("SELECT * FROM apps").fetchall()
        with pytest.raises(LedgerUnavailable, match="in use by another program"):
            await open_and_close(old)
        assert {"ledger.db", "ledger.db-wal", "ledger.db-shm"} == names(old)

    assert APPS == await open_and_close(old)


async def open_with_little_space(path: Path, folder: Path) -> dict[str, Any]:
    """Open the ledger with no free space, and with a few megabytes."""
    write_old(path)
    before = path.read_bytes()
    ballast = fill_disk(folder)
    ledger = SqliteLedger(path)
    seen: dict[str, Any] = {"full": await outcome(ledger.apps.load())}
    await ledger.close()
    seen["same"] = path.read_bytes() == before
    os.truncate(ballast, max(0, ballast.stat().st_size - 12_000_000))
    return seen | {"apps": sorted(await open_and_close(path)), "names": sorted(names(path) - {ballast.name})}


def test_t68_upgrade_needs_no_space_for_the_large_ledger(tmp_path: Path) -> None:
    """Without space for the small copies the file is unchanged; with it, but not for large ones, it shrinks."""
    disk = 'mount -t tmpfs -o size=60m tmpfs "$2"'

    seen = run_with_mounts(disk, open_with_little_space, tmp_path / "ledger.db", tmp_path)

    expected = {"apps": sorted(APPS), "names": ["ledger.db", "ledger.db.v1.bak"]}
    assert {"full": "disk_full", "same": True} | expected == seen


async def open_read_only(path: Path, folder: Path) -> list[str]:
    """Open the ledger on a read-only disk."""
    write_old(path)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    return sorted(await open_and_close(path))


def test_t68_large_ledger_on_a_read_only_disk(tmp_path: Path) -> None:
    """What is kept of it is read to memory."""
    disk = 'mount -t tmpfs -o size=60m tmpfs "$2"'

    assert sorted(APPS) == run_with_mounts(disk, open_read_only, tmp_path / "ledger.db", tmp_path)


async def test_t68_damaged_large_ledger_is_moved_aside(old: Path) -> None:
    """It is not copied in part."""
    with old.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 200)

    assert set() == await open_and_close(old)
    assert {"ledger.db", "ledger.db.damaged-1"} == names(old)
