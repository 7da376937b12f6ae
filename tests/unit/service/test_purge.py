"""What purging takes away, and what is another profile's."""

from __future__ import annotations

from pathlib import Path

from tests.support.service_facts import listing
from upstash_helper.service import purge
from upstash_helper.settings.config import load_profile
from upstash_helper.settings.profiles import Folders, locate
from upstash_helper.storage.credentials.delete_credential import entry_names


def world(root: Path, profile: str) -> Folders:
    """Make a profile's folders with a file in each."""
    folders = locate(profile=profile, environ={"UPSTASH_HELPER_HOME": str(root)})[1]
    for folder in (folders.config, folders.state, folders.runtime, folders.logs):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(profile)
    return folders


def remove(folders: Folders, profile: str, root: Path) -> None:
    """Purge."""
    purge.remove(purge.folders_of(folders, profile=profile, root=root), folders=folders)


def test_the_usual_profile_goes_without_the_others(tmp_path: Path) -> None:
    """Whose folders are below its own."""
    root = tmp_path / "root"
    usual, work = world(root, "default"), world(root, "work")

    remove(usual, "default", root)
    left = listing(root)
    remove(work, "work", root)

    assert ["config", "log", "run", "state"] == sorted(path.partition("/")[0] for path in left)
    assert all("/profiles/work/" in path for path in left)
    assert [] == listing(root)


def test_another_profile_goes_without_the_usual_one(tmp_path: Path) -> None:
    """And leaves no empty folder of profiles."""
    root = tmp_path / "root"
    usual, work = world(root, "default"), world(root, "work")

    remove(work, "work", root)
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_dir())
    remove(usual, "default", root)

    assert ["config", "log", "run", "state"] == left
    assert not root.exists()


def test_a_root_with_something_else_in_it_stays(tmp_path: Path) -> None:
    """It may be the user's own folder."""
    usual = world(tmp_path, "default")
    (tmp_path / "notes.txt").write_text("mine")

    remove(usual, "default", tmp_path)

    assert ["notes.txt"] == listing(tmp_path)


def test_a_profile_that_is_called_like_a_folder_is_none(tmp_path: Path) -> None:
    """Its name alone does not make the root its own."""
    root = tmp_path / "root"
    folders = locate(profile="config", environ={"UPSTASH_HELPER_HOME": str(root)})[1]
    folders.config.mkdir(parents=True)
    (root / "config" / "config.toml").write_text("")

    remove(folders, "config", root)

    assert ["config/config.toml"] == listing(root)


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    """It is somewhere else's."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    folders = world(root, "default")
    elsewhere.mkdir()
    (elsewhere / "file").write_text("theirs")
    (folders.state / "link").symlink_to(elsewhere)

    remove(folders, "default", root)

    assert ["elsewhere/file"] == listing(tmp_path)


def test_the_keys_of_upstash_and_of_another_service_are_looked_for(tmp_path: Path) -> None:
    """A profile that is pointed at a sandbox may have had one of each."""
    environ = {"UPSTASH_HELPER_HOME": str(tmp_path), "UPSTASH_HELPER_API_URL": "https://api.example.com"}

    names = entry_names(load_profile(profile="work", environ=environ))
    usual = entry_names(load_profile(environ={}))

    assert [f"work at https://api.example.com in {tmp_path}", f"work in {tmp_path}"] == names
    assert ["default"] == usual


def test_the_program_in_the_same_folder_stays(tmp_path: Path) -> None:
    """On macOS and Windows one folder has settings, state and program, and it is the program that purges."""
    folder = tmp_path / "upstash-helper"
    folders = Folders(config=folder, state=folder, runtime=tmp_path / "tmp" / "upstash-helper", logs=folder / "Logs")
    for path in ("config.toml", "ledger.db", "Logs/upstash-helper.log", "venv/bin/python", "bin/upstash-helper.cmd"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")

    purge.remove(purge.folders_of(folders, profile="default", root=None), folders=folders)

    assert ["bin/upstash-helper.cmd", "venv/bin/python"] == sorted(listing(folder))
