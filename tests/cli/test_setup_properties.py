"""Edits of generated configuration files: whatever their form, everything else stays byte for byte."""

from __future__ import annotations

import json
import os
import tomllib
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from upstash_helper.cli.agents import entries, json_text, record, toml_text
from upstash_helper.cli.agents.catalog import AGENTS, Target

TARGETS = (
    Target(url="http://localhost:3000/mcp"),
    Target(command=("C:\\Zoë\\upstash-helper.exe", "mcp"), environment={"A": "b"}),
)
PROFILE = settings(
    max_examples=int(os.environ.get("SETUP_EXAMPLES", "40")),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

# --- JSON with comments -----------------------------------------------------------------------------------------------

_WORDS = st.text(alphabet='ab/*"\\\t{}[],:#é🦊 \u2028', max_size=6)
_SPACES = ("", " ", "\n", "\n  ", "\t", ' // a { " comment\n', "/* , } \n */", "\n\n    // \u00e9\n  ")


@st.composite
def spaces(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(_SPACES))


@st.composite
def texts(draw: st.DrawFn, value: Any, depth: int = 0) -> str:
    """Draw a text of a value, with comments and trailing commas."""
    if not isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    items = []
    for item in value:
        key = f"{json.dumps(item)}{draw(spaces())}:{draw(spaces())}" if isinstance(value, dict) else ""
        inner = value[item] if isinstance(value, dict) else item
        items.append(f"{draw(spaces())}{key}{draw(texts(inner, depth + 1))}{draw(spaces())}")
    trailing = draw(st.sampled_from(("", ","))) + draw(spaces()) if items else ""
    inside = ",".join(items) + trailing if items else draw(spaces())
    return f"{{{inside}}}" if isinstance(value, dict) else f"[{inside}]"


_SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | _WORDS
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3), max_leaves=6
)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Draw a file of VS Code, with or without servers."""
    content: dict[str, Any] = draw(st.dictionaries(_WORDS.filter(lambda key: key != "servers"), _VALUES, max_size=3))
    if draw(st.booleans()):
        servers = draw(st.dictionaries(_WORDS, st.dictionaries(_WORDS, _VALUES, max_size=2), max_size=2))
        content = dict(draw(st.permutations([*content.items(), ("servers", servers)])))
    text = draw(spaces()) + draw(texts(content)) + draw(spaces())
    return text.replace("\n", draw(st.sampled_from(("\n", "\r\n"))))


def only_inserted(before: str, after: str) -> bool:
    """Return whether ``after`` is ``before`` with at most a comma and one other text inserted."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    old, new = before[start:], after[start:]
    end = next(
        (i for i, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if a != b), min(len(old), len(new))
    )
    middle = old[: len(old) - end]
    return new.startswith((middle, f",{middle}"))


@PROFILE
@given(documents(), st.sampled_from(TARGETS))
def test_json_keeps_everything_else(before: str, target: Target) -> None:
    """
    Only text is inserted, no comment moves into or out of a value, and removing the entry restores the values.
    """
    agent = AGENTS["vscode"]
    content = json_text.value_of(before, dialect="jsonc")

    after = entries.with_fields(agent, before, "upstash", agent.fields(target))

    servers = content.get("servers", {})
    assert {**content, "servers": {**servers, "upstash": agent.fields(target)}} == json_text.value_of(
        after, dialect="jsonc"
    )
    if content if "servers" not in content else servers:
        assert only_inserted(before, after)
    else:  # spaces between the braces of an empty object may be replaced
        assert only_inserted("".join(before.split()), "".join(after.split()))
    removed = entries.without(agent, after, "upstash", created="servers" not in content)
    assert content == json_text.value_of(removed, dialect="jsonc")
    if content if "servers" not in content else servers:
        # A space may stay where what follows would otherwise get into a comment.
        assert "".join(before.split()) == "".join(removed.split())


@PROFILE
@given(documents(), st.randoms(use_true_random=False))
def test_json_members_can_be_removed_from_any_place(before: str, random: Any) -> None:
    """
    The other members, and all comments, stay.
    """
    content = json_text.value_of(before, dialect="jsonc")
    assume(content)
    key = random.choice(sorted(content))

    after = json_text.without_member(before, (key,), dialect="jsonc")

    assert {name: value for name, value in content.items() if name != key} == json_text.value_of(after, dialect="jsonc")
    assert after.count("é") <= before.count("é")


# --- TOML -------------------------------------------------------------------------------------------------------------

_TOML_VALUES = (
    "1", '"text # [x]"', "'it''s'".replace("''", " "), '"""\n[mcp_servers.upstash]\nurl = 1\n"""', "'''\n# \"\n'''",
    '[ 1, # one\n  "]", [2], ]', '{ a = "}", "b c" = [1, 2] }', "2026-11-30T10:00:00Z", "nan", "[]", '"""a""" # b',
    '"\\"\\\\"', "''''it's''''", '"é🦊"',
)  # fmt: skip
_BETWEEN = ("", "\n", "# [comment] = 1\n", '  # "é\n', "\n\n")


@st.composite
def tables(draw: st.DrawFn, header: str) -> str:
    """Draw a table with distinct keys."""
    keys = draw(st.lists(st.sampled_from(("a", '"b.c"', "'d'", "e.f", "url", "timeout")), unique=True, max_size=3))
    lines = [
        f"{draw(st.sampled_from(_BETWEEN))}{draw(st.sampled_from(('', '  ', chr(9))))}{key} ="
        f" {draw(st.sampled_from(_TOML_VALUES))}{draw(st.sampled_from(('', ' # end')))}\n"
        for key in keys
    ]
    return draw(st.sampled_from(_BETWEEN)) + header + "".join(lines)


@st.composite
def toml_documents(draw: st.DrawFn, *, entry: bool = False) -> str:
    """Draw a file of Codex."""
    headers = ["[x]\n", '[mcp_servers."a.b"] # [c]\n', "[[y]]\n", "[mcp_servers.other.env]\n", "  [ z . 'w' ]\n"]
    chosen = draw(st.lists(st.sampled_from(headers), unique=True, max_size=4))
    if entry:
        chosen.insert(draw(st.integers(0, len(chosen))), "[mcp_servers.upstash] # mine\n")
    text = draw(tables("")) + "".join(draw(tables(header)) for header in chosen) + draw(st.sampled_from(_BETWEEN))
    if draw(st.booleans()):
        text = text.removesuffix("\n")
    text = text.replace("\n", draw(st.sampled_from(("\n", "\r\n"))))
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    return text


@PROFILE
@given(toml_documents(), st.sampled_from(TARGETS))
def test_toml_keeps_everything_else(before: str, target: Target) -> None:
    """
    The table comes after everything that was there, and removing it leaves that.
    """
    agent = AGENTS["codex"]

    after = entries.with_fields(agent, before, "upstash", agent.fields(target))

    assert after.startswith(before)
    assert agent.fields(target) == tomllib.loads(after)["mcp_servers"]["upstash"]
    removed = entries.without(agent, after, "upstash", created=False)
    assert before.rstrip("\r\n") == removed.rstrip("\r\n")  # empty lines at the end may differ


@PROFILE
@given(toml_documents(entry=True), st.sampled_from(TARGETS))
def test_toml_table_is_changed_in_its_place(before: str, target: Target) -> None:
    """
    Whatever is in front of its header, and whatever follows its keys, stays. So do its other keys.
    """
    agent = AGENTS["codex"]
    old = tomllib.loads(before)["mcp_servers"]["upstash"]

    after = entries.with_fields(agent, before, "upstash", agent.fields(target))

    header = "[mcp_servers.upstash] # mine"
    assert before.partition(header)[0] == after.partition(header)[0]
    new = tomllib.loads(after)["mcp_servers"]["upstash"]
    kept = {key: value for key, value in old.items() if key != "url"}
    assert repr({**kept, **agent.fields(target)}) == repr({key: new[key] for key in {**kept, **agent.fields(target)}})
    assert [line for line in before.splitlines() if line.lstrip().startswith("# [")] == [
        line for line in after.splitlines() if line.lstrip().startswith("# [")
    ]
    toml_text.without_table(after, ("mcp_servers", "upstash"))


# --- undo -------------------------------------------------------------------------------------------------------------


@PROFILE
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_difference_restores_the_old_content(before: bytes, after: bytes) -> None:
    """
    Whatever has changed.
    """
    offset, length, replaced = record.difference(before, after)

    change = record.Change(
        agent="codex", server="upstash", path="", target="", before="", after="", offset=offset, length=length,
        replaced=replaced, fields={}, previous=None, created=False,
    )  # fmt: skip
    assert before == record.reversed_change(change, after)
