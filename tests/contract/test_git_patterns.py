"""Which files Git ignores: any patterns, and files of patterns that are links, compared with the real ``git``."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from upstash_helper.system import git_ignore

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="platform: git is not installed")


# Parts of patterns, each with a meaning of its own, and names that they could match.
PARTS = [
    *("a", "b", "é", "-", "]", " ", "\t", "\r", "\0", "\\", "\\*", "!", "#", "/", "?"),
    *("*", "**", "***", "**/", "/**", "[ab]", "[!a]", "[^b]", "[a-c]", "[]a]", "[", "[[:alpha:]]", "[[:x:]]"),
]
PATHS = [
    "/".join(path)
    for path in (
        *(["a"], ["b"], ["ab"], ["aab"], ["c"], ["-"], ["]"], ["a b"], ["é"], ["a", "a"], ["a", "b"], ["b", "a"]),
        *(["ab", "a"], ["a", "b", "c"], ["b", "ab", "a"], ["a", "b", "a", "b"], ["-", "c", "aab"], ["!a"], ["#"]),
    )
]


@settings(deadline=None, max_examples=12)
@given(
    groups=st.lists(
        st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join), min_size=1, max_size=3),
        min_size=30,
        max_size=60,
    )
)
def test_patterns_match_what_git_matches(groups: list[list[str]]) -> None:
    """Any patterns, compared with ``git check-ignore``. Each group is in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        subprocess.run(["git", "init"], cwd=root, check=True, capture_output=True, timeout=60)
        for number, patterns in enumerate(groups):
            (root / f"{number}").mkdir()
            (root / f"{number}" / ".gitignore").write_bytes("\n".join(patterns).encode())
        names = [f"{number}/{path}" for number in range(len(groups)) for path in PATHS]

        assert ignored_by_git(root, names) == {name for name in names if git_ignore.state(root / name) == "ignored"}


def ignored_by_git(root: Path, names: list[str]) -> set[str]:
    """Return those of ``names`` that Git ignores in the repository at ``root``."""
    ran = subprocess.run(
        ["git", "check-ignore", "--stdin", "-z"], input="\0".join(names).encode(), cwd=root, check=False,
        capture_output=True, timeout=60,
    )  # fmt: skip
    return set(ran.stdout.decode().split("\0")) - {""}


def git_follows_links() -> bool:
    """Return whether this Git is older than 2.32, which still followed a ``.gitignore`` file that is a link."""
    ran = subprocess.run(["git", "version"], check=True, capture_output=True, text=True, timeout=60)
    version = re.search(r"(\d+)\.(\d+)", ran.stdout)
    assert version is not None
    return (int(version[1]), int(version[2])) < (2, 32)


def test_links_are_followed_where_git_follows_them(tmp_path: Path) -> None:
    """A ``.gitignore`` file that is a symbolic link has no patterns; ``info/exclude``, which is the user's own, has."""
    if git_follows_links():
        pytest.skip("platform: this git follows links")
    root = tmp_path.resolve() / "project"
    (root / "inner").mkdir(parents=True)
    subprocess.run(["git", "init"], cwd=root, check=True, capture_output=True, timeout=60)
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "exclude").unlink(missing_ok=True)
    names = [f"{folder}{name}" for folder in ("", "inner/") for name in (".env", ".env.local", ".env.test")]
    for target, pattern in (("patterns", ".env"), ("inner/patterns", ".env.local"), (".git/kept", ".env.test")):
        (root / target).write_text(f"{pattern}\n", encoding="ascii")
    try:
        (root / ".gitignore").symlink_to("patterns")
        (root / "inner" / ".gitignore").symlink_to(root / "inner" / "patterns")
        (root / ".git" / "info" / "exclude").symlink_to(root / ".git" / "kept")
    except OSError:
        pytest.skip("platform: this user cannot create symbolic links")

    expected = ignored_by_git(root, names)

    assert {".env.test", "inner/.env.test"} == expected
    assert expected == {name for name in names if git_ignore.state(root / name) == "ignored"}
