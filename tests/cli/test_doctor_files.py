"""``doctor`` on folders, files, the disk, and the ledger: real modes, owners, file systems, and damage."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.test_ledger import fill
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.examined import Examined
from tests.support.mounts import run_with_mounts
from upstash_helper.cli.doctor import files, machine
from upstash_helper.storage.ledger.schema import MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="platform: root alone gives files to other users"
)

OTHER_UID = 54_321


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    return Examined(monkeypatch, tmp_path / "home")


def made(path: Path, text: str = "", *, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


# --- folders and files ------------------------------------------------------------------------------------------------


@unix
def test_missing_files_are_ok_and_not_created(examined: Examined) -> None:
    """
    Before the first start no folder and no file exists, and the checks create none.
    """
    for check in (files.folders, files.files, files.disk, files.ledger):
        assert ["ok"] == [one.state for one in examined.all(check)]

    assert not examined.home.exists()


@unix
@pytest.mark.parametrize(("mode", "who"), [(0o777, "every user"), (0o770, "its group")])
def test_folder_writable_by_others_is_an_error(examined: Examined, mode: int, who: str) -> None:
    """
    Write access for the group counts too.
    """
    folder = examined.home / "state"
    folder.mkdir(parents=True)
    folder.chmod(mode)

    found = examined.worst(files.folders)

    assert ("error", f"{folder} is writable by {who}") == (
        found.state,
        found.detail.removesuffix("."),
    )
    assert f"chmod 700 {folder}" == found.fix


@unix
@pytest.mark.parametrize(
    ("mode", "state", "fix"),
    [
        (0o777, "error", "chmod go-w {}"),
        (0o775, "warning", "chmod g-w {}"),
        (0o1777, "ok", ""),
        (0o755, "ok", ""),
    ],
)
def test_folder_above_that_others_can_write_to_is_reported(examined: Examined, mode: int, state: str, fix: str) -> None:
    """
    In a folder like that, another user could replace the helper's folders. A sticky folder prevents it.
    """
    (examined.home / "state").mkdir(parents=True, mode=0o700)
    if os.geteuid() == 0:
        os.chown(examined.home, -1, OTHER_UID)  # not the group that only this user is in
    examined.home.chmod(mode)

    found = examined.worst(files.folders)

    assert (state, fix.format(examined.home)) == (found.state, found.fix)
    if state != "ok":
        assert found.detail.startswith(f"{examined.home} is writable by ")


@root
def test_folder_above_that_another_user_owns_is_an_error(examined: Examined) -> None:
    """
    Its owner could replace the helper's folders.
    """
    (examined.home / "state").mkdir(parents=True, mode=0o700)
    os.chown(examined.home, OTHER_UID, -1)

    assert f"{examined.home} is owned by the user with ID {OTHER_UID}, " in examined.worst(files.folders).detail


@unix
def test_file_instead_of_a_folder_is_an_error(examined: Examined) -> None:
    """
    The helper could not create the folder.
    """
    made(examined.home / "log")

    found = examined.worst(files.folders)

    assert ("error", f"{examined.home / 'log'} is not a folder.") == (found.state, found.detail)


@root
def test_folder_of_another_user_is_an_error(examined: Examined) -> None:
    """
    Its owner could put files there.
    """
    folder = examined.home / "run"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, OTHER_UID, -1)

    found = examined.worst(files.folders)

    assert ("error", True) == (found.state, f"is owned by the user with ID {OTHER_UID}" in found.detail)


@unix
@pytest.mark.parametrize(
    ("file", "mode", "state", "words"),
    [
        ("run/daemon.json", 0o644, "error", "is readable by other users (mode 0644)"),
        ("state/credential.json", 0o640, "error", "is readable by other users (mode 0640)"),
        ("state/ledger.db", 0o644, "warning", "is readable by other users"),
        ("state/ledger.db-wal", 0o644, "warning", "is readable by other users"),
        ("log/upstash-helper.log", 0o604, "warning", "is readable by other users"),
        ("log/upstash-helper.log.1", 0o622, "error", "is writable by other users"),
    ],
)
def test_file_accessible_to_others_is_reported(
    examined: Examined, file: str, mode: int, state: str, words: str
) -> None:
    """
    It is an error if the file contains a secret or others can write to it, and otherwise a warning.
    """
    path = made(examined.home / file, mode=mode)

    (found,) = examined.all(files.files)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert f"chmod 600 {path}" == found.fix


@unix
def test_private_files_are_counted(examined: Examined) -> None:
    """
    The files of a daemon that was running are ok.
    """
    for file in ("run/daemon.json", "state/ledger.db", "log/upstash-helper.log"):
        made(examined.home / file)

    (found,) = examined.all(files.files)

    assert ("ok", "3 files, accessible only to you") == (found.state, found.detail)


@unix
def test_symbolic_link_is_an_error(examined: Examined, tmp_path: Path) -> None:
    """
    The helper creates none, so someone else did.
    """
    (examined.home / "state").mkdir(parents=True, mode=0o700)
    (examined.home / "state" / "ledger.db").symlink_to(tmp_path / "elsewhere")

    (found,) = examined.all(files.files)

    assert ("error", True) == (found.state, "is a symbolic link" in found.detail)


@root
def test_file_of_another_user_is_an_error(examined: Examined) -> None:
    """
    It is an error whatever its mode is.
    """
    path = made(examined.home / "run" / "daemon.json")
    os.chown(path, OTHER_UID, -1)

    (found,) = examined.all(files.files)

    assert ("error", True) == (found.state, f"ID {OTHER_UID}" in found.detail)


# --- the settings file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"port = ", "not valid TOML"), (b'client_id = "\xff"', "is not in UTF-8: line 1, column 14")],
    ids=["toml", "utf-8"],
)
def test_invalid_settings_file_is_an_error(examined: Examined, content: bytes, words: str) -> None:
    """
    The result has the reason and the line.
    """
    made(examined.home / "config" / "config.toml").write_bytes(content)

    found = examined.worst(machine.settings_file)
    values = examined.worst(machine.settings)

    assert ("error", True) == (found.state, words in found.detail), found.detail
    assert "error" == values.state


@unix
def test_settings_file_writable_by_others_is_an_error(examined: Examined) -> None:
    """
    A writer could redirect the sign-in. Read access is fine, because it contains no secret.
    """
    file = made(examined.home / "config" / "config.toml", mode=0o664)
    before = examined.worst(machine.settings_file)
    file.chmod(0o644)
    after = examined.worst(machine.settings_file)

    assert ("error", f"chmod go-w '{file}'", "ok") == (before.state, before.fix, after.state)


# --- the disk ---------------------------------------------------------------------------------------------------------


async def disk_of(home: Path) -> list[dict[str, Any]]:
    """Return the result for a home folder on a file system of its own."""
    ran = await run_cli("doctor", "--json", environment=clean_environment() | {"UPSTASH_HELPER_HOME": str(home)})
    return [one for one in ran.json["checks"] if one["name"] == "Disk"]


@pytest.mark.parametrize(("size", "state"), [("1m", "error"), ("50m", "warning")])
def test_low_disk_space_is_reported(tmp_path: Path, size: str, state: str) -> None:
    """
    A nearly full disk is a warning, and a full one an error, with the free space.
    """
    home = tmp_path / "home"
    home.mkdir()

    (found,) = run_with_mounts(f'mount -t tmpfs -o size={size} tmpfs "$1"', disk_of, home)

    assert (state, True) == (found["state"], str(home) in found["detail"])
    assert "Free some space" in found["fix"]


# --- the ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ledger(examined: Examined) -> Path:
    """A ledger with entries, closed properly."""
    path = examined.context.folders.ledger_file
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file with its content and modification time."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def overwrite_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def lose_a_row_of_an_index(path: Path) -> None:
    """Delete a row from a table but not from its index, which only a thorough check notices."""
    change(
        path,
        "PRAGMA writable_schema = ON",
        "CREATE TABLE extra (a TEXT)",
        "CREATE INDEX extra_a ON extra (a)",
        "INSERT INTO extra VALUES ('one')",
        "UPDATE sqlite_master SET sql = 'CREATE INDEX extra_a ON extra (a || a)' WHERE name = 'extra_a'",
    )


def become_another_database(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE songs (title TEXT)")


FOUND = [
    pytest.param(lambda _: None, "ok", f"format {len(MIGRATIONS)}, intact", id="intact"),
    pytest.param(overwrite_a_page, "error", "is damaged", id="a-page"),
    pytest.param(lose_a_row_of_an_index, "error", "is damaged", id="an-index"),
    pytest.param(lambda path: os.truncate(path, 5000), "error", "is damaged", id="cut-off"),
    pytest.param(lambda path: os.truncate(path, 0), "error", "is damaged", id="empty"),
    pytest.param(lambda path: path.write_bytes(b"{" * 9000), "error", "is damaged", id="no-database"),
    pytest.param(become_another_database, "error", "another program", id="another"),
    pytest.param(lambda path: change(path, "PRAGMA user_version = 99"), "error", "has format 99", id="newer"),
]


@pytest.mark.parametrize(("damage", "state", "words"), FOUND)
def test_ledger_check_reports_damage_and_changes_nothing(
    examined: Examined, ledger: Path, damage: Callable[[Path], None], state: str, words: str
) -> None:
    """
    Damage is reported, and neither the ledger nor any file next to it changes.
    """
    damage(ledger)
    before = everything(ledger.parent)

    found = examined.worst(files.ledger)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "error") == bool(found.fix)
    assert before == everything(ledger.parent)


def test_damaged_copies_are_a_warning(examined: Examined, ledger: Path) -> None:
    """
    Copies that were moved away are a sign of a failing disk.
    """
    for number in (1, 2):
        made(ledger.with_name(f"ledger.db.damaged-{number}"))

    intact, damaged = examined.all(files.ledger)

    assert ("ok", "warning") == (intact.state, damaged.state)
    assert "2 damaged copies are next to it" in damaged.detail


@unix
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="platform: root can read every file")
def test_unreadable_ledger_is_an_error(examined: Examined, ledger: Path) -> None:
    """
    It is not reported as damage.
    """
    ledger.chmod(0)

    found = examined.worst(files.ledger)

    assert ("error", True) == (found.state, "cannot be read" in found.detail)


def test_ledger_check_does_not_disturb_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The latest changes are checked as well, and the daemon continues to write.
    """
    with DaemonProcess.running(tmp_path / "home") as daemon:
        daemon.client.pairings()
        assert daemon.folders.ledger_file.exists()
        examined = Examined(monkeypatch, tmp_path / "home")

        found = [examined.worst(files.ledger) for _ in range(3)]

        assert ["ok"] * 3 == [one.state for one in found]
        status = daemon.client.status().ledger
        assert status is not None
        assert "ok" == status.state


def test_ledger_of_a_killed_daemon_is_checked(examined: Examined, ledger: Path) -> None:
    """
    The latest changes are in the write-ahead log then, which stays unchanged.
    """
    program = """
import os, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("UPDATE apps SET name = 'written last'")
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", program, str(ledger)], check=True)
    log = ledger.with_name("ledger.db-wal")
    before = log.read_bytes()

    found = examined.worst(files.ledger)

    assert found.state in {"ok", "warning"}
    assert "intact" in found.detail
    assert before == log.read_bytes()


def test_ledger_check_prints_one_line_of_json(ledger: Path) -> None:
    """
    The child process prints neither warnings nor tracebacks.
    """
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.ledger.check", str(ledger)]

    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ("ok", "") == (json.loads(ran.stdout)["state"], ran.stderr)
