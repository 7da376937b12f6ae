"""Minimal edits of TOML."""

from __future__ import annotations

import tomllib

import pytest

from upstash_helper.cli.agents.errors import InvalidText
from upstash_helper.cli.agents.toml_text import value_of, with_table, without_table

PATH = ("mcp_servers", "upstash")
FIELDS = {"url": "http://localhost:3000/mcp"}
TABLE = '[mcp_servers.upstash]\nurl = "http://localhost:3000/mcp"\n'

AWKWARD = '''# Codex
model = "gpt # not a comment"

[mcp_servers."with.dot"] # a [comment]
command = """
[mcp_servers.upstash]
url = "only text"
"""
args = [ # the "arguments"
  "a]",
  '[b', ]

[[profiles]]
name = 'x'
"quoted key" = { a = "}", b = [1, 2] }
[profiles.more]
when = 2026-11-30T10:00:00Z
ratio = nan'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", TABLE),
        ("a = 1\n\n", f"a = 1\n\n{TABLE}"),
        ("a = 1\n", f"a = 1\n\n{TABLE}"),
        ("a = 1", f"a = 1\n\n{TABLE}"),
        ("a = 1\r\n", "a = 1\r\n\r\n" + TABLE.replace("\n", "\r\n")),
        (AWKWARD, f"{AWKWARD}\n\n{TABLE}"),
        ("[mcp_servers]\n", f"[mcp_servers]\n\n{TABLE}"),
        (
            "[mcp_servers.upstash.tools.list]\napproval_mode = 'approve'\n",
            f"[mcp_servers.upstash.tools.list]\napproval_mode = 'approve'\n\n{TABLE}",
        ),
    ],
)
def test_new_table_is_appended(before: str, after: str) -> None:
    """
    Everything that was there stays in front of it, byte for byte.
    """
    assert after == with_table(before, PATH, FIELDS)


@pytest.mark.parametrize("before", ["", "a = 1\n", "a = 1\r\n", "a = 1\n\n\n# end\n", f"{AWKWARD}\n"])
def test_removing_the_table_restores_the_text(before: str) -> None:
    """
    Also if others have changed something else in the meantime.
    """
    assert before == without_table(with_table(before, PATH, FIELDS), PATH)


def test_only_the_connection_of_an_existing_table_is_replaced() -> None:
    """
    The user's other keys, and what the agent has written about tools, stay.
    """
    before = """[mcp_servers.upstash] # mine
command = "npx" # the old one
args = [
  "-y", # yes
  "@upstash/mcp-server",
]
tool_timeout_sec = 30

# For npx
[mcp_servers.upstash.env]
KEY = "secret"

[mcp_servers.upstash.tools.redis_run_command]
approval_mode = "approve"
"""

    after = with_table(before, PATH, FIELDS, replaces={"command", "args", "env"})

    assert (
        """[mcp_servers.upstash] # mine
url = "http://localhost:3000/mcp"
tool_timeout_sec = 30

# For npx

[mcp_servers.upstash.tools.redis_run_command]
approval_mode = "approve"
"""
        == after
    )


def test_comments_of_the_next_table_stay_when_a_table_is_removed() -> None:
    """
    A comment between two tables is about the second one.
    """
    before = f"a = 1\n\n{TABLE}\n# About b\n[mcp_servers.b]\nurl = 'x'\n"

    assert "a = 1\n\n# About b\n[mcp_servers.b]\nurl = 'x'\n" == without_table(before, PATH)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \n", "is not valid TOML: line 2, column 5: invalid value"),
        ("[a\n", "line 1, column 3"),
        ("a = 1\na = 2\n", "line 2, column"),
        ('a = """', "line 1, column 8"),
        ("mcp_servers = { a = { url = 'x' } }\n", "has mcp_servers.upstash in a form"),
        ("mcp_servers = 1\n", "has mcp_servers.upstash in a form"),
        ("[mcp_servers]\nupstash = { url = 'x' }\n", "has mcp_servers.upstash in a form"),
        ("[mcp_servers]\nupstash.url = 'x'\n", "has mcp_servers.upstash in a form"),
        ("[[mcp_servers.upstash]]\nurl = 'x'\n", "has mcp_servers.upstash in a form"),
    ],
)
def test_text_that_cannot_be_edited_is_refused_with_its_place(text: str, problem: str) -> None:
    """
    It is not changed into something else.
    """
    with pytest.raises(InvalidText) as caught:
        with_table(text, PATH, FIELDS)

    assert problem in str(caught.value)


@pytest.mark.parametrize("value", ['say "hi"', "C:\\Zoë", "tab\tand\x7fdel", "line\nbreak", "🦊", ""])
def test_every_string_is_read_as_it_was_written(value: str) -> None:
    """
    Paths may have characters that TOML escapes.
    """
    after = with_table("", PATH, {"command": value, "args": [value, "b"], "env": {value or "A": value}})

    assert {"command": value, "args": [value, "b"], "env": {value or "A": value}} == tomllib.loads(after)[
        "mcp_servers"
    ]["upstash"]


def test_text_without_the_table_stays() -> None:
    """
    There is nothing to remove.
    """
    assert AWKWARD == without_table(AWKWARD, PATH)
    assert "mcp_servers" in value_of(AWKWARD)
