"""The daemon's log as `service logs` prints it."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from tests.support.platforms import not_under_wine
from tests.support.until import until
from upstash_helper.cli.commands.service import follow_lines, format_line, last_lines


def test_last_lines_of_the_log(tmp_path: Path) -> None:
    """A shorter log is shown completely, and a missing one is empty."""
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo\nthree\n")

    assert [["two", "three"], ["one", "two", "three"], []] == [
        last_lines(log, 2),
        last_lines(log, 9),
        last_lines(log, 0),
    ]
    assert [] == last_lines(tmp_path / "none.log", 9)


@not_under_wine("reads nothing more after it has read up to the end of a file")
def test_following_survives_rotation_and_partial_lines(tmp_path: Path) -> None:
    """New lines appear after the file is rotated, and a line that is written in two parts is one line."""
    log = tmp_path / "a.log"
    log.write_bytes(b"old\nfirst\n")
    seen: list[str] = []

    def read() -> None:
        seen.extend(itertools.islice(follow_lines(log, 1), 5))

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: "first" in seen)
    with log.open("ab") as stream:
        stream.write(b"sec")
        stream.flush()
        stream.write(b"ond\n")
    until(lambda: "second" in seen)
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"third\nfourth\nfifth\n")
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
def test_line_is_formatted_without_control_characters(line: str, wanted: str) -> None:
    """A line has its time, level, event, and values."""
    assert wanted == format_line(line)
