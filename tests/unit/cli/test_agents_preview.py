"""What is shown of a change: our own values, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from upstash_helper.cli.agents import preview
from upstash_helper.cli.agents.catalog import AGENTS
from upstash_helper.cli.agents.changes import Proposal
from upstash_helper.cli.agents.config_file import ConfigFile

if TYPE_CHECKING:
    from pathlib import Path

OURS = {'"http://localhost:3000/mcp"'}


def shown(name: str, before: str, after: str, path: Path) -> list[str]:
    file = ConfigFile(path=path, target=path, data=before.encode())
    return preview.lines(Proposal(agent=AGENTS[name], file=file, data=after.encode()), visible=OURS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('  "key": "sk-secret",', '  "key": "…",'),
        ('  "key" : ["sk-secret", 1, true, false, null],', '  "key" : ["…", …, true, false, null],'),
        ('  "key": 482913,', '  "key": …,'),
        ('  "key": -4.8e+3}', '  "key": …}'),
        ('  // "key": "sk-secret \\" more"', "  // …"),
        ("  // token sk-secret", "  // …"),
        ('  "url": "http://localhost:3000/mcp" // sk-secret', '  "url": "http://localhost:3000/mcp" // …'),
        ('  /* sk-secret */ "a": true, /* sk-secret', '  /* … */ "a": true, /* …'),
        ("/*/ sk-secret", "/* …"),
        ("   token sk-secret", "   …"),
        ('   5" sk-secret 6": x', "   …"),
        ('   sk-secret */ "a": true', "   …"),
        ('  "unfinished: sk-secret', '  "…"'),
        ('  "other": {', '  "other": {'),
    ],
)
def test_values_in_json_are_hidden(line: str, expected: str, tmp_path: Path) -> None:
    """
    Keys, true, false, and null are shown. Comments are not, since they may have secrets too.
    """
    assert [f" {expected}", "+}"] == shown("vscode", f"{line}\n", f"{line}\n}}\n", tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('key = "sk-secret" # mine', 'key = "…" # …'),
        ("pin = 482913", "pin = …"),
        ("x = [1,true] # sk-secret", "x = […,true] # …"),
        ("day = 1979-05-27 07:32:00", "day = … …"),
        ("[482913]", "…"),
        ("# token sk-secret", "# …"),
        ("[mcp_servers.other] # a = sk-secret", "…"),
        ("c2stc2VjcmV0==", "…"),
        ('{"sk-secret=": 1', "…"),
        ("key = 'sk-secret'", 'key = "…"'),
        ('env = { KEY = "sk-secret", N = 1 }', 'env = { KEY = "…", N = … }'),
        ('key = """sk-secret', "key = …"),
        ("sk-secret in a text", "…"),
        ("# key = sk-secret", "# …"),
        ('# "sk-secret"', "# …"),
        ("[mcp_servers.other]", "[mcp_servers.other]"),
        ('[[mcp_servers."a.b"]]', '[[mcp_servers."a.b"]]'),
        ('["sk-secret"]', "…"),
        ('[1, "sk-secret"]', "…"),
        ('["sk-secret"],', "…"),
        ('url = "http://localhost:3000/mcp"', 'url = "http://localhost:3000/mcp"'),
        ("", ""),
    ],
)
def test_values_in_toml_are_hidden(line: str, expected: str, tmp_path: Path) -> None:
    """
    Headers, keys, true, and false are shown.
    """
    assert [f" {expected}", "+[x]"] == shown("codex", f"{line}\n", f"{line}\n[x]\n", tmp_path)


def test_only_lines_around_the_change_are_shown(tmp_path: Path) -> None:
    """
    Three before and after it, whatever the size of the file.
    """
    before = "".join(f"n{number} = {number}\n" for number in range(10_000))

    found = shown("codex", before, before.replace("n5000 = 5000\n", "n5000 = true\n"), tmp_path)

    assert [
        " n4997 = …", " n4998 = …", " n4999 = …", "-n5000 = …", "+n5000 = true", " n5001 = …", " n5002 = …",
        " n5003 = …",
    ] == found  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "{\n", ["+{"]),
        ("{\n", "", ["-{"]),
        ("{", "{\n}\n", [" {", "+}"]),
        ("\ufeff{\r\n", "\ufeff{\r\n}\r\n", [" {", "+}"]),
    ],
)
def test_first_and_last_lines(before: str, after: str, expected: list[str], tmp_path: Path) -> None:
    """
    A byte order mark, CRLF, and a missing line end are no changes.
    """
    assert expected == shown("vscode", before, after, tmp_path)
