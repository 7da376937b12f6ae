"""Text in man pages: it is shown as it was written, and nothing in it is interpreted as a request."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from install import manual


def rendered(*lines: str) -> str:
    """Return groff's output for lines of a page, without the page around it. Warnings fail the test."""
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
def test_special_characters_are_shown_unchanged(text: str) -> None:
    """
    Leading dots and apostrophes, backslashes, hyphens, and quotes are shown unchanged.
    """
    assert text == rendered(manual.prose(text))
    assert f"    {text}" == rendered(*manual.verbatim(text))


def test_random_text_is_shown_unchanged() -> None:
    """
    The words of any text are shown, and in an example its spaces as well.
    """
    printable = [chr(code) for code in range(32, 127) if chr(code) != "`"]
    generator = random.Random(1)
    texts = ["".join(generator.choices(printable, k=generator.randint(1, 60))) for _ in range(200)]
    texts += [first + second for first in printable for second in "'.\\-(["]

    found = rendered(
        *manual.verbatim("\n".join(texts)), *(line for text in texts for line in (".br", manual.prose(text)))
    )

    lines = found.split("\n")
    assert [f"    {text}".rstrip() for text in texts] == lines[: len(texts)]
    assert [text.split() for text in texts] == [line.split() for line in lines[len(texts) :]]


def test_quoted_code_becomes_bold() -> None:
    """
    Text in backquotes is bold, without them; a single backquote is shown.
    """
    assert r"Stop it with \fBupstash\-helper stop\fR." == manual.prose("Stop it with `upstash-helper stop`.")
    assert r"a \(ga b" == manual.prose("a ` b")


def test_verbatim_text_keeps_its_lines() -> None:
    """
    Indentation, empty lines, and a leading dot are kept.
    """
    text = "one:\n\n  two\n.three"

    assert "    one:\n\n      two\n    .three" == rendered(*manual.verbatim(text))


def test_lines_are_joined_to_a_paragraph() -> None:
    """
    A paragraph is one line of the page, so that no word of it begins a line.
    """
    assert "see\n.profile" != manual.prose("see\n.profile")
    assert "see .profile" == rendered(manual.prose("see\n.profile"))


def test_control_characters_are_replaced() -> None:
    """
    An escape sequence does not reach the reader's terminal.
    """
    assert "a\N{REPLACEMENT CHARACTER}[31mb" == rendered(manual.prose("a\x1b[31mb"))


def test_macro_argument_may_contain_spaces_and_quotes() -> None:
    """
    Spaces and quotes do not end an argument.
    """
    assert r'.TH "A \(dqB\(dq" "1"' == manual.macro("TH", 'A "B"', "1")
