"""Which files Git ignores: any patterns, compared with the real ``git``."""

from __future__ import annotations

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
        ran = subprocess.run(
            ["git", "check-ignore", "--stdin", "-z"], input="\0".join(names).encode(), cwd=root, check=False,
            capture_output=True, timeout=60,
        )  # fmt: skip
        expected = set(ran.stdout.decode().split("\0")) - {""}

        assert expected == {name for name in names if git_ignore.state(root / name) == "ignored"}
