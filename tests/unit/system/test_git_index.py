"""Whether Git tracks a file: read from what the real ``git`` has written, without running it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from upstash_helper.system import git_ignore
from upstash_helper.system.git_index import Unreadable, is_tracked

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="platform: git is not installed")

_SETTINGS = ("user.name=A", "user.email=a@example.com", "protocol.file.allow=always", "init.defaultBranch=main")


def git(folder: Path, *arguments: str) -> None:
    """Run ``git`` in a folder."""
    settings = [word for one in _SETTINGS for word in ("-c", one)]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def repository(folder: Path, *files: str, version: int = 2, object_format: str = "sha1") -> Path:
    """Create a repository that tracks ``files``."""
    folder.mkdir()
    git(folder, "init", f"--object-format={object_format}")
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("A=1\n")
    git(folder, "add", "--force", "--all")
    git(folder, "update-index", f"--index-version={version}")
    git(folder, "commit", "--allow-empty", "--message=x")
    return folder.resolve()


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
@pytest.mark.parametrize("version", [2, 3, 4])
def test_tracked_files_are_found_in_every_format(tmp_path: Path, version: int, object_format: str) -> None:
    """Names of any length, and those that share a beginning, which version 4 stores once."""
    long = "a/" + "n" * 200 + ".env"
    tracked = [".env", "a/b.env", "a/bc.env", long, "é/.env"]
    root = repository(tmp_path / "r", *tracked, *map(str, range(40)), version=version, object_format=object_format)
    (root / "planned").touch()
    git(root, "add", "--intent-to-add", "planned")  # needs extended entries

    assert all(is_tracked(root / name) for name in (*tracked, "planned"))
    assert not any(is_tracked(root / name) for name in (".env.local", "a/.env", "b.env", "a", "é/.env2"))


def test_names_are_compared_as_on_any_file_system(tmp_path: Path) -> None:
    """Those of macOS and Windows ignore case, and macOS takes both forms of an accent for the same."""
    root = repository(tmp_path / "r", ".env", "caf\u00e9/.env")

    assert is_tracked(root / ".ENV")
    assert is_tracked(root / "cafe\u0301" / ".Env")


def test_linked_working_tree_and_submodule_have_their_own_index(tmp_path: Path) -> None:
    """Their ``.git`` is a file, with an absolute or a relative path."""
    root = repository(tmp_path / "r", ".env")
    git(root, "worktree", "add", str(tmp_path / "linked"))
    git(root, "rm", ".env")
    outer = repository(tmp_path / "outer", "other.env")
    git(outer, "submodule", "add", str(root), "inner")
    linked = (tmp_path / "linked").resolve()

    assert all((folder / ".git").is_file() for folder in (linked, outer / "inner"))
    assert [False, True, True] == [is_tracked(folder / ".env") for folder in (root, linked, outer / "inner")]
    assert not is_tracked(linked / "other.env")


def test_every_repository_around_a_file_counts(tmp_path: Path) -> None:
    """The outer one may track a file from before the inner one was created."""
    outer = repository(tmp_path / "outer", "a/.env")
    git(outer / "a", "init")

    assert is_tracked(outer / "a" / ".env")
    assert not is_tracked(outer / "a" / "b.env")


def test_split_index_is_read_with_its_shared_part(tmp_path: Path) -> None:
    """Files from before and after it was split."""
    root = repository(tmp_path / "r", ".env")
    git(root, "update-index", "--split-index")
    (root / "new.env").touch()
    git(root, "add", "new.env")

    assert [True, True, False] == [is_tracked(root / name) for name in (".env", "new.env", "other.env")]


def test_new_repository_tracks_nothing(tmp_path: Path) -> None:
    """It has no index yet."""
    git(tmp_path, "init")

    assert not is_tracked(tmp_path.resolve() / ".env")


@pytest.mark.parametrize(
    "content",
    [b"", b"DIRC", b"DIRC\0\0\0\x09\0\0\0\0" + b"\0" * 20, b"DIRC\0\0\0\x02\xff\xff\xff\xff" + b"\0" * 100, b"x" * 200],
)
def test_damaged_index_is_not_taken_for_an_empty_one(tmp_path: Path, content: bytes) -> None:
    """It cannot be known then, and so nothing is written."""
    git(tmp_path, "init")
    (tmp_path / ".git" / "index").write_bytes(content)

    with pytest.raises(Unreadable, match="format"):
        is_tracked(tmp_path.resolve() / ".env")


def test_index_that_was_cut_off_is_not_read_halfway(tmp_path: Path) -> None:
    """At any byte."""
    root = repository(tmp_path / "r", "a", ".env")
    whole = (root / ".git" / "index").read_bytes()

    for length in range(len(whole)):
        (root / ".git" / "index").write_bytes(whole[:length])
        with pytest.raises(Unreadable):
            is_tracked(root / "unknown.env")


@pytest.mark.parametrize("folder", ["x" * 5000, "é" * 200])
def test_git_file_with_an_impossible_name_is_refused(tmp_path: Path, folder: str) -> None:
    """No file system has such a name, and asking for it is an error of its own."""
    (tmp_path / ".git").write_text(f"gitdir: {folder}", encoding="utf-8")

    with pytest.raises(Unreadable):
        is_tracked(tmp_path / ".env")


@pytest.mark.parametrize("text", ["", "gitdir:", "gitdir: /does/not/exist", "something: else", "gitdir: \0"])
def test_git_file_that_names_nothing_is_refused(tmp_path: Path, text: str) -> None:
    """Such as one of a linked working tree whose repository was moved."""
    (tmp_path / ".git").write_text(text)

    with pytest.raises(Unreadable, match=r"\.git"):
        is_tracked(tmp_path / ".env")


# --- ignored files ----------------------------------------------------------------------------------------------------

PATTERNS = """
# comment
.env
!keep/.env
/root.env
build/
*.local
**/deep/x.env
a/**/z.env
docs/*.env
[ab]c.env
[!q]z.env
\\!odd.env
trailing.env \x20
"""
NAMES = [
    ".env", "keep/.env", "sub/.env", "root.env", "sub/root.env", "build/a.env", "sub/build/b.env", ".env.local",
    "x/deep/x.env", "deep/x.env", "a/z.env", "a/b/c/z.env", "docs/y.env", "docs/sub/y.env", "ac.env", "cc.env",
    "qz.env", "rz.env", "!odd.env", "trailing.env", "free.env", "inner/free.env", "inner/excluded.env",
]  # fmt: skip


def test_ignored_files_are_those_that_git_ignores(tmp_path: Path) -> None:
    """Compared with the real ``git check-ignore``, name by name."""
    root = repository(tmp_path / "r", "README")
    (root / ".gitignore").write_text(PATTERNS)
    (root / "inner").mkdir()
    (root / "inner" / ".gitignore").write_text("free.env\r\n")
    (root / ".git" / "info" / "exclude").write_text("excluded.env\n")

    for name in NAMES:
        ran = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=root, check=False, timeout=60)
        assert ("not_ignored" if ran.returncode else "ignored") == git_ignore.state(root / name), name


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 7 + "*b", "*a" * 500 + "*b", "**/a*" * 150 + "b", "*" * 1000 + "b", "a/**/" * 200 + "b",
        "[!b]*" * 200 + "b", "x" + "**/" * 300 + "b", " " * 1000 + "b",
    ],
)  # fmt: skip
def test_no_pattern_takes_long(tmp_path: Path, pattern: str) -> None:
    """Trying the ways in which the asterisks can match one after another would not end: there are too many."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text(f"{pattern}\n" * 100)

    assert "not_ignored" == git_ignore.state(tmp_path / f".env.{'a' * 200}")
    assert "not_ignored" == git_ignore.state(tmp_path.joinpath(*["a"] * 90, ".env"))


@pytest.mark.parametrize("content", ["x\n" * 2001, f"{'x' * 1025}\n", "#" * (128 * 1024 + 1), f"x\n{' ' * 100_000}y\n"])
def test_more_patterns_than_are_read_are_not_taken_for_none(tmp_path: Path, content: str) -> None:
    """Nothing is said about the file then: one of them may ignore it."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text(content)

    assert "not_known" == git_ignore.state(tmp_path / ".env")


def test_patterns_of_all_folders_count_together(tmp_path: Path) -> None:
    """And a path has at most a hundred folders."""
    (tmp_path / ".git").mkdir()
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        folder.mkdir()
        (folder / ".gitignore").write_text("x\n" * 1001)

    assert ["not_ignored", "not_known"] == [git_ignore.state(tmp_path / name) for name in ("a/.env", "a/b/.env")]
    assert "not_known" == git_ignore.state(tmp_path.joinpath(*["c"] * 100, ".env"))


def test_name_of_a_folder_that_no_file_system_allows_is_passed_over(tmp_path: Path) -> None:
    """The patterns of the working tree still count."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "commondir").write_bytes(b"a\0b")
    (tmp_path / ".gitignore").write_text(".env\n")

    assert ["ignored", "not_ignored"] == [git_ignore.state(tmp_path / name) for name in (".env", "x.env")]


def test_file_outside_of_a_repository_is_neither(tmp_path: Path) -> None:
    """There is nothing to say about it."""
    assert "no_repository" == git_ignore.state(tmp_path / ".env")


@pytest.mark.parametrize("marker", [".jj", ".hg", ".sl", ".svn"])
def test_what_the_repository_of_another_program_ignores_is_not_known(tmp_path: Path, marker: str) -> None:
    """Its own list is not read. Git's counts only for what is in Git's working tree and in no other."""
    (tmp_path / "project" / marker).mkdir(parents=True)
    (tmp_path / "project" / "sub").mkdir()
    (tmp_path / "project" / ".gitignore").write_text(".env\n")

    assert "not_known" == git_ignore.state(tmp_path / "project" / ".env")
    assert "not_known" == git_ignore.state(tmp_path / "project" / "sub" / ".env")
    assert "no_repository" == git_ignore.state(tmp_path / ".env")
    outer = repository(tmp_path / "outer")
    (outer / ".gitignore").write_text("inner/\n")
    (outer / "inner" / marker).mkdir(parents=True)
    assert "not_known" == git_ignore.state(outer / "inner" / ".env")
    assert "not_ignored" == git_ignore.state(outer / ".env")


def test_patterns_of_git_count_where_another_program_shares_its_folder(tmp_path: Path) -> None:
    """As Jujutsu does, which ignores what Git ignores. So it is if Git's working tree is the inner one."""
    root = repository(tmp_path / "r")
    (root / ".jj").mkdir()
    (tmp_path / ".hg").mkdir()
    (root / ".gitignore").write_text(".env\n")

    assert ["ignored", "not_ignored"] == [git_ignore.state(root / name) for name in (".env", "x.env")]
