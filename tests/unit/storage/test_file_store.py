"""The ``CredentialStore`` port in a file."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from upstash_helper.broker.errors import StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.file_store import FileStore
from upstash_helper.system import private_files

API_KEY = "0f7a5c1e-made-up-key-9d2b"
CREDENTIAL = Credential(email="ada@example.com", api_key=Secret(API_KEY), method="oauth", since=1_790_000_000.0)

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


@unix
async def test_credential_file_is_private(path: Path, umask: None) -> None:
    """
    The file has mode 0600 and its folder 0700, whatever the umask.
    """
    await FileStore(path).save(CREDENTIAL)

    assert (0o600, 0o700) == (mode(path), mode(path.parent))


async def test_save_and_delete_leave_no_other_files(path: Path) -> None:
    """
    Saving leaves one file, and deleting none.
    """
    store = FileStore(path)

    await store.save(CREDENTIAL)
    saved = [file.name for file in path.parent.iterdir()]
    await store.delete()

    assert ["credential.json"] == saved
    assert [] == list(path.parent.iterdir())


async def test_load_and_delete_create_no_folder(path: Path) -> None:
    """
    Neither loading nor deleting creates the folder.
    """
    await FileStore(path).load()
    await FileStore(path).delete()

    assert not path.parent.exists()


@unix
@pytest.mark.parametrize("found", [0o644, 0o660, 0o604])
async def test_t51_mode_of_a_readable_file_is_restricted(
    path: Path, caplog: pytest.LogCaptureFixture, found: int
) -> None:
    """
    A credential that other users can read is loaded, with a warning, and closed to them.
    """
    store = FileStore(path)
    await store.save(CREDENTIAL)
    path.chmod(found)
    caplog.clear()

    loaded = await store.load()

    assert (CREDENTIAL, 0o600) == (loaded, mode(path))
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


@unix
async def test_t51_mode_of_a_writable_folder_is_restricted(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """
    Other users can no longer replace the file.
    """
    path.parent.mkdir()
    path.parent.chmod(0o777)

    await FileStore(path).save(CREDENTIAL)

    assert 0o755 == mode(path.parent)
    assert "Other users could change" in caplog.text


@unix
@pytest.mark.parametrize("call", ["load", "save", "delete"])
async def test_t51_links_are_rejected(path: Path, tmp_path: Path, call: str) -> None:
    """
    A credential is not read, written or removed through a link, and the link's target is unchanged.
    """
    target = tmp_path / "target"
    target.write_text("as it was")
    path.parent.mkdir()
    path.symlink_to(target)
    store = FileStore(path)
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "load": store.load, "save": lambda: store.save(CREDENTIAL), "delete": store.delete
    }  # fmt: skip
    use = calls[call]

    with pytest.raises(StoreUnavailable, match="is a symbolic link"):
        await use()

    assert "as it was" == target.read_text()
    assert "unavailable" == store.health().state


@unix
async def test_file_of_another_user_is_rejected(path: Path) -> None:
    """
    A file that another user has put there is not used.
    """
    if os.getuid() == 0:
        private_files.write_durably(path, b"{}")
        os.chown(path, 12345, 12345)
    else:
        path = Path("/etc/passwd")

    with pytest.raises(StoreUnavailable, match=r"belongs to the user with ID \d+, not to you"):
        await FileStore(path).load()


@unix
async def test_fifo_is_rejected_without_blocking(path: Path) -> None:
    """
    A FIFO is rejected, and does not block the daemon.
    """
    path.parent.mkdir()
    os.mkfifo(path)

    with pytest.raises(StoreUnavailable, match="not a regular file"):
        await FileStore(path).load()


async def test_file_that_is_too_large_is_rejected(path: Path) -> None:
    """
    A file that cannot be a credential is not read into memory.
    """
    private_files.write_durably(path, b"x" * 70_000)

    with pytest.raises(StoreUnavailable, match="larger than 65536 bytes"):
        await FileStore(path).load()


async def test_t51_truncated_file_is_an_error_until_the_next_save(path: Path) -> None:
    """
    The error names a damaged file, and the next save replaces it.
    """
    store = FileStore(path)
    await store.save(CREDENTIAL)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(StoreUnavailable, match="is damaged, or another program wrote it"):
        await store.load()
    await store.save(CREDENTIAL)

    assert CREDENTIAL == await store.load()


async def test_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    """
    The error names the path and the reason.
    """
    (tmp_path / "state").write_text("a file")

    with pytest.raises(StoreUnavailable, match=r"credential\.json cannot be used: "):
        await FileStore(tmp_path / "state" / "credential.json").save(CREDENTIAL)


@unix
async def test_t51_full_disk_keeps_the_old_credential(path: Path) -> None:
    """
    If the new file cannot be written completely, the old one is unchanged and no partial file is left.
    """
    await FileStore(path).save(CREDENTIAL)
    # A limit on file sizes makes a write fail halfway, like a full disk. It cannot be undone, hence the process.
    program = f"""
        import resource
        from pathlib import Path
        from upstash_helper.system import private_files

        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            private_files.write_durably(Path({str(path)!r}), b"x" * 5000)
        except OSError as error:
            print(error.strerror)
    """

    ended = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=20, check=False
    )

    assert "File too large\n" == ended.stdout, ended.stderr
    assert ["credential.json"] == [file.name for file in path.parent.iterdir()]
    assert CREDENTIAL == await FileStore(path).load()


async def test_partial_file_of_a_killed_process_is_removed(path: Path) -> None:
    """
    Deleting also removes the partial file of a process that was killed during a write.
    """
    store = FileStore(path)
    await store.save(CREDENTIAL)
    left = path.with_name(".credential.json.new")
    left.write_text(API_KEY)

    await store.delete()

    assert [] == list(path.parent.iterdir())
