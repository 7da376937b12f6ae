"""Purging removes a profile's files, and leaves those of other profiles."""

from __future__ import annotations

from pathlib import Path

from tests.support.install_context import listing
from tests.support.platforms import symbolic_links
from upstash_helper.service import purge
from upstash_helper.settings.config import load_profile
from upstash_helper.settings.profiles import Folders, locate
from upstash_helper.storage.credentials.delete_credential import entry_names


def create_profile(root: Path, profile: str) -> Folders:
    """Create a profile's folders with a file in each."""
    folders = locate(profile=profile, environ={"UPSTASH_HELPER_HOME": str(root)})[1]
    for folder in (folders.config, folders.state, folders.runtime, folders.logs):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file").write_text(profile)
    return folders


def remove(folders: Folders, profile: str, root: Path) -> None:
    """Purge a profile."""
    purge.remove(purge.profile_paths(folders, profile=profile, root=root), folders=folders)


def test_purging_the_default_profile_keeps_the_others(tmp_path: Path) -> None:
    """Other profiles, which are in subfolders of the default profile's folders, are kept."""
    root = tmp_path / "root"
    default, work = create_profile(root, "default"), create_profile(root, "work")

    remove(default, "default", root)
    left = listing(root)
    remove(work, "work", root)

    assert ["config", "log", "run", "state"] == sorted(path.partition("/")[0] for path in left)
    assert all("/profiles/work/" in path for path in left)
    assert [] == listing(root)


def test_purging_another_profile_keeps_the_default_one(tmp_path: Path) -> None:
    """The default profile is kept, without an empty folder for profiles."""
    root = tmp_path / "root"
    default, work = create_profile(root, "default"), create_profile(root, "work")

    remove(work, "work", root)
    left = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_dir())
    remove(default, "default", root)

    assert ["config", "log", "run", "state"] == left
    assert not root.exists()


def test_home_with_other_files_is_kept(tmp_path: Path) -> None:
    """`UPSTASH_HELPER_HOME` is not removed if it contains other files."""
    default = create_profile(tmp_path, "default")
    (tmp_path / "notes.txt").write_text("mine")

    remove(default, "default", tmp_path)

    assert ["notes.txt"] == listing(tmp_path)


def test_profile_named_like_a_folder(tmp_path: Path) -> None:
    """A profile called `config` does not own the default profile's folder `config`."""
    root = tmp_path / "root"
    folders = locate(profile="config", environ={"UPSTASH_HELPER_HOME": str(root)})[1]
    folders.config.mkdir(parents=True)
    (root / "config" / "config.toml").write_text("")

    remove(folders, "config", root)

    assert ["config/config.toml"] == listing(root)


@symbolic_links
def test_symbolic_links_are_not_followed(tmp_path: Path) -> None:
    """Symbolic links are not followed."""
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    folders = create_profile(root, "default")
    elsewhere.mkdir()
    (elsewhere / "file").write_text("theirs")
    (folders.state / "link").symlink_to(elsewhere)

    remove(folders, "default", root)

    assert ["elsewhere/file"] == listing(tmp_path)


def test_credentials_of_all_api_urls_are_found(tmp_path: Path) -> None:
    """A profile with another API URL may have a credential for that API and one for Upstash."""
    environ = {"UPSTASH_HELPER_HOME": str(tmp_path), "UPSTASH_HELPER_API_URL": "https://api.example.com"}

    names = entry_names(load_profile(profile="work", environ=environ))
    default = entry_names(load_profile(environ={}))

    assert [f"work at https://api.example.com in {tmp_path}", f"work in {tmp_path}"] == names
    assert ["default"] == default


def test_program_in_the_same_folder_is_kept(tmp_path: Path) -> None:
    """On macOS and Windows the program is in the same folder as settings and state, and is not removed."""
    folder = tmp_path / "upstash-helper"
    folders = Folders(config=folder, state=folder, runtime=tmp_path / "tmp" / "upstash-helper", logs=folder / "Logs")
    for path in ("config.toml", "ledger.db", "Logs/upstash-helper.log", "venv/bin/python", "bin/upstash-helper.cmd"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("")

    purge.remove(purge.profile_paths(folders, profile="default", root=None), folders=folders)

    assert ["bin/upstash-helper.cmd", "venv/bin/python"] == sorted(listing(folder))
