"""T51: a ledger file that has been damaged or changed from outside."""

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
import psutil
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
links = pytest.mark.skipif(sys.platform == "win32", reason="platform: on Windows symbolic links require privileges")


@pytest.fixture(name="path")
async def _path(tmp_path: Path) -> Path:
    """A ledger that contains an app, closed properly."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.apps.save(APP)
    await ledger.close()
    return path


@pytest.fixture(name="ledger")
async def _ledger(path: Path) -> AsyncIterator[Ledger]:
    """The next daemon's ledger."""
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
    """Change the file like another program might."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def apps_in(path: Path) -> tuple[App, ...]:
    """Return the apps that the next daemon finds."""
    ledger = SqliteLedger(path)
    found = await ledger.apps.load()
    await ledger.close()
    return found


# --- damaged files ----------------------------------------------------------------------------------------------------


def cut(size: int) -> Callable[[Path], None]:
    """Return damage that truncates the file."""
    return lambda path: os.truncate(path, size)


def overwrite(start: int, data: bytes) -> Callable[[Path], None]:
    """Return damage that overwrites a part of the file."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(start)
            file.write(data)

    return damage


def replace_by_another_database(path: Path) -> None:
    """Replace the file by another program's intact database."""
    path.unlink()
    change(path, "CREATE TABLE songs (title TEXT)", "PRAGMA user_version = 1")


def damage_the_audit(path: Path) -> None:
    """Overwrite the audit, which is not read when the apps are loaded."""
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
    pytest.param(damage_the_audit, id="a-page-that-is-not-read"),
    pytest.param(replace_by_another_database, id="another-database"),
    pytest.param(lambda path: change(path, "DROP TABLE audit", "PRAGMA user_version = 0"), id="no-version"),
    pytest.param(lambda path: change(path, "UPDATE apps SET scopes = 'databases:read'"), id="no-json"),
    pytest.param(lambda path: change(path, "UPDATE apps SET scopes = '[\"fly\"]'"), id="unknown-scope"),
    pytest.param(lambda path: change(path, "UPDATE apps SET name = CAST(x'ff' AS TEXT)"), id="no-utf-8"),
    pytest.param(lambda path: change(path, "UPDATE apps SET created_at = 'yesterday'"), id="no-number"),
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_t51_damaged_file_is_set_aside_and_replaced(
    path: Path, ledger: Ledger, damage: Callable[[Path], None]
) -> None:
    """
    A damaged file does not prevent the daemon from working. It is kept under another name, and apps have to pair
    again.
    """
    damage(path)
    damaged = path.read_bytes()

    found = await ledger.apps.load()

    aside = path.with_name("ledger.db.damaged-1")
    assert ((), damaged) == (found, aside.read_bytes())
    assert "ok" == ledger.health().state
    assert f"It was moved to {aside} " in ledger.health().detail
    assert "request access again" in ledger.health().detail


_open_when_renamed: list[tuple[str, bool]] = []
"""Each renamed file, and whether this process had it open."""


def _note_rename(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.rename":
        path = str(arguments[0])
        _open_when_renamed.append((path, path in {one.path for one in psutil.Process().open_files()}))


@pytest.fixture(scope="module")
def _renames() -> None:
    """Note each renaming in this process from now on: an audit hook cannot be removed."""
    sys.addaudithook(_note_rename)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere psutil does not list all open files")
@pytest.mark.usefixtures("_renames")
@pytest.mark.parametrize("damage", DAMAGES)
async def test_t51_damaged_file_is_closed_before_it_is_moved(
    path: Path, ledger: Ledger, damage: Callable[[Path], None]
) -> None:
    """Windows moves no file that is open."""
    damage(path)
    _open_when_renamed.clear()

    await ledger.apps.load()

    assert [False] == [was_open for file, was_open in _open_when_renamed if file == str(path)]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_t51_replacement_file_works(path: Path, damage: Callable[[Path], None]) -> None:
    """The file that replaces a damaged one works like any other."""
    damage(path)
    ledger = SqliteLedger(path)
    await ledger.apps.load()

    await ledger.apps.save(APP)
    await ledger.close()

    assert (APP,) == await apps_in(path)


async def test_t51_damage_is_logged_without_quoting_the_file(
    path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """The log reports that the file was damaged and where it was moved, and quotes nothing from it."""
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


async def test_t51_damage_found_at_runtime_is_handled_the_same_way(path: Path) -> None:
    """If a disk fails while the daemon is running, the file's content is lost, but the daemon keeps working."""
    before = SqliteLedger(path)
    await before.audit.add(ENTRY, share="app-1", keep_seconds=1e9)
    await before.close()
    change(path, MORE_THAN_IS_KEPT_IN_MEMORY)
    ledger = SqliteLedger(path)
    await ledger.apps.load()
    overwrite(4096, b"\xff" * (path.stat().st_size - 4096))(path)

    page = await ledger.audit.page(AuditQuery(limit=10_000))
    entry_id = await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1e9)

    assert ((), 1) == (page, entry_id)
    assert path.with_name("ledger.db.damaged-1").stat().st_size > 1_000_000
    assert "request access again" in ledger.health().detail
    await ledger.close()


async def test_t51_earlier_damaged_files_are_not_overwritten(path: Path, ledger: Ledger) -> None:
    """Each damaged file is kept under its own name, with its accompanying files."""
    earlier = path.with_name("ledger.db.damaged-1")
    earlier.write_bytes(b"earlier")
    path.write_bytes(b"")
    path.with_name("ledger.db-wal").write_bytes(b"what was written last")

    await ledger.apps.load()

    assert b"earlier" == earlier.read_bytes()
    assert b"what was written last" == path.with_name("ledger.db.damaged-2-wal").read_bytes()


async def test_t51_number_of_damaged_files_is_limited(path: Path, ledger: Ledger) -> None:
    """After several damaged files, which indicate a failing disk, no further one is created."""
    for number in range(1, 10):
        path.with_name(f"ledger.db.damaged-{number}").write_bytes(b"")
    path.write_bytes(b"damaged")

    with pytest.raises(LedgerUnavailable, match="Check the disk"):
        await ledger.apps.load()

    assert ("unavailable", b"damaged") == (ledger.health().state, path.read_bytes())


# --- files that are removed or replaced at runtime --------------------------------------------------------------------


def remove(path: Path) -> None:
    """Remove the ledger like a user who wants to start again."""
    for file in path.parent.glob("ledger.db*"):
        file.unlink()


def restore_a_backup(path: Path) -> None:
    """Replace the ledger by a copy of itself."""
    copy = path.with_name("copy")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    remove(path)
    copy.replace(path)


@unix  # Windows neither removes nor replaces a file that is open
@pytest.mark.parametrize("replace", [remove, restore_a_backup])
async def test_t51_changes_are_in_the_file_that_is_there(path: Path, replace: Callable[[Path], None]) -> None:
    """Not in one that is gone, and would not be read at the next start."""
    ledger = SqliteLedger(path)
    await ledger.apps.save(msgspec.structs.replace(APP, id="app-2"))
    replace(path)

    await ledger.apps.save(msgspec.structs.replace(APP, id="app-3"))
    await ledger.apps.remove("app-2")
    detail = ledger.health().detail
    await ledger.close()

    kept = {"app-1"} if replace is restore_a_backup else set()
    assert kept | {"app-3"} == {app.id for app in await apps_in(path)}
    assert f"{path} was removed or replaced by another program." in detail


# --- readable by others, symbolic links, newer formats ----------------------------------------------------------------


@unix
async def test_t51_files_are_private(tmp_path: Path, umask: None) -> None:
    """While the ledger is in use, its files have mode 0600 and its folder 0700, whatever the umask."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)

    await ledger.apps.save(APP)

    modes = {file.name: mode(file) for file in path.parent.iterdir()}
    assert {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600} == modes
    assert 0o700 == mode(path.parent)
    await ledger.close()


@unix
async def test_t51_mode_of_a_readable_file_is_corrected(
    path: Path, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that other users could read is made private with a warning, and used."""
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
async def test_t51_symbolic_link_is_rejected(path: Path, ledger: Ledger, name: str, there: bool) -> None:  # noqa: FBT001  # pytest passes it by its name
    """If the ledger is a symbolic link, it is neither read nor written, and the error says what to do."""
    target = path.parent.parent / "target"
    if there:
        target.write_bytes(b"other data")
    link = path.with_name(name)
    link.unlink(missing_ok=True)
    link.symlink_to(target)

    with pytest.raises(LedgerUnavailable, match=r"is a symbolic link\. Remove it") as refused:
        await ledger.apps.save(APP)

    assert str(link) in refused.value.detail
    assert ("unavailable", refused.value.detail) == (ledger.health().state, ledger.health().detail)
    assert (there, b"other data" if there else None) == (target.exists(), target.read_bytes() if there else None)


async def test_t51_newer_format_is_rejected(path: Path, ledger: Ledger) -> None:
    """A ledger of a newer version is not downgraded: it is rejected with an error, and stays unchanged."""
    change(path, "PRAGMA user_version = 7")
    newer = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match="was written by a newer version"):
        await ledger.apps.save(APP)

    assert newer == path.read_bytes()
    assert ["ledger.db"] == [file.name for file in path.parent.iterdir()]


# --- read-only disks --------------------------------------------------------------------------------------------------

FOLDER = 'mount --bind "$2" "$2"; mount -o remount,bind,ro "$2"'
FILE = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"'


async def use(path: Path, _: Path | None = None) -> dict[str, object]:
    """Use the ledger like a daemon does, and return what happened."""
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
async def test_t51_read_only_file_is_read(path: Path, read_only: str) -> None:
    """
    On a read-only disk, known apps stay known, and new ones are known until the restart. The file stays unchanged.
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


async def test_t51_write_ahead_log_is_read_on_a_read_only_disk(path: Path) -> None:
    """If the disk turned read-only in a crash, the last writes are still read."""
    crash = [sys.executable, "-c", CRASH, str(path)]
    subprocess.run(crash, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert path.with_name("ledger.db-wal").stat().st_size > 0
    assert ([], "memory") == (seen["found"], seen["state"])
    assert "could not be read" not in seen["detail"]


async def test_t51_damaged_file_on_a_read_only_disk_is_left_in_place(path: Path) -> None:
    """If a damaged file cannot be moved either, the daemon works in memory, and reports that."""
    overwrite(0, b"{" * 8192)(path)

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert ([], ["new"], "memory") == (seen["found"], seen["then"], seen["state"])
    assert "Its content could not be read" in seen["detail"]


async def test_t51_newer_format_on_a_read_only_disk_is_rejected(path: Path) -> None:
    """A newer ledger is not usable just because the disk is read-only."""
    change(path, "PRAGMA user_version = 7")

    seen = run_with_mounts(FOLDER, use, path, path.parent)

    assert "unavailable" == seen["state"]
    assert "was written by a newer version" in seen["detail"]


async def test_t51_read_only_disk_without_a_file_uses_memory(tmp_path: Path) -> None:
    """If not even the folder can be created, the daemon works in memory."""
    seen = run_with_mounts(FOLDER, use, tmp_path / "state" / "ledger.db", tmp_path)

    assert ([], ["new"], "memory") == (seen["found"], seen["then"], seen["state"])


# --- full disks -------------------------------------------------------------------------------------------------------

SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$2"'


def fill(folder: Path) -> Path:
    """Fill the folder's file system. Return the file whose removal frees space."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


async def outcome(call: Awaitable[object]) -> str:
    """Return the result of a call, or its error."""
    try:
        await call
    except HelperError as error:
        return error.code
    return "ok"


async def use_while_the_disk_is_full(path: Path, folder: Path) -> dict[str, object]:
    """Write before, while, and after the disk is full."""
    ledger = SqliteLedger(path)
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)
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


async def test_t51_full_disk_is_reported_and_recovered_from(tmp_path: Path) -> None:
    """
    While the disk is full, writes fail as a whole and reads succeed. Once there is space, everything works without
    a restart.
    """
    path = tmp_path / "ledger.db"

    seen = run_with_mounts(SMALL_DISK, use_while_the_disk_is_full, path, tmp_path)

    full = f"The disk of {path} is full. Free some space, then try again."
    assert ["disk_full", "disk_full", full] == seen["full"]
    assert [True, None] == seen["kept"]
    assert (["ok", "ok"], "app:app-1", ["ledger.db"]) == (seen["again"], seen["found"], seen["files"])


async def create_on_a_full_disk(path: Path, folder: Path) -> dict[str, object]:
    """Write for the first time while the disk is full."""
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


async def test_t51_ledger_can_be_created_once_there_is_space(tmp_path: Path) -> None:
    """A ledger that could not be created, or only partly, leaves nothing that is considered damaged."""
    seen = run_with_mounts(SMALL_DISK, create_on_a_full_disk, tmp_path / "ledger.db", tmp_path)

    assert ("disk_full", "disk_full") == (seen["full"], seen["nearly"])
    assert (["ok", "ok", ""], ["ledger.db"]) == (seen["again"], seen["files"])
