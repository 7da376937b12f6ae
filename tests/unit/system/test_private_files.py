"""Private files and folders."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upstash_helper.system import private_files

unix = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no file modes")


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "credential.json"


@pytest.fixture(name="umask")
def _umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Return the permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_canceled_write_keeps_the_old_file(path: Path) -> None:
    """
    If nobody waits for the write any longer, the old file is kept.
    """
    private_files.write_durably(path, b"old")

    committed = private_files.write_durably(path, b"new", commit=lambda: False)

    assert not committed
    assert [b"old"] == [file.read_bytes() for file in path.parent.iterdir()]


@unix
@pytest.mark.parametrize("found", [0o640, 0o604, 0o620])
def test_read_rejects_a_file_that_others_can_access(tmp_path: Path, found: int) -> None:
    """
    Without ``fix_mode`` the file is not used, and its mode is unchanged.
    """
    path = tmp_path / "token"
    private_files.write(path, b"secret")
    path.chmod(found)

    with pytest.raises(private_files.NotPrivate, match=f"accessible to other users: its mode is {found:04o}"):
        private_files.read(path, limit=100)

    assert found == mode(path)


def test_read_returns_none_if_there_is_no_file(tmp_path: Path) -> None:
    """
    A missing file is not an error.
    """
    assert private_files.read(tmp_path / "token", limit=100) is None


@unix
def test_write_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    """
    The new file is private, and the file behind a link in its place is unchanged.
    """
    target = tmp_path / "target"
    target.write_bytes(b"unchanged")
    path = tmp_path / "token"
    path.symlink_to(target)

    private_files.write(path, b"secret")

    assert (b"secret", 0o600, False) == (path.read_bytes(), mode(path), path.is_symlink())
    assert b"unchanged" == target.read_bytes()


@unix
def test_write_leaves_no_partial_file(tmp_path: Path) -> None:
    """
    If the file cannot be replaced, its temporary file is removed.
    """
    (tmp_path / "token").mkdir()

    with pytest.raises(OSError, match="token"):
        private_files.write(tmp_path / "token", b"secret")

    assert ["token"] == [path.name for path in tmp_path.iterdir()]


def test_create_does_not_replace_a_file(tmp_path: Path) -> None:
    """
    An existing file is an error, and is unchanged.
    """
    path = tmp_path / "report"
    private_files.create(path, b"first")

    with pytest.raises(FileExistsError):
        private_files.create(path, b"second")

    assert b"first" == path.read_bytes()


@unix
def test_opener_restricts_the_mode_of_an_existing_file(tmp_path: Path) -> None:
    """
    A log that an earlier version created with a wider mode is closed to other users.
    """
    path = tmp_path / "log"
    path.write_text("one\n")
    path.chmod(0o644)

    with open(path, "a", encoding="utf-8", opener=private_files.opener) as log:
        log.write("two\n")

    assert (0o600, "one\ntwo\n") == (mode(path), path.read_text())


@unix
def test_opener_rejects_links(tmp_path: Path) -> None:
    """
    Nothing is written to the target of a link.
    """
    (tmp_path / "target").touch()
    (tmp_path / "log").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic links"):
        open(tmp_path / "log", "a", encoding="utf-8", opener=private_files.opener)  # noqa: SIM115 - it fails


@unix
def test_make_folder_creates_private_folders_and_changes_no_existing_one(tmp_path: Path, umask: None) -> None:
    """
    Every folder that is created has mode 0700.
    """
    tmp_path.chmod(0o755)

    private_files.make_folder(tmp_path / "a" / "b")

    assert [0o755, 0o700, 0o700] == [mode(tmp_path), mode(tmp_path / "a"), mode(tmp_path / "a" / "b")]


@unix
def test_secure_folder_closes_a_folder_to_other_users(tmp_path: Path) -> None:
    """
    An existing folder of the user gets mode 0700.
    """
    tmp_path.chmod(0o755)

    private_files.secure_folder(tmp_path)

    assert 0o700 == mode(tmp_path)


@unix
def test_folder_checks_reject_links_and_open_folders(tmp_path: Path) -> None:
    """
    A link is rejected by both checks; a folder that is open to others is rejected where it must not be changed.
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(folder)

    for check in (private_files.secure_folder, private_files.check_folder):
        with pytest.raises(private_files.NotPrivate, match="is a symbolic link"):
            check(link)
    with pytest.raises(private_files.NotPrivate, match="is open to other users: its mode is 0755"):
        private_files.check_folder(folder)

    assert 0o755 == mode(folder)


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no fcntl")
def test_macos_also_empties_the_cache_of_the_drive(tmp_path: Path) -> None:
    """There, fsync(2) would not."""
    calls: list[tuple[int, int]] = []

    with (tmp_path / "file").open("wb") as file:
        private_files.sync(file.fileno(), platform="darwin", control=lambda *call: calls.append(call))
        private_files.sync(file.fileno(), platform="linux", control=lambda *call: calls.append(call))

    assert [51] == [operation for _, operation in calls]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no fcntl")
def test_file_system_without_that_is_synced_normally(tmp_path: Path) -> None:
    """Such as one on a network. A closed file shows that fsync(2) is called."""

    def unsupported(_descriptor: int, _operation: int) -> None:
        raise OSError(45, "Operation not supported")

    with (tmp_path / "file").open("wb") as file:
        private_files.sync(file.fileno(), platform="darwin", control=unsupported)
    with pytest.raises(OSError, match="Bad file descriptor"):
        private_files.sync(9999, platform="darwin", control=unsupported)
