"""Tombstones: kept in a file of fixed size, or in another one if the first cannot be written."""

from __future__ import annotations

import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.security.test_t51_ledger import SMALL_DISK, fill
from tests.support.mounts import run_with_mounts
from upstash_helper.storage.tombstones import TombstoneFile

if TYPE_CHECKING:
    from pathlib import Path


async def test_t65_name_is_kept_until_it_is_removed(tmp_path: Path) -> None:
    """Another process finds exactly the names that were added and not removed; adding twice is the same as once."""
    path = tmp_path / "state" / "tombstones"
    tombstones = TombstoneFile(path)
    kept = [await tombstones.add(name) for name in ("app:1", "app:2", "app:1", "app:ü")]
    await tombstones.remove("app:2")
    await tombstones.remove("app:unknown")

    found = await TombstoneFile(path).load()

    assert [True] * 4 == kept
    assert [True, False, True, False] == [name in found for name in ("app:1", "app:2", "app:ü", "app:3")]


async def test_t65_file_has_its_final_size_from_the_beginning(tmp_path: Path) -> None:
    """It does not grow, so that it needs no space later, and only the user can read it."""
    path = tmp_path / "state" / "tombstones"
    tombstones = TombstoneFile(path)
    await tombstones.load()
    before = path.stat()

    kept = [await tombstones.add(f"app:{number}") for number in range(257)]

    assert [True] * 256 + [False] == kept
    assert (before.st_size, before.st_ino) == (path.stat().st_size, path.stat().st_ino)
    if sys.platform != "win32":
        assert 0o600 == stat.S_IMODE(before.st_mode)


async def test_t65_name_is_removed_from_the_second_file_if_the_first_cannot_be_used(tmp_path: Path) -> None:
    """Otherwise a key that the user has connected again would be deleted at the next start."""
    path, other = tmp_path / "tombstones", tmp_path / "second"
    path.mkdir()
    tombstones = TombstoneFile(path, other)
    kept = await tombstones.add("credential")

    await tombstones.remove("credential")

    path.rmdir()
    assert (True, False) == (kept, "credential" in await TombstoneFile(path, other).load())


async def test_t65_damaged_file_keeps_nothing_and_works(tmp_path: Path) -> None:
    """What another program wrote into it names nothing, and a link is not followed."""
    path, other = tmp_path / "tombstones", tmp_path / "second"
    path.write_bytes(b"x" * 50)
    path.chmod(0o600)
    tombstones = TombstoneFile(path, other)
    found = "app:1" in await tombstones.load()

    kept = await tombstones.add("app:1")

    assert (False, True) == (found, kept)
    assert "app:1" in await TombstoneFile(path, other).load()


async def use_full_disk(path: Path, folder: Path) -> dict[str, Any]:
    """Keep a name on a full disk, with and without a file."""
    tombstones = TombstoneFile(path)
    await tombstones.load()
    ballast = fill(folder)
    kept = await tombstones.add("app:1")
    without = await TombstoneFile(folder / "another").add("app:1")
    found = "app:1" in await TombstoneFile(path).load()
    ballast.unlink()
    return {"kept": kept, "found": found, "without": without}


def test_t65_full_disk_keeps_names(tmp_path: Path) -> None:
    """If the file was created before, it is changed in place. Otherwise the caller is told."""
    seen = run_with_mounts(SMALL_DISK, use_full_disk, tmp_path / "tombstones", tmp_path)

    assert {"kept": True, "found": True, "without": False} == seen


async def use_read_only_disk(folder: Path, runtime: Path) -> dict[str, Any]:
    """Keep a name while the first file cannot be written."""
    path, second = folder / "tombstones", runtime / "tombstones"
    await TombstoneFile(path, second).load()
    before = second.exists()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    kept = await TombstoneFile(path, second).add("app:1")
    return {"before": before, "kept": kept, "found": "app:1" in await TombstoneFile(path, second).load()}


async def remove_on_read_only_disk(folder: Path, runtime: Path) -> bool:
    """Keep a name in the second file and remove it again, while the first cannot be written."""
    paths = (folder / "tombstones", runtime / "tombstones")
    await TombstoneFile(*paths).load()
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    tombstones = TombstoneFile(*paths)
    await tombstones.add("app:1")
    await tombstones.remove("app:1")
    return "app:1" in await TombstoneFile(*paths).load()


def test_t65_name_in_the_second_file_is_removed(tmp_path: Path) -> None:
    """A file that cannot be written does not keep the others from being changed."""
    folders = [tmp_path / name for name in ("state", "run")]
    for folder in folders:
        folder.mkdir()

    assert not run_with_mounts("", remove_on_read_only_disk, *folders)


@pytest.mark.parametrize("names", [("state", "run")])
def test_t65_read_only_disk_uses_the_second_file(tmp_path: Path, names: tuple[str, str]) -> None:
    """It is created when it is needed."""
    folders = [tmp_path / name for name in names]
    for folder in folders:
        folder.mkdir()

    seen = run_with_mounts("", use_read_only_disk, *folders)

    assert {"before": False, "kept": True, "found": True} == seen
