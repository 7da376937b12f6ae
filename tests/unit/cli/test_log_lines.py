"""The daemon's log as a person reads it."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from tests.support.until import until
from upstash_helper.cli.commands.service import followed, last, readable


def test_the_last_lines_are_shown(tmp_path: Path) -> None:
    """As many as there are, if there are fewer; none if there is no log."""
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\nthree\n")

    assert [["two", "three"], ["one", "two", "three"], []] == [last(log, 2), last(log, 9), last(log, 0)]
    assert [] == last(tmp_path / "none.log", 9)


def test_a_log_is_followed_beyond_its_end(tmp_path: Path) -> None:
    """Also when the daemon begins a new file, and when a line comes in two parts."""
    log = tmp_path / "a.log"
    log.write_text("old\nfirst\n")
    seen: list[str] = []

    def read() -> None:
        seen.extend(itertools.islice(followed(log, 1), 5))

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: "first" in seen)
    with log.open("a") as stream:
        stream.write("sec")
        stream.flush()
        stream.write("ond\n")
    until(lambda: "second" in seen)
    log.rename(tmp_path / "a.log.1")
    log.write_text("third\nfourth\nfifth\n")
    reader.join(30)

    assert ["first", "second", "third", "fourth", "fifth"] == seen


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('{"time":"x","level":"info","logger":"a","event":"ready","pid":7}', "x INFO    ready  pid=7"),
        ('{"time":"x","level":"error","event":"e","detail":"two words"}', 'x ERROR   e  detail="two words"'),
        ('{"event":"\\u001b[31m"}', "         \N{REPLACEMENT CHARACTER}[31m"),
        ("no JSON \x1b[31m", "no JSON \N{REPLACEMENT CHARACTER}[31m"),
    ],
)
def test_a_line_is_readable_and_does_nothing_to_the_terminal(line: str, wanted: str) -> None:
    """Its time, how bad it is, what happened, and the values."""
    assert wanted == readable(line)
