"""Threat T51: the file that the daemon remembers in is not as it left it."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.contract.test_ledger import DATABASE, KEY, RECORD
from tests.support.clock import FakeClock
from tests.support.mounts import ROOT, run_with_mounts
from upstash_helper.broker.errors import HelperError, LedgerUnavailable
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import App, AuditEntry, AuditQuery, Ledger
from upstash_helper.storage.ledger.sqlite import SqliteLedger

NOW = 1_790_000_000.0
APP = App(
    id="app-1",
    name="Ada's private IDE",
    identity=Identity(kind="web", name="https://app.example.com"),
    scopes=("databases:read",),
    digest=bytes(range(32)),
    created_at=NOW,
    last_used_at=NOW,
)
ENTRY = AuditEntry(
    at=NOW,
    last_at=NOW,
    app_id="app-1",
    app_name="Ada's private IDE",
    identity="https://app.example.com",
    action="database.read",
    result="ok",
)

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")
links = pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links for everybody")


@pytest.fixture(name="path")
async def _path(tmp_path: Path) -> Path:
    """A ledger that knows an app, closed properly."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.apps.save(APP)
    await ledger.close()
    return path


@pytest.fixture(name="ledger")
async def _ledger(path: Path) -> AsyncIterator[Ledger]:
    """The ledger of the next daemon."""
    ledger = SqliteLedger(path)
    yield ledger
    await ledger.close()


@pytest.fixture(name="umask")
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def change(path: Path, *statements: str) -> None:
    """Do what a program of somebody else's might."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def apps_in(path: Path) -> tuple[App, ...]:
    """Return what the next daemon finds."""
    ledger = SqliteLedger(path)
    found = await ledger.apps.load()
    await ledger.close()
    return found


# --- damaged ----------------------------------------------------------------------------------------------------------


def cut(size: int) -> Callable[[Path], None]:
    """Return what a disk does that lost the rest."""
    return lambda path: os.truncate(path, size)


def overwrite(start: int, data: bytes) -> Callable[[Path], None]:
    """Return what a disk does that wrote something else."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    return damage


def replace_by_another_database(path: Path) -> None:
    """Put a sound database of somebody else there."""
    path.unlink()
    change(path, "CREATE TABLE songs (title TEXT)", "PRAGMA user_version = 1")


def damage_what_is_not_asked_for(path: Path) -> None:
    """Write something else over the audit, which nobody reads when the apps are loaded."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    overwrite((page - 1) * 4096, b"\xff" * 4096)(path)


DAMAGES = [
    pytest.param(cut(0), id="empty"),
    pytest.param(cut(60), id="cut-in-the-header"),
    pytest.param(cut(4096 * 3), id="cut-between-pages"),
    pytest.param(cut(4096 * 3 + 100), id="cut-in-a-page"),
    pytest.param(overwrite(0, b"{" * 8192), id="not-a-database"),
    pytest.param(overwrite(4096, b"\xff" * 4096), id="a-page-of-something-else"),
    pytest.param(damage_what_is_not_asked_for, id="a-page-that-is-not-asked-for"),
    pytest.param(replace_by_another_database, id="another-database"),
    pytest.param(lambda path: change(path, "DROP TABLE audit", "PRAGMA user_version = 0"), id="no-version"),
    pytest.param(lambda path: change(path, "UPDATE apps SET scopes = 'databases:read'"), id="no-json"),
    pytest.param(lambda path: change(path, "UPDATE apps SET scopes = '[\"fly\"]'"), id="unknown-scope"),
    pytest.param(lambda path: change(path, "UPDATE apps SET name = CAST(x'ff' AS TEXT)"), id="no-utf-8"),
    pytest.param(lambda path: change(path, "UPDATE apps SET created_at = 'yesterday'"), id="no-number"),
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_t51_a_damaged_file_is_kept_and_a_clean_one_begun(
    path: Path, ledger: Ledger, damage: Callable[[Path], None]
) -> None:
    """
    A damaged file does not keep the daemon from working: it is moved aside as it is, and apps are asked to pair anew.
    """
    damage(path)
    damaged = path.read_bytes()

    found = await ledger.apps.load()

    aside = path.with_name("ledger.db.damaged-1")
    assert ((), damaged) == (found, aside.read_bytes())
    assert "ok" == ledger.health().state
    assert f"It was moved to {aside} " in ledger.health().detail
    assert "request access again" in ledger.health().detail


@pytest.mark.parametrize("damage", DAMAGES)
async def test_t51_after_damage_what_is_new_is_kept(path: Path, damage: Callable[[Path], None]) -> None:
    """
    The clean file that takes a damaged one's place is as good as any.
    """
    damage(path)
    ledger = SqliteLedger(path)
    await ledger.apps.load()

    await ledger.apps.save(APP)
    await ledger.close()

    assert (APP,) == await apps_in(path)


async def test_t51_damage_is_warned_of_and_nothing_of_it_quoted(
    path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """
    The log says that the file was damaged and where it is, and no word of what was in it.
    """
    change(path, "UPDATE apps SET scopes = '[\"fly\"]'")

    with caplog.at_level(logging.DEBUG):
        await ledger.apps.load()

    (warning,) = caplog.messages
    assert f"{path} is damaged. It was moved to {path}.damaged-1, and an empty ledger was started." == warning


MORE_THAN_IS_KEPT_IN_MEMORY = """
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 10000)
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)
    SELECT at, last_at, count, app_id, app_name, identity, action, target, result FROM audit, numbers
"""


async def test_t51_damage_that_shows_later_is_no_worse(path: Path) -> None:
    """
    A disk that fails under a running daemon costs what was in the file, and not the daemon.
    """
    before = SqliteLedger(path)
    await before.audit.add(ENTRY, forget_before=0.0)
    await before.close()
    change(path, MORE_THAN_IS_KEPT_IN_MEMORY)
    ledger = SqliteLedger(path)
    await ledger.apps.load()
    overwrite(4096, b"\xff" * (path.stat().st_size - 4096))(path)

    page = await ledger.audit.page(AuditQuery(limit=10_000))
    entry_id = await ledger.audit.add(ENTRY, forget_before=0.0)

    assert ((), 1) == (page, entry_id)
    assert path.with_name("ledger.db.damaged-1").stat().st_size > 1_000_000
    assert "request access again" in ledger.health().detail
    await ledger.close()


async def test_t51_earlier_damage_is_not_overwritten(path: Path, ledger: Ledger) -> None:
    """
    Each damaged file is kept under a name of its own, with what belongs to it.
    """
    earlier = path.with_name("ledger.db.damaged-1")
    earlier.write_bytes(b"earlier")
    path.write_bytes(b"")
    path.with_name("ledger.db-wal").write_bytes(b"what was written last")

    await ledger.apps.load()

    assert b"earlier" == earlier.read_bytes()
    assert b"what was written last" == path.with_name("ledger.db.damaged-2-wal").read_bytes()


async def test_t51_a_disk_that_damages_all_is_not_filled(path: Path, ledger: Ledger) -> None:
    """
    After so many damaged files that it must be the disk, no further one is made.
    """
    for number in range(1, 10):
        path.with_name(f"ledger.db.damaged-{number}").write_bytes(b"")
    path.write_bytes(b"damaged")

    with pytest.raises(LedgerUnavailable, match="Check the disk"):
        await ledger.apps.load()

    assert ("unavailable", b"damaged") == (ledger.health().state, path.read_bytes())


# --- readable by others, links, newer ---------------------------------------------------------------------------------


@unix
async def test_t51_its_files_are_their_users_alone(tmp_path: Path, umask: None) -> None:
    """
    Every file has mode 0600 and the folder 0700, whatever the umask, while the ledger is in use.
    """
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)

    await ledger.apps.save(APP)

    modes = {file.name: mode(file) for file in path.parent.iterdir()}
    assert {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600} == modes
    assert 0o700 == mode(path.parent)
    await ledger.close()


@unix
async def test_t51_a_file_that_others_could_read_is_taken_from_them(
    path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """
    What others could read is mended with a warning, and used.
    """
    journal = path.with_name("ledger.db-wal")
    journal.touch()
    for file in (path, journal):
        file.chmod(0o644)

    found = await ledger.apps.load()

    assert (APP,) == found
    assert (0o600, 0o600) == (mode(path), mode(journal))
    assert [
        f"Other users could access {file}" in message
        for file, message in zip((path, journal), caplog.messages, strict=True)
    ] == [True, True]


@links
@pytest.mark.parametrize("name", ["ledger.db", "ledger.db-wal", "ledger.db-shm"])
@pytest.mark.parametrize("there", [True, False], ids=["to-a-file", "to-nothing"])
async def test_t51_a_link_is_refused(path: Path, ledger: Ledger, name: str, there: bool) -> None:  # noqa: FBT001  # pytest passes it by its name
    """
    Where the ledger should be a link is, nothing is read or written through it, and the user learns what to do.
    """
    target = path.parent.parent / "target"
    if there:
        target.write_bytes(b"somebody's")
    link = path.with_name(name)
    link.unlink(missing_ok=True)
    link.symlink_to(target)

    with pytest.raises(LedgerUnavailable, match=r"is a symbolic link\. Remove it") as refused:
        await ledger.apps.save(APP)

    assert str(link) in refused.value.detail
    assert ("unavailable", refused.value.detail) == (ledger.health().state, ledger.health().detail)
    assert (there, b"somebody's" if there else None) == (target.exists(), target.read_bytes() if there else None)


async def test_t51_a_newer_format_is_left_alone(path: Path, ledger: Ledger) -> None:
    """
    A ledger of a newer version is not downgraded: it is refused in words, and stays as it is.
    """
    change(path, "PRAGMA user_version = 7")
    newer = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match="was written by a newer version"):
        await ledger.apps.save(APP)

    assert newer == path.read_bytes()
    assert ["ledger.db"] == [file.name for file in path.parent.iterdir()]


# --- read-only --------------------------------------------------------------------------------------------------------

FOLDER = 'mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"'
FILE = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'


async def use(path: Path, _: Path | None = None) -> dict[str, object]:
    """Use the ledger as a daemon does, and tell what happened."""
    ledger = SqliteLedger(path)
    try:
        found = [app.id for app in await ledger.apps.load()]
        await ledger.apps.save(msgspec.structs.replace(APP, id="new"))
        then = [app.id for app in await ledger.apps.load()]
    except LedgerUnavailable:
        found, then = [], []
    health = ledger.health()
    await ledger.close()
    return {"found": found, "then": then, "state": health.state, "detail": health.detail}


@pytest.mark.parametrize("read_only", [FOLDER, FILE], ids=["folder", "file"])
async def test_t51_what_cannot_be_written_is_read(path: Path, read_only: str) -> None:
    """
    On a read-only disk the known apps stay known, and new ones are until the restart; the file stays as it is.
    """
    before = path.read_bytes()

    seen = run_with_mounts(read_only, use, path, path.parent)

    assert (["app-1"], ["app-1", "new"], "memory") == (seen["found"], seen["then"], seen["state"])
    assert f"{path} cannot be written" in seen["detail"]
    assert before == path.read_bytes()


CRASH = """
import asyncio, os, pathlib, signal, sys
from upstash_helper.storage.ledger.sqlite import SqliteLedger

async def main():
    await SqliteLedger(pathlib.Path(sys.argv[1])).apps.remove("app-1")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_t51_what_was_written_last_is_read_too(path: Path) -> None:
    """
    A disk that turned read-only when the machine crashed still tells what was written right before.
    """
    crash = [sys.executable, "-c", CRASH, str(path)]
    subprocess.run(crash, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert path.with_name("ledger.db-wal").stat().st_size > 0
    assert ([], "memory") == (seen["found"], seen["state"])
    assert "could not be read" not in seen["detail"]


async def test_t51_a_damaged_file_on_a_read_only_disk_is_left_there(path: Path) -> None:
    """
    What can be neither read nor moved is left, and the daemon works in memory and says so.
    """
    overwrite(0, b"{" * 8192)(path)

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert ([], ["new"], "memory") == (seen["found"], seen["then"], seen["state"])
    assert "Its content could not be read" in seen["detail"]


async def test_t51_a_newer_format_on_a_read_only_disk_is_refused(path: Path) -> None:
    """
    That a disk is read-only does not make a newer ledger one that can be used.
    """
    change(path, "PRAGMA user_version = 7")

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert "unavailable" == seen["state"]
    assert "was written by a newer version" in seen["detail"]


async def test_t51_a_read_only_disk_without_a_file_is_no_hindrance(tmp_path: Path) -> None:
    """
    Where not even a folder can be made, the daemon works in memory.
    """
    seen = run_with_mounts(FOLDER, use, tmp_path / "state" / "ledger.db", tmp_path)

    assert ([], ["new"], "memory") == (seen["found"], seen["then"], seen["state"])


# --- full -------------------------------------------------------------------------------------------------------------

SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$2"'


def fill(folder: Path) -> Path:
    """Leave no room in the folder's file system; return what is to be removed for some."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


async def outcome(call: Awaitable[object]) -> str:
    """Return what became of a call."""
    try:
        await call
    except HelperError as error:
        return error.code
    return "ok"


async def use_while_the_disk_is_full(path: Path, folder: Path) -> dict[str, object]:
    """Write before, while and after the disk is full."""
    ledger = SqliteLedger(path)
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)
    ballast = fill(folder)
    full = [
        await outcome(ledger.creates.done(KEY, DATABASE, owner="app:app-1")),
        await outcome(ledger.apps.save(APP)),
        ledger.health().detail,
    ]
    kept = [(await ledger.creates.find(KEY)) == RECORD, await ledger.creates.creator(DATABASE.id)]
    ballast.unlink()
    again = [await outcome(ledger.creates.done(KEY, DATABASE, owner="app:app-1")), ledger.health().state]
    await ledger.close()
    reopened = SqliteLedger(path)
    found = await reopened.creates.creator(DATABASE.id)
    await reopened.close()
    return {
        "full": full,
        "kept": kept,
        "again": again,
        "found": found,
        "files": [file.name for file in folder.iterdir()],
    }


async def test_t51_a_full_disk_is_said_and_got_over(tmp_path: Path) -> None:
    """
    While the disk is full writing fails as a whole and reading goes on; with room again all works, without a restart.
    """
    path = tmp_path / "ledger.db"

    seen = run_with_mounts(SMALL_DISK, use_while_the_disk_is_full, path, tmp_path)

    full = f"The disk of {path} is full. Free some space, then try again."
    assert ["disk_full", "disk_full", full] == seen["full"]
    assert [True, None] == seen["kept"]
    assert (["ok", "ok"], "app:app-1", ["ledger.db"]) == (seen["again"], seen["found"], seen["files"])


async def begin_on_a_full_disk(path: Path, folder: Path) -> dict[str, object]:
    """Write for the first time while there is no room."""
    clock = FakeClock()
    ledger = SqliteLedger(path, monotonic=clock.monotonic)
    ballast = fill(folder)
    full = await outcome(ledger.apps.save(APP))
    os.truncate(ballast, ballast.stat().st_size - 3 * 4096)
    clock.advance(1)
    nearly = await outcome(ledger.apps.save(APP))
    ballast.unlink()
    clock.advance(1)
    again = [await outcome(ledger.apps.save(APP)), ledger.health().state, ledger.health().detail]
    await ledger.close()
    return {"full": full, "nearly": nearly, "again": again, "files": [file.name for file in folder.iterdir()]}


async def test_t51_a_ledger_can_be_begun_once_there_is_room(tmp_path: Path) -> None:
    """
    A ledger that could not be begun for want of room, or only in part, leaves nothing that is taken for damage.
    """
    seen = run_with_mounts(SMALL_DISK, begin_on_a_full_disk, tmp_path / "ledger.db", tmp_path)

    assert ("disk_full", "disk_full") == (seen["full"], seen["nearly"])
    assert (["ok", "ok", ""], ["ledger.db"]) == (seen["again"], seen["files"])
