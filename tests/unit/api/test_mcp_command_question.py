"""The question before commands run that destroy much, and their audit entry: what matters is never cut."""

from __future__ import annotations

import pytest

from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.api.mcp.tools import command_rules as rules
from upstash_helper.api.mcp.tools.command_question import MAX_TEXT, question
from upstash_helper.api.mcp.tools.commands import MAX_COMMANDS, audit_target
from upstash_helper.broker.apps.display_text import clean
from upstash_helper.broker.audit import MAX_TEXT_BYTES, shortened
from upstash_helper.broker.confirmations import MAX_DETAIL_TEXT, MAX_TITLE_TEXT
from upstash_helper.broker.models import Database
from upstash_helper.broker.ports import Command

DATABASE = Database(
    id="i" * 128, name="n" * 80, state="active", host="h" * 253, port=6379, tls=True, rest_url="https://h", plan="free",
    primary_region="r" * 40, created_at=1_700_000_000,
)  # fmt: skip
KEYS = ("k",) * 9_999
"""As many as a command can have."""


def every_command() -> tuple[Command, ...]:
    """Return each command that needs a confirmation, with as many keys as possible, and the longest text."""
    plain: list[Command] = [tuple(name.split()) for name in rules.DESTROYS]
    many: list[Command] = [(name, *KEYS) for name in rules.MANY if name != "MSETEX"]
    many.append(("MSETEX", 4998, *KEYS[:-1]))
    commands = [*plain, *many * (MAX_COMMANDS // len(many))]
    shown = question(rules.to_confirm(tuple(commands)), DATABASE).detail.partition("Commands: ")[2]
    return (*commands, ("EVAL", "x" * (MAX_TEXT - len(shown) - len("; EVAL "))))


def test_the_longest_question_fits_where_it_is_shown() -> None:
    """Its names and effects are all of the table, its text is as long as one can be, and nothing of it is cut."""
    commands = every_command()

    asked = question(rules.to_confirm(commands), DATABASE)

    assert clean(asked.title, MAX_TITLE_TEXT) == asked.title
    assert clean(asked.detail, MAX_DETAIL_TEXT) == asked.detail
    assert MAX_TEXT == len(asked.detail.partition("Commands: ")[2])
    for name, effect in rules.DESTROYS.items():
        assert name in asked.title
        assert f"{name} {effect}" in asked.detail
        assert f"; {name}; " in asked.detail.replace("Commands: ", "; ")


def test_one_character_more_is_refused() -> None:
    """The limit is exact."""
    *others, last = every_command()

    with pytest.raises(ToolError, match="Send fewer or shorter commands"):
        question(rules.to_confirm((*others, (*last[:-1], f"{last[-1]}x"))), DATABASE)


@pytest.mark.parametrize("key", ['"' * 100, "\\" * 100, "é\u202e" * 100, "\U0001f600" * 100, "\n" * 100, ""])
def test_any_keys_can_be_deleted(key: str) -> None:
    """Of keys, so little is shown that the question about deletions alone always fits."""
    commands: tuple[Command, ...] = (("DEL", *(key,) * 51), ("UNLINK", *(key,) * 51))

    asked = question(rules.to_confirm(commands), DATABASE)

    assert "UNLINK with 51 keys" in asked.detail
    assert clean(asked.detail, MAX_DETAIL_TEXT) == asked.detail


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("function", "load", "Replace", "code"), "FUNCTION LOAD REPLACE"),
        (("FUNCTION", "LOAD", "code"), "FUNCTION LOAD"),
        (("FUNCTION", "FLUSH", "REPLACE"), "FUNCTION FLUSH"),
    ],
)
def test_a_name_has_what_decides_what_the_command_does(command: Command, name: str) -> None:
    """Only a library that takes the place of another one needs a confirmation."""
    assert name == rules.name_of(command)
    assert (name in rules.DESTROYS) == bool(rules.to_confirm((command,)))


@pytest.mark.parametrize("database_id", ["i" * 36, "i" * 128])
@pytest.mark.parametrize("other", ["X", "X" * 300, "é" * 40, "\ud800", "\n"])
def test_the_audit_log_shows_the_worst_command_whatever_else_is_sent(database_id: str, other: str) -> None:
    """The target is never longer than the log keeps, so that it is not cut again, in its middle."""
    harmless: list[Command] = [(f"{number}{other}", "x") for number in range(MAX_COMMANDS - len(rules.DESTROYS))]
    worst_last: list[Command] = [tuple(name.split()) for name in reversed(rules.DESTROYS)]

    target = audit_target(database_id, (*harmless, *worst_last))

    assert target == shortened(target, MAX_TEXT_BYTES)
    assert target.startswith(f"{database_id} FLUSHALL, FLUSHDB, ")
    assert target.endswith(" more")


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("DEL", "a", "b"), ("a", "b")),
        (("mset", "a", 1, "b", 2), ("a", "b")),
        (("MSET", "a", 1, "b"), ("a", "b")),
        (("JSON.MSET", "a", "$", "{}", "b", "$", "{}"), ("a", "b")),
        (("MSETEX", "2", "a", 1, "b", 2, "EX", 60), ("a", "b")),
        (("MSETEX", 2, "a", 1, "b", 2), ("a", "b")),
        (("MSETEX", "-1", "a", 1), ()),
        (("MSETEX", "9" * 5000, "a", 1), ()),
        (("MSETEX",), ()),
        (("MSET",), ()),
        (("MSETNX", "a", 1), ()),
        (("SET", "a", 1), ()),
    ],
)
def test_keys_that_a_command_deletes_or_replaces(command: Command, keys: tuple[str, ...]) -> None:
    """The values and options between them do not count."""
    assert keys == rules.keys_of(command)


def test_the_audit_log_shows_all_names_if_there_is_room() -> None:
    """Then nothing is said to be left out."""
    commands: tuple[Command, ...] = (("GET", "a"), ("get", "b"), ("FLUSHDB",), ("SET", "a", 1))

    assert "id FLUSHDB, GET, SET" == audit_target("id", commands)
