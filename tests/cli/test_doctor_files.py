"""``doctor`` on folders, files, the disk and the ledger: with real modes, owners, file systems and damage."""

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

STRANGER = 54_321


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
def test_what_is_not_there_yet_is_no_mistake(examined: Examined) -> None:
    """
    Before the first start there is neither a folder nor a file, and none is made by looking.
    """
    for check in (files.folders, files.files, files.disk, files.ledger):
        assert ["ok"] == [one.state for one in examined.all(check)]

    assert not examined.home.exists()


@unix
@pytest.mark.parametrize(("mode", "who"), [(0o777, "every user"), (0o770, "the users of its group")])
def test_a_folder_that_others_can_write_to_is_an_error(examined: Examined, mode: int, who: str) -> None:
    """
    Whose group it is does not make it the user's alone.
    """
    folder = examined.home / "state"
    folder.mkdir(parents=True)
    folder.chmod(mode)

    found = examined.worst(files.folders)

    assert ("error", f"{folder} can be written to by {who}") == (
        found.state,
        found.detail.removesuffix(" of this machine.").removesuffix("."),
    )
    assert f"chmod 700 {folder}" == found.fix


@unix
def test_a_file_in_the_place_of_a_folder_is_an_error(examined: Examined) -> None:
    """
    It is named; the helper would not be able to make the folder.
    """
    made(examined.home / "log")

    found = examined.worst(files.folders)

    assert ("error", f"{examined.home / 'log'} is no folder.") == (found.state, found.detail)


@root
def test_a_folder_of_somebody_else_is_an_error(examined: Examined) -> None:
    """
    Whoever owns it can put files there.
    """
    folder = examined.home / "run"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(folder, STRANGER, -1)

    found = examined.worst(files.folders)

    assert ("error", True) == (found.state, f"belongs to the user with id {STRANGER}" in found.detail)


@unix
@pytest.mark.parametrize(
    ("file", "mode", "state", "words"),
    [
        ("run/daemon.json", 0o644, "error", "can be read by others (mode 0644)"),
        ("state/credential.json", 0o640, "error", "can be read by others (mode 0640)"),
        ("state/ledger.db", 0o644, "warning", "can be read by others"),
        ("state/ledger.db-wal", 0o644, "warning", "can be read by others"),
        ("log/upstash-helper.log", 0o604, "warning", "can be read by others"),
        ("log/upstash-helper.log.1", 0o622, "error", "can be written by others"),
    ],
)
def test_a_file_that_is_not_the_users_alone_is_marked(
    examined: Examined, file: str, mode: int, state: str, words: str
) -> None:
    """
    An error where a secret is in it or others can write to it; the daemon mends the rest by itself when it starts.
    """
    path = made(examined.home / file, mode=mode)

    (found,) = examined.all(files.files)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert f"chmod 600 {path}" == found.fix


@unix
def test_files_as_they_should_be_are_counted(examined: Examined) -> None:
    """
    Those of a daemon that has run.
    """
    for file in ("run/daemon.json", "state/ledger.db", "log/upstash-helper.log"):
        made(examined.home / file)

    (found,) = examined.all(files.files)

    assert ("ok", "3 files, each yours alone") == (found.state, found.detail)


@unix
def test_a_link_is_an_error(examined: Examined, tmp_path: Path) -> None:
    """
    The helper makes none, so somebody else did.
    """
    (examined.home / "state").mkdir(parents=True, mode=0o700)
    (examined.home / "state" / "ledger.db").symlink_to(tmp_path / "elsewhere")

    (found,) = examined.all(files.files)

    assert ("error", True) == (found.state, "is a link" in found.detail)


@root
def test_a_file_of_somebody_else_is_an_error(examined: Examined) -> None:
    """
    Whatever its mode.
    """
    path = made(examined.home / "run" / "daemon.json")
    os.chown(path, STRANGER, -1)

    (found,) = examined.all(files.files)

    assert ("error", True) == (found.state, f"id {STRANGER}" in found.detail)


# --- the settings file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"port = ", "not valid TOML"), (b'client_id = "\xff"', "it is not UTF-8")],
    ids=["toml", "utf-8"],
)
def test_a_settings_file_that_cannot_be_read_is_an_error(examined: Examined, content: bytes, words: str) -> None:
    """
    With the reason, and where in the file it is.
    """
    made(examined.home / "config" / "config.toml").write_bytes(content)

    found = examined.worst(machine.settings_file)
    values = examined.worst(machine.settings)

    assert ("error", True) == (found.state, words in found.detail), found.detail
    assert "error" == values.state


@unix
def test_a_settings_file_that_others_can_write_is_an_error(examined: Examined) -> None:
    """
    Who can write it can send the sign-in elsewhere. That others can read it is fine: there is no secret in it.
    """
    file = made(examined.home / "config" / "config.toml", mode=0o664)
    before = examined.worst(machine.settings_file)
    file.chmod(0o644)
    after = examined.worst(machine.settings_file)

    assert ("error", f"chmod go-w '{file}'", "ok") == (before.state, before.fix, after.state)


# --- the disk ---------------------------------------------------------------------------------------------------------


async def disk_of(home: Path) -> list[dict[str, Any]]:
    """Return what is found where the home is a file system of its own."""
    ran = await run_cli("doctor", "--json", environment=clean_environment() | {"UPSTASH_HELPER_HOME": str(home)})
    return [one for one in ran.json["checks"] if one["name"] == "Disk"]


@pytest.mark.parametrize(("size", "state"), [("1m", "error"), ("50m", "warning")])
def test_a_disk_that_is_nearly_full_is_marked(tmp_path: Path, size: str, state: str) -> None:
    """
    Before it is full, and with how much is left.
    """
    home = tmp_path / "home"
    home.mkdir()

    (found,) = run_with_mounts(f'mount -t tmpfs -o size={size} tmpfs "$1"', disk_of, home)

    assert (state, True) == (found["state"], str(home) in found["detail"])
    assert "Free some space" in found["fix"]


# --- the ledger -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ledger(examined: Examined) -> Path:
    """A ledger with something in it, closed properly."""
    path = examined.facts.folders.ledger_file
    ledger = SqliteLedger(path)
    await fill(ledger)
    await ledger.close()
    return path


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return every file with its content and the time at which it was changed."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


def overwrite_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)


def lose_a_row_of_an_index(path: Path) -> None:
    """Do what only a thorough look finds: take from the table, and leave the index."""
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
    pytest.param(lambda _: None, "ok", f"format {len(MIGRATIONS)}, sound", id="sound"),
    pytest.param(overwrite_a_page, "error", "is damaged", id="a-page"),
    pytest.param(lose_a_row_of_an_index, "error", "is damaged", id="an-index"),
    pytest.param(lambda path: os.truncate(path, 5000), "error", "is damaged", id="cut-off"),
    pytest.param(lambda path: os.truncate(path, 0), "error", "is damaged", id="empty"),
    pytest.param(lambda path: path.write_bytes(b"{" * 9000), "error", "is damaged", id="no-database"),
    pytest.param(become_another_database, "error", "another program", id="another"),
    pytest.param(lambda path: change(path, "PRAGMA user_version = 99"), "error", "has format 99", id="newer"),
]


@pytest.mark.parametrize(("damage", "state", "words"), FOUND)
def test_the_ledger_is_looked_at_and_not_touched(
    examined: Examined, ledger: Path, damage: Callable[[Path], None], state: str, words: str
) -> None:
    """
    What is wrong with it is told, and not a byte of it or next to it is changed: mending is the daemon's.
    """
    damage(ledger)
    before = everything(ledger.parent)

    found = examined.worst(files.ledger)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "error") == bool(found.fix)
    assert before == everything(ledger.parent)


def test_damage_of_the_past_is_told(examined: Examined, ledger: Path) -> None:
    """
    Files that were moved aside are a hint that the disk fails.
    """
    for number in (1, 2):
        made(ledger.with_name(f"ledger.db.damaged-{number}"))

    sound, damaged = examined.all(files.ledger)

    assert ("ok", "warning") == (sound.state, damaged.state)
    assert "2 damaged files lie beside it" in damaged.detail


@unix
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="platform: root can read every file")
def test_a_ledger_that_cannot_be_read_is_an_error(examined: Examined, ledger: Path) -> None:
    """
    That it cannot be looked at is not called damage.
    """
    ledger.chmod(0)

    found = examined.worst(files.ledger)

    assert ("error", True) == (found.state, "cannot be read" in found.detail)


def test_the_ledger_of_a_running_daemon_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What the daemon wrote last is looked at as well, and it goes on writing.
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


def test_the_ledger_that_a_killed_program_left_is_looked_at(examined: Examined, ledger: Path) -> None:
    """
    What was written last is in a file of its own then, and stays there.
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
    assert "sound" in found.detail
    assert before == log.read_bytes()


def test_the_look_is_one_line_of_json(ledger: Path) -> None:
    """
    The child says what was found, and neither a warning nor a traceback.
    """
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.ledger.check", str(ledger)]

    ran = subprocess.run(command, capture_output=True, text=True, check=True)

    assert ("ok", "") == (json.loads(ran.stdout)["state"], ran.stderr)
