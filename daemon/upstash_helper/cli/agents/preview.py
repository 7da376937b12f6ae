"""
A change as the user sees it before it is made.

Configuration files of agents contain secrets, such as the keys of other servers. The lines around a change are shown
without their values and the text of comments, so that the output can be pasted or logged.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from upstash_helper.cli.agents.changes import Proposal

_CONTEXT: Final = 3
_HIDDEN: Final = "…"
_WORDS: Final = frozenset({"true", "false", "null"})
"""Values that are not secret."""
_NUMBER: Final = re.compile(r"[+-]?[0-9][0-9.eE+-]*")

_JSON_PART: Final = re.compile(
    r"""(?P<comment>//.*|/\*.*?(?:\*/|$))|(?P<string>"(?:[^"\\]|\\.)*"?)(?P<key>\s*:)?|(?P<bare>[^\s{}\[\],:"/]+|/)"""
)
_TOML_PART: Final = re.compile(
    r"""(?P<comment>\#.*)|(?P<key>[{,]\s*[A-Za-z0-9_.-]+\s*=)|(?P<string>"(?:[^"\\]|\\.)*"?|'[^']*'?)"""
    r"""|(?P<bare>[^\s{}\[\],="'\#]+)"""
)
_TOML_KEY: Final = re.compile(
    r"""\s*(?:[A-Za-z0-9_-]+|"[^"\\]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"\\]*"|'[^']*'))*\s*"""
)
_HEADER: Final = re.compile(r"\[{1,2} *[A-Za-z_][^\[\],]*\]{1,2}")
"""Does not match a list in a list, which may contain secrets."""


def lines(proposal: Proposal, *, visible: Collection[str]) -> list[str]:
    """
    Return the changed lines and those around them, each with ``+``, ``-``, or a space before it.

    Args:
        proposal: The change.
        visible: The strings to show.
    """
    old, new = _lines(proposal.file.data), _lines(proposal.data)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    first = max(start - _CONTEXT, 0)
    after = max(end - _CONTEXT, 0)
    shown = difflib.unified_diff(old[first : len(old) - after], new[first : len(new) - after], n=_CONTEXT, lineterm="")
    hide = _hidden_toml if proposal.agent.format == "toml" else _hidden_json
    changed = [line for line in shown if not line.startswith(("---", "+++", "@@"))]
    return [line[:1] + hide(line[1:], visible) for line in changed]


def _lines(data: bytes | None) -> list[str]:
    text = (data or b"").decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    found = text.split("\n")
    return found[:-1] if not found[-1] else found


def _common(first: list[str], second: list[str]) -> int:
    return next(
        (index for index, (one, other) in enumerate(zip(first, second, strict=False)) if one != other),
        min(len(first), len(second)),
    )


def _hidden_json(line: str, visible: Collection[str]) -> str:
    if any(part["bare"] and not _is_literal(part["bare"]) for part in _JSON_PART.finditer(line)):
        return _indented(line, _HIDDEN)  # not JSON, such as a line in a comment of several lines
    return _JSON_PART.sub(partial(_part_hidden, visible), line)


def _hidden_toml(line: str, visible: Collection[str]) -> str:
    stripped = line.strip()
    if not stripped or _HEADER.fullmatch(stripped):
        return line
    if stripped.startswith("#"):
        return _indented(line, _comment_hidden(stripped))
    key, _, value = line.partition("=")
    if not value.strip(" \t=") or not _TOML_KEY.fullmatch(key):  # such as a line of a text or of a list
        return _HIDDEN
    if '"""' in value or "'''" in value:
        return f"{key}= {_HIDDEN}"
    return f"{key}={_TOML_PART.sub(partial(_part_hidden, visible), value)}"


def _is_literal(text: str) -> bool:
    return text in _WORDS or _NUMBER.fullmatch(text) is not None


def _part_hidden(visible: Collection[str], part: re.Match[str]) -> str:
    if part["comment"]:
        return _comment_hidden(part["comment"])
    if part["key"] or part[0] in visible or part[0] in _WORDS:
        return part[0]
    return f'"{_HIDDEN}"' if part["string"] else _HIDDEN


def _comment_hidden(text: str) -> str:
    start = "#" if text.startswith("#") else text[:2]
    end = " */" if start == "/*" and len(text) > len("/*/") and text.endswith("*/") else ""
    return f"{start} {_HIDDEN}{end}"


def _indented(line: str, text: str) -> str:
    return line[: len(line) - len(line.lstrip())] + text


def literals(value: object) -> Iterator[str]:
    """Yield the strings in a value, as they are in JSON and TOML."""
    if isinstance(value, str):
        yield json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        for item in value.values():
            yield from literals(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from literals(item)


def visible_in(proposal: Proposal) -> set[str]:
    """Return the strings of our own entry, which are not secret."""
    return {literal for change in proposal.changes for literal in literals(dict(change.fields))}
