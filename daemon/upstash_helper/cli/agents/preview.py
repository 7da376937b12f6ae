"""
A change as the user sees it before it is made.

Configuration files of agents contain secrets, such as the keys of other servers. The lines around a change are shown
without their values, so that the output can be pasted or logged.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from upstash_helper.cli.agents.changes import Proposal

_CONTEXT: Final = 3
_HIDDEN: Final = "…"
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"?|' + r"'[^']*'?")
_HEADER: Final = re.compile(r"\[{1,2} *[A-Za-z0-9_-][^\[\],]*\]{1,2}")
"""Not a list in a list, which may have secrets."""
_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"?(?P<key>\s*:)?')


def lines(proposal: Proposal, *, visible: Collection[str]) -> list[str]:
    """
    Return the changed lines and those around them, each with ``+``, ``-``, or a space before it.

    Args:
        proposal: The change.
        visible: The strings that are shown.
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
    return _JSON_STRING.sub(lambda found: found[0] if found["key"] or found[0] in visible else f'"{_HIDDEN}"', line)


def _hidden_toml(line: str, visible: Collection[str]) -> str:
    stripped = line.strip()
    if not stripped or _HEADER.fullmatch(stripped):
        return line
    key, equals, value = line.partition("=")
    if stripped.startswith("#") and not equals:
        return _STRING.sub(f'"{_HIDDEN}"', line)
    if stripped.startswith("#") or not equals or '"""' in value or "'''" in value:  # such as a line of a text
        return f"{key}= {_HIDDEN}" if equals else _HIDDEN
    return f"{key}={_STRING.sub(lambda found: found[0] if found[0] in visible else _quoted_hidden(), value)}"


def _quoted_hidden() -> str:
    return f'"{_HIDDEN}"'


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
    """Return the strings of our own entry, which are no secrets."""
    return {literal for change in proposal.changes for literal in literals(dict(change.fields))}
