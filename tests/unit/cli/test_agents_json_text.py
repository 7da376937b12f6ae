"""Minimal edits of JSON, with and without comments."""

from __future__ import annotations

import json

import pytest

from upstash_helper.cli.agents.errors import InvalidText
from upstash_helper.cli.agents.json_text import Dialect, value_of, with_member, without_member

PATH = ("servers", "upstash")
ENTRY = {"url": "http://localhost:3000/mcp"}


def lines(*parts: str, newline: str = "\n") -> str:
    return "".join(part + newline for part in parts)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "",
            lines(
                "{",
                '  "servers": {',
                '    "upstash": {',
                '      "url": "http://localhost:3000/mcp"',
                "    }",
                "  }",
                "}",
            ),
            id="empty file",
        ),
        pytest.param(
            "// Mine\n",
            lines(
                "// Mine",
                "{",
                '  "servers": {',
                '    "upstash": {',
                '      "url": "http://localhost:3000/mcp"',
                "    }",
                "  }",
                "}",
            ),
            id="only a comment",
        ),
        pytest.param(
            '{"a":1}\n', '{"a":1, "servers": {"upstash": {"url": "http://localhost:3000/mcp"}}}\n', id="one line"
        ),
        pytest.param(
            '{"servers":{}}',
            '{"servers":{"upstash": {"url": "http://localhost:3000/mcp"}}}',
            id="one line, empty object",
        ),
        pytest.param(
            '{"servers": {"a": {},}}',
            '{"servers": {"a": {}, "upstash": {"url": "http://localhost:3000/mcp"},}}',
            id="one line, trailing comma",
        ),
        pytest.param(
            '{\n\t"servers": {\n\t\t"a": {} // last\n\t\t// "b": {}\n\t}\n}\n',
            '{\n\t"servers": {\n\t\t"a": {}, // last\n\t\t// "b": {}\n\t\t"upstash": {\n'
            '\t\t\t"url": "http://localhost:3000/mcp"\n\t\t}\n\t}\n}\n',
            id="tabs and comments",
        ),
        pytest.param(
            '{\r\n    "servers": {\r\n        "a": {}, /* x */\r\n    },\r\n}\r\n',
            '{\r\n    "servers": {\r\n        "a": {}, /* x */\r\n        "upstash": {\r\n'
            '            "url": "http://localhost:3000/mcp"\r\n        },\r\n    },\r\n}\r\n',
            id="CRLF and trailing commas",
        ),
        pytest.param(
            '{\n  "servers": { // none yet\n  }\n}\n',
            '{\n  "servers": { // none yet\n    "upstash": {\n      "url": "http://localhost:3000/mcp"\n'
            "    }\n  }\n}\n",
            id="empty object with a comment",
        ),
        pytest.param(
            '{\n  "servers": {"a": {}}\n}',
            '{\n  "servers": {"a": {}, "upstash": {"url": "http://localhost:3000/mcp"}}\n}',
            id="object in one line",
        ),
        pytest.param(
            '{"note": "// no comment, }", "s": "\\"/*"}',
            '{"note": "// no comment, }", "s": "\\"/*", "servers": {"upstash": {"url": "http://localhost:3000/mcp"}}}',
            id="strings that look like comments",
        ),
    ],
)
def test_member_is_inserted_in_the_style_of_the_file(before: str, after: str) -> None:
    """
    With its indentation, line endings, and trailing commas; comments stay with the member that they are about.
    """
    assert after == with_member(before, PATH, ENTRY, dialect="jsonc")


@pytest.mark.parametrize(
    "before",
    [
        '{\n  "servers": {\n    "a": 1\n  }\n}\n',
        '{\n  "servers": {\n    "a": 1, // x\n  },\n}\n',
        '{"servers": {"a": 1}}',
        '{"servers": {"a": 1,}}',
        '{"servers": {}}',
        '{\r\n\t"servers": {\r\n\t\t"a": 1\r\n\t\t/* end */\r\n\t}\r\n}',
    ],
)
def test_removing_the_member_restores_the_text(before: str) -> None:
    """
    Also if others have changed something else in the meantime, so that the file cannot simply be restored.
    """
    after = with_member(before, PATH, ENTRY, dialect="jsonc")

    assert before != after
    assert before == without_member(after, PATH, dialect="jsonc")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"servers": {"upstash": 1, "b": 2}}', '{"servers": { "b": 2}}'),
        ('{"servers": {\n// about b\n"upstash": 1, "b": 2\n}}', '{"servers": {\n// about b\n "b": 2\n}}'),
        ('{"servers": {"a": 1, // about a\n"upstash": 2 }}', '{"servers": {"a": 1 // about a\n }}'),
        ('{"servers": { // x\n"upstash": 1 /* 2\n */,\n}}', '{"servers": { // x\n /* 2\n */\n}}'),
        ('{"servers": {"upstash": 1 /* 2 */, "b": 2}}', '{"servers": { /* 2 */ "b": 2}}'),
        ('{"servers": {\n  "upstash": {"x": [1, {"y": 2}]},\n  "b": 2\n}}', '{"servers": {\n  "b": 2\n}}'),
        ('{"servers": {"a": 1}}', '{"servers": {"a": 1}}'),
        ('{"servers": []}', '{"servers": []}'),
        ("{}", "{}"),
    ],
)
def test_nothing_else_is_removed(before: str, after: str) -> None:
    """
    What follows a removed member does not become a part of the comment before it.
    """
    assert after == without_member(before, PATH, dialect="jsonc")
    assert value_of(after, dialect="jsonc") is not None


def test_value_of_a_member_is_replaced_in_its_place() -> None:
    """
    The order of the members stays.
    """
    before = '{\n  "servers": {\n    "upstash": {"url": "old"}, // mine\n    "b": 1\n  }\n}\n'

    after = with_member(before, (*PATH, "url"), "new", dialect="jsonc")

    assert before.replace("old", "new") == after


@pytest.mark.parametrize(
    ("text", "dialect", "problem"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "jsonc", "line 3, column 3"),
        ('{"a": 1,}', "json", "line 1, column"),
        ('{\n// x\n"a": 1}', "json", "line 2, column 1"),
        ('{"a": [1,]}', "commented", "line 1, column"),
        ('{"a": 1,,}', "jsonc", "line 1, column 9"),
        ("[,]", "jsonc", "line 1, column 2"),
        ('{"a": NaN}', "jsonc", "NaN is not a JSON value"),
        ('{"a": "\n"}', "jsonc", "line 1, column 8"),
        ("[1]", "jsonc", "line 1, column 1: expected an object"),
        ("/* x */ 5", "jsonc", "line 1, column 9: expected an object"),
        ('{"a": 1} x', "jsonc", "line 1, column 10"),
        ('{"a": /* 1}', "jsonc", "line 1, column 7"),
        ('{"servers": null}', "json", 'line 1, column 13: "servers" is not an object'),
        ('{"servers": {}, "servers": {}}', "json", 'line 1, column 17: "servers" is repeated'),
        ('{"servers": {"upstash": 1, "upstash": 2}}', "json", '"upstash" is repeated'),
        ("[" * 100_000, "jsonc", "is nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "json", "is not valid JSON"),
    ],
)
def test_text_that_cannot_be_edited_is_refused_with_its_place(text: str, dialect: Dialect, problem: str) -> None:
    """
    Also valid JSON that programs do not read in the same way, such as a key that is there twice.
    """
    with pytest.raises(InvalidText) as caught:
        with_member(text, PATH, ENTRY, dialect=dialect)

    assert problem in str(caught.value)


def test_characters_of_other_languages_stay_readable() -> None:
    """
    The path of a home folder is written as the user knows it.
    """
    after = with_member("{}", PATH, {"command": "C:\\Benutzer\\Zoë\\🦊"}, dialect="json")

    assert "Zoë\\\\🦊" in after
    assert {"command": "C:\\Benutzer\\Zoë\\🦊"} == json.loads(after)["servers"]["upstash"]


def test_large_file_with_comments_and_trailing_commas_is_edited() -> None:
    """
    Agents keep their history in such files.
    """
    history = "".join(f'    {{"display": "entry {number}", "pasted": [],}}, // {number}\n' for number in range(5_000))
    before = f'{{\n  "history": [\n{history}  ],\n  "servers": {{}}\n}}\n'

    after = with_member(before, PATH, ENTRY, dialect="jsonc")

    assert before == without_member(after, PATH, dialect="jsonc")
