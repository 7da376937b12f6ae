"""Our lines in a file of the user."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from upstash_helper.cli.sandbox.managed_lines import BEGIN, END, AlreadySet, NoEnd, update, with_lines
from upstash_helper.system import confined_files

if TYPE_CHECKING:
    from pathlib import Path


def changed(content: str, *, first: bool = False) -> str:
    return with_lines(content, ['NEW="1"'], names=["NEW"], first=first)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "content",
    ["", "A=1\n", "A=1\r\nB=2\r\n", "A=one\u2028line\n", "A=form\x0cfeed\x1cand more\x85\n", 'A="\n  two lines\n\n"\n'],
)
def test_other_lines_stay_as_they_are(content: str, *, first: bool) -> None:
    """
    Byte for byte, with their line endings, and with characters that only str.splitlines() takes for the end of a line.
    """
    once = changed(content, first=first)
    twice = changed(once.replace('NEW="1"', 'NEW="0"'), first=first)

    newline = "\r\n" if "\r\n" in content else "\n"
    ours = newline.join([BEGIN, 'NEW="1"', END, ""])
    assert (ours + content if first else content + ours) == once == twice


def test_last_line_without_a_line_end_gets_one() -> None:
    """
    Otherwise, our first line would be a part of it.
    """
    assert changed("A=1") == f'A=1\n{BEGIN}\nNEW="1"\n{END}\n'


@pytest.mark.parametrize("after", ["SECRET=of the user\n", f'SECRET=of the user\n{BEGIN}\nNEW="1"\n{END}\n'])
def test_lines_without_an_end_delete_nothing(after: str) -> None:
    """
    If the user has deleted the line that ends ours, the lines after it may be the user's: an error with its place.
    """
    with pytest.raises(NoEnd) as caught:
        changed(f"A=1\n{BEGIN}\nNEW=1\n{after}")

    assert 2 == caught.value.line
    assert END in str(caught.value)


@pytest.mark.parametrize("line", ["NEW=2", "export NEW=2", "  NEW = 2", 'NEW="\nOTHER=1\nZ="'])
def test_line_of_the_user_that_sets_one_of_the_names(line: str) -> None:
    """
    It is an error with its place, also behind our lines.
    """
    with pytest.raises(AlreadySet) as caught:
        changed(f"{BEGIN}\nNEW=1\n{END}\n{line}\n")

    assert ("NEW", 4) == (caught.value.name, caught.value.line)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: links need privileges on Windows")
def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    """
    It leads to no file.
    """
    file = tmp_path / ".env"
    file.symlink_to(file)

    with pytest.raises(confined_files.Refused, match="is a link"):
        update(file, ["A=1"], names=["A"])
