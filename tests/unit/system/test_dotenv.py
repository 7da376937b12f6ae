"""Changing variables in a ``.env`` file: everything else stays, and every reader sees the new value."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest

from upstash_helper.system.dotenv import SeveralLines, SharedLine, quoted, update

URL, TOKEN = "https://eu1.upstash.io", "AbC-_0123=="
NEW = {"UPSTASH_REDIS_REST_URL": URL, "UPSTASH_REDIS_REST_TOKEN": TOKEN}
LINES = f'UPSTASH_REDIS_REST_URL="{URL}"\nUPSTASH_REDIS_REST_TOKEN="{TOKEN}"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("", LINES, id="empty"),
        pytest.param("A=1\n", f"A=1\n{LINES}", id="added at the end"),
        pytest.param("A=1", f"A=1\n{LINES}", id="no final newline"),
        pytest.param("A=1\r\n", "A=1\r\n" + LINES.replace("\n", "\r\n"), id="CRLF"),
        pytest.param("A=1\r\nB=2", "A=1\r\nB=2\r\n" + LINES.replace("\n", "\r\n"), id="CRLF, no final newline"),
        pytest.param("A=1\rB=2\r", "A=1\rB=2\r" + LINES.replace("\n", "\r"), id="CR"),
        pytest.param("# UPSTASH_REDIS_REST_URL=x\n", f"# UPSTASH_REDIS_REST_URL=x\n{LINES}", id="in a comment"),
        pytest.param("MY_UPSTASH_REDIS_REST_URL=x\n", f"MY_UPSTASH_REDIS_REST_URL=x\n{LINES}", id="longer name"),
        pytest.param("upstash_redis_rest_url=x\n", f"upstash_redis_rest_url=x\n{LINES}", id="lower case"),
        pytest.param(
            'A="\nUPSTASH_REDIS_REST_URL=x\n"\n', f'A="\nUPSTASH_REDIS_REST_URL=x\n"\n{LINES}', id="in another value"
        ),
    ],
)
def test_missing_variables_are_added_at_the_end(before: str, after: str) -> None:
    """With the file's own line endings. No line is changed."""
    assert (after, ()) == update(before, NEW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UPSTASH_REDIS_REST_URL=old", f"UPSTASH_REDIS_REST_URL={URL}"),
        ("UPSTASH_REDIS_REST_URL=old # mine", f"UPSTASH_REDIS_REST_URL={URL} # mine"),
        ("UPSTASH_REDIS_REST_URL=old#not a comment", f"UPSTASH_REDIS_REST_URL={URL}"),
        ("export  UPSTASH_REDIS_REST_URL='o#ld'\t# mine", f"export  UPSTASH_REDIS_REST_URL='{URL}'\t# mine"),
        ('  UPSTASH_REDIS_REST_URL = "o#l\\"d" # "mine"', f'  UPSTASH_REDIS_REST_URL = "{URL}" # "mine"'),
        ("UPSTASH_REDIS_REST_URL=`old`", f'UPSTASH_REDIS_REST_URL="{URL}"'),
        ('UPSTASH_REDIS_REST_URL="never closed', f"UPSTASH_REDIS_REST_URL={URL}"),
        ('UPSTASH_REDIS_REST_URL="a"b', f"UPSTASH_REDIS_REST_URL={URL}"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", ""])
def test_value_is_replaced_in_its_own_style(before: str, after: str, newline: str) -> None:
    """``export``, spaces, quotes, and the comment behind it are kept."""
    rest = f"{newline}A=1" if newline else ""
    changed = update(f"X=1\n{before}{rest}", {"UPSTASH_REDIS_REST_URL": URL})

    assert (f"X=1\n{after}{rest}", ("UPSTASH_REDIS_REST_URL",)) == changed


@pytest.mark.parametrize(
    "text",
    [
        'UPSTASH_REDIS_REST_TOKEN="\nOTHER=1\nZ="\nE=2',
        "A=1\nUPSTASH_REDIS_REST_TOKEN='x\r\nOTHER='\r\n",
        "UPSTASH_REDIS_REST_TOKEN=a\nexport UPSTASH_REDIS_REST_TOKEN=`\rOTHER=1\r`",
    ],
)
def test_value_of_several_lines_is_not_replaced(text: str) -> None:
    """Its first quotation mark was never closed, and so the lines in it are other variables, which would be deleted."""
    with pytest.raises(SeveralLines, match=r"^The value of UPSTASH_REDIS_REST_TOKEN spans several lines\."):
        update(text, NEW)


@pytest.mark.parametrize(
    "line",
    [
        "export UPSTASH_REDIS_REST_URL=x UPSTASH_REDIS_REST_TOKEN=y KEEP=z",
        "UPSTASH_REDIS_REST_URL=x\tKEEP+=z # mine",
        "UPSTASH_REDIS_REST_URL= KEEP=z",
        'UPSTASH_REDIS_REST_URL="x" KEEP=z',
        "UPSTASH_REDIS_REST_URL=x; KEEP=z",
        "UPSTASH_REDIS_REST_URL=x;KEEP=z",
        "UPSTASH_REDIS_REST_URL=x && export KEEP=z",
        "UPSTASH_REDIS_REST_URL='x'; set +a",
        "UPSTASH_REDIS_REST_URL=x || true",
        "UPSTASH_REDIS_REST_URL=x\\",
        'UPSTASH_REDIS_REST_URL="x"\\',
        "UPSTASH_REDIS_REST_URL=\\",
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", ""])
def test_value_is_not_replaced_if_its_line_has_something_else(line: str, newline: str) -> None:
    """It would be deleted, or the next line would become a command."""
    with pytest.raises(SharedLine, match=r"^The line of UPSTASH_REDIS_REST_URL contains more than its value\."):
        update(f"A=1\n{line}{newline}" + ("b\n" if newline else ""), NEW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UPSTASH_REDIS_REST_URL=https://h/?a=b", f"UPSTASH_REDIS_REST_URL={URL}"),
        ("UPSTASH_REDIS_REST_URL=KEEP=z", f"UPSTASH_REDIS_REST_URL={URL}"),
        ("UPSTASH_REDIS_REST_URL=old --flag=x", f"UPSTASH_REDIS_REST_URL={URL}"),
        ("UPSTASH_REDIS_REST_URL=old # A=1; B=2 \\", f"UPSTASH_REDIS_REST_URL={URL} # A=1; B=2 \\"),
        ("UPSTASH_REDIS_REST_URL='a; B=1'", f"UPSTASH_REDIS_REST_URL='{URL}'"),
        ('UPSTASH_REDIS_REST_URL="a B=1\\\\"', f'UPSTASH_REDIS_REST_URL="{URL}"'),
    ],
)
def test_value_that_only_looks_like_more_is_replaced(before: str, after: str) -> None:
    """All of it is the value, or a comment, for every reader."""
    assert f"{after}\n" == update(f"{before}\n", {"UPSTASH_REDIS_REST_URL": URL}).text


@pytest.mark.skipif(shutil.which("sh") is None, reason="platform: no sh")
@pytest.mark.parametrize("end", ["\\", "\\\n"])
def test_variable_is_not_added_to_a_line_that_is_continued(end: str) -> None:
    """A shell would read it as the end of the last value."""
    text = update(f"X=a{end}", {"UPSTASH_REDIS_REST_URL": URL}).text

    ran = subprocess.run(
        ["sh", "-c", f'{text}echo "$X $UPSTASH_REDIS_REST_URL"'], capture_output=True, text=True, check=True
    )

    assert f"a {URL}\n" == ran.stdout


def test_quotation_mark_that_is_never_closed_deletes_nothing() -> None:
    """Without another one behind it, the value ends with its line."""
    before = 'UPSTASH_REDIS_REST_TOKEN="x\nOTHER=1\n'

    assert f"UPSTASH_REDIS_REST_TOKEN={TOKEN}\nOTHER=1\n" == update(before, {"UPSTASH_REDIS_REST_TOKEN": TOKEN}).text


MB = 1024 * 1024


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("A=x" + " " * MB + "y", id="spaces in a value"),
        pytest.param("A=x" + " #" * (MB // 2), id="comments"),
        pytest.param("A=x" + "#" * MB, id="no comments"),
        pytest.param("A=" + "\t" * MB + "y", id="tabs before a value"),
        pytest.param('A="' + " " * MB + '"' + " " * MB + "y", id="spaces in and behind quotes"),
        pytest.param('A="' + "x" * MB, id="never closed"),
        pytest.param('A="' + "\\" * MB + 'x"y', id="backslashes"),
        pytest.param("A='" + "\\'" * (MB // 2), id="escaped quotes"),
        pytest.param('A="x\n' * (MB // 5), id="quotes that are closed by the next"),
        pytest.param("A=\"\nA='\nA=`\n" * (MB // 12), id="all quotes"),
        pytest.param("A=`\n" + 'A="\\"\n' * (MB // 7), id="one escaped quote on each line"),
        pytest.param(" " * MB + "A", id="spaces in front"),
        pytest.param("export" + " " * MB + "=", id="export without a name"),
        pytest.param("export " * (MB // 7), id="many exports"),
        pytest.param("A" * MB, id="a name and no value"),
        pytest.param("A" + " " * MB + "B=", id="spaces in a name"),
        pytest.param("\n" * MB, id="blank lines"),
        pytest.param(" \r\n" * (MB // 3), id="lines of a space"),
        pytest.param("A=\n" * (MB // 3), id="empty values"),
        pytest.param("A=x" + " B" * (MB // 2), id="names behind a value"),
        pytest.param("A=x " + "B" * MB, id="a long name behind a value"),
    ],
)
def test_large_text_is_split_in_time(text: str) -> None:
    """
    No text makes this take the square of its length, which would be hours, and would stop all other threads meanwhile.
    """
    assert text == update(text, {}).text
    with contextlib.suppress(SeveralLines, SharedLine):
        update(text, {"A": "v"})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("UPSTASH_REDIS_REST_URL=", f'UPSTASH_REDIS_REST_URL="{URL}"'),
        ("UPSTASH_REDIS_REST_URL='' # fill in", f"UPSTASH_REDIS_REST_URL='{URL}' # fill in"),
        ("UPSTASH_REDIS_REST_URL= # fill in", f'UPSTASH_REDIS_REST_URL="{URL}" # fill in'),
    ],
)
def test_empty_value_counts_as_not_set(before: str, after: str) -> None:
    """Nothing is lost when it is filled in, so the user need not be asked."""
    assert (after, ()) == update(before, {"UPSTASH_REDIS_REST_URL": URL})


def test_all_assignments_of_a_variable_are_changed() -> None:
    """Readers differ in which of two counts."""
    before = "UPSTASH_REDIS_REST_URL=a\nB=2\nUPSTASH_REDIS_REST_URL='b'\n"

    changed = update(before, {"UPSTASH_REDIS_REST_URL": URL})

    assert f"UPSTASH_REDIS_REST_URL={URL}\nB=2\nUPSTASH_REDIS_REST_URL='{URL}'\n" == changed.text


@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_text_with_the_values_stays_as_it_is(quote: str) -> None:
    """Whatever its style, to the byte."""
    before = f"A=1\r\n\n  export UPSTASH_REDIS_REST_URL={quote}{URL}{quote}  # x\nUPSTASH_REDIS_REST_TOKEN='{TOKEN}'"

    assert (before, ()) == update(before, NEW)


def test_changing_a_file_twice_changes_nothing_more() -> None:
    """Also for values that need quotes."""
    values = {"A": "a'b", "B": 'a"$b', "C": "a'\"b\\", "D": "a b#c"}
    once = update("A=1\nB='2'\n", values)

    assert update(once.text, values).text == once.text


@pytest.mark.parametrize("value", ["plain", "with space", "a#b", "a'b", 'a"b', "$HOME", "`id`", "back\\slash", "x=="])
def test_shell_reads_what_was_written(value: str) -> None:
    """In every style in which a value can be replaced."""
    if shutil.which("sh") is None:
        pytest.skip("platform: this system has no sh")
    for before in ("V=old", "V='old'", 'V="old"', "V=", "X=1"):
        text = update(before, {"V": value}).text
        ran = subprocess.run(
            ["sh", "-c", f'{text}\nprintf %s "$V"'], capture_output=True, text=True, check=True, timeout=30
        )

        assert value == ran.stdout, text
    assert quoted(value)[0] in "\"'"
