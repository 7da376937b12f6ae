"""Text in manual pages: what is written is what is read, and nothing in it is taken for a request."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from upstash_helper.cli.manual import pages


def rendered(*lines: str) -> str:
    """Return what groff makes of lines of a page, without the page around it and without a complaint."""
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    head = (".TH T 1", ".nh", ".ad l", ".ll 500n", ".SH NAME", "start", ".PP")
    page = "\n".join([*head, *lines, ".PP", "end"]) + "\n"
    command = [groff, "-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=500n"]
    done = subprocess.run(command, input=page.encode("ascii"), capture_output=True, check=True)
    assert not done.stderr
    body = done.stdout.decode().partition("start\n")[2].rpartition("end\n")[0]
    return "\n".join(line.removeprefix("       ").rstrip() for line in body.rstrip().lstrip("\n").split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        ".so /etc/passwd", "'br", "'", ".", "...", "\\", "\\fBnot bold\\fR", "C:\\new\\folder", "\\n(yr", "--port",
        "a - b", "don't \"quote\" it", "a^b~c", "%, #, {host}, [x>=0], $HOME", "é, ü, …, –, 日本, \N{GRINNING FACE}",
        ".TH X 1", "\\\\", "-", "it's 'so'", "\\(aq", "*[PATH]", "\\*[x]",
    ],
)  # fmt: skip
def test_text_is_read_as_it_was_written(text: str) -> None:
    """
    Dots and apostrophes at the beginning, backslashes, hyphens and quotes: each comes out as itself.
    """
    assert text == rendered(pages.prose(text))
    assert f"    {text}" == rendered(*pages.example(text))


def test_any_line_is_read_as_it_was_written() -> None:
    """
    Whatever a help text may say, its words come out; in an example its spaces do, too.
    """
    printable = [chr(code) for code in range(32, 127) if chr(code) != "`"]
    chance = random.Random(1)
    texts = ["".join(chance.choices(printable, k=chance.randint(1, 60))) for _ in range(200)]
    texts += [first + second for first in printable for second in "'.\\-(["]

    found = rendered(*pages.example("\n".join(texts)), *(line for text in texts for line in (".br", pages.prose(text))))

    lines = found.split("\n")
    assert [f"    {text}".rstrip() for text in texts] == lines[: len(texts)]
    assert [text.split() for text in texts] == [line.split() for line in lines[len(texts) :]]


def test_quoted_code_becomes_bold() -> None:
    """
    What stands in backquotes is bold, without them; a backquote alone is one.
    """
    assert r"Stop it with \fBupstash\-helper stop\fR." == pages.prose("Stop it with `upstash-helper stop`.")
    assert r"a \(ga b" == pages.prose("a ` b")


def test_an_example_keeps_its_lines() -> None:
    """
    Indentation, empty lines and a dot in front stay.
    """
    text = "one:\n\n  two\n.three"

    assert "    one:\n\n      two\n    .three" == rendered(*pages.example(text))


def test_lines_are_joined_to_a_paragraph() -> None:
    """
    A paragraph is one line of the page, wherever its source was broken: none of its words begins one.
    """
    assert "see\n.profile" != pages.prose("see\n.profile")
    assert "see .profile" == rendered(pages.prose("see\n.profile"))


def test_a_terminal_is_told_nothing() -> None:
    """
    A control character becomes a mark: it does not reach the terminal of whoever reads the page.
    """
    assert "a\N{REPLACEMENT CHARACTER}[31mb" == rendered(pages.prose("a\x1b[31mb"))


def test_an_argument_of_a_macro_is_one() -> None:
    """
    Spaces and quotes do not end it.
    """
    assert r'.TH "A \(dqB\(dq" "1"' == pages.macro("TH", 'A "B"', "1")
