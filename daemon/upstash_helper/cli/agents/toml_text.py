"""
Minimal edits of TOML: a table is appended, its keys are set, or it is removed, and everything else stays unchanged.

Only tables with their own header, such as ``[mcp_servers.upstash]``, are edited. Each result is parsed again and
compared with the expected one, so that a text that this module misreads is refused instead of damaged.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.cli.agents.errors import InvalidText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

Path = tuple[str, str]
"""The two keys of a table."""

_BLANK: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\r?\n|\Z)")
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|' + r"'''.*?'{3,5}|" + r'"(?:[^"\\\n]|\\.)*"|' + r"'[^'\n]*'", re.DOTALL
)


@dataclass(frozen=True, kw_only=True)
class _Statement:
    """A header, or a key with its value, by positions in the text. It includes the end of its line."""

    path: tuple[str, ...]
    is_header: bool
    start: int
    end: int


def value_of(text: str) -> dict[str, Any]:
    """
    Return what the text describes.

    Raises:
        InvalidText: If it is not valid.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"is not valid TOML: {_reason(str(error), text)}"
        raise InvalidText(message) from error
    except (RecursionError, ValueError) as error:
        message = f"is not valid TOML: {error}"
        raise InvalidText(message) from error


def with_table(text: str, path: Path, fields: Mapping[str, object], *, replaces: Collection[str] = ()) -> str:
    """
    Return the text with the keys of a table set.

    Args:
        text: TOML, without a byte order mark.
        path: The table's keys.
        fields: Strings, lists of strings, and mappings of strings.
        replaces: Other keys, and tables in it, that are removed from the table.

    Raises:
        InvalidText: If the text is not valid, or the table is written in a form that cannot be edited.
    """
    before = value_of(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = "".join(f"{key} = {_rendered(value)}{newline}" for key, value in fields.items())
    statements = list(_statements(text))
    header = next((one for one in statements if one.is_header and one.path == path), None)
    if header is None:
        changed = _ended(text, newline) + f"[{'.'.join(map(_key, path))}]{newline}{lines}"
    else:
        drop = {*replaces, *fields}
        gone = [one for one in statements if one.path[:2] == path and len(one.path) > 2 and one.path[2] in drop]
        changed = _without(
            text, gone, insert={header.end: lines if text[: header.end].endswith("\n") else newline + lines}
        )
    tables = before.get(path[0], {})
    if not isinstance(tables, dict) or not isinstance(tables.get(path[1], {}), dict):
        raise _unsupported(path)
    kept = {key: value for key, value in tables.get(path[1], {}).items() if key not in replaces}
    _check(changed, {**before, path[0]: {**tables, path[1]: {**kept, **fields}}}, path)
    return changed


def without_table(text: str, path: Path) -> str:
    """
    Return the text without a table and the tables in it; the same text if there is no such table.

    Raises:
        InvalidText: Like ``with_table``.
    """
    before = value_of(text)
    tables = before.get(path[0], {})
    if not isinstance(tables, dict) or path[1] not in tables:
        return text
    gone = [one for one in _statements(text) if one.path[:2] == path]
    if not gone:
        raise _unsupported(path)
    changed = _without(text, gone, insert={}, blank_before=gone[0].start)
    rest = {key: value for key, value in tables.items() if key != path[1]}
    expected = {**before, path[0]: rest}
    if path[0] not in value_of(changed) and not rest:
        del expected[path[0]]  # only its tables had created it
    _check(changed, expected, path)
    return changed


# --- reading ----------------------------------------------------------------------------------------------------------


def _reason(message: str, text: str) -> str:
    """Return the position, then the reason. Python reports them in the opposite order."""
    found = re.fullmatch(r"(?P<what>.*) \(at (?P<place>line \d+, column \d+|end of document)\)", message, re.DOTALL)
    if found is None:
        return message
    what, place = found["what"], found["place"]
    if place == "end of document":
        place = f"line {text.count(chr(10)) + 1}, column {len(text.rpartition(chr(10))[2]) + 1}"
    return f"{place}: {what[:1].lower()}{what[1:]}"


def _unsupported(path: Path) -> InvalidText:
    name = ".".join(map(_key, path))
    message = f"has {name} in a format that setup cannot edit: it must be a table with its own header [{name}]"
    return InvalidText(message)


def _check(changed: str, expected: Mapping[str, Any], path: Path) -> None:
    try:
        found = value_of(changed)
    except InvalidText:
        raise _unsupported(path) from None
    # By their text: a float that is not a number does not equal itself.
    if repr(_sorted(found)) != repr(_sorted(expected)):
        raise _unsupported(path)


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


def _statements(text: str) -> Iterator[_Statement]:
    """Yield the statements of a valid text, in order."""
    table: tuple[str, ...] = ()
    position = 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank is not None:
            position = blank.end()
            continue
        first = position
        while text[first] in " \t":
            first += 1
        if text[first] == "[":
            end = _end(text, first)
            table = _keys(_code(text[first:end]))
            yield _Statement(path=table, is_header=not text.startswith("[[", first), start=position, end=end)
        else:
            equals = _equals(text, first)
            end = _end(text, equals + 1)
            path = (*table, *_keys(f"{text[first:equals]} = 0"))
            yield _Statement(path=path, is_header=False, start=position, end=end)
        position = end


def _equals(text: str, position: int) -> int:
    while text[position] != "=":
        string = _STRING.match(text, position)
        position = position + 1 if string is None else string.end()
    return position


def _end(text: str, position: int) -> int:
    """Return the end of the line in which a header or a value that begins at ``position`` ends."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character in "\"'":
            string = _STRING.match(text, position)
            assert string is not None  # noqa: S101 - the text is valid
            position = string.end()
            continue
        if character == "#":
            line_end = text.find("\n", position)
            position = len(text) if line_end < 0 else line_end
            continue
        position += 1
        if character == "\n" and not depth:
            return position
        depth += (character in "[{") - (character in "]}")
    return position


def _code(header: str) -> str:
    """Return a header without a comment after it."""
    position = 0
    while position < len(header) and header[position] != "#":
        string = _STRING.match(header, position)
        position = position + 1 if string is None else string.end()
    return header[:position]


def _keys(statement: str) -> tuple[str, ...]:
    value: Any = tomllib.loads(statement)
    path: list[str] = []
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        path.append(key)
        if isinstance(value, list):  # [[a.b]]
            break
    return tuple(path)


# --- writing ----------------------------------------------------------------------------------------------------------


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _rendered(key)


def _rendered(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's too. TOML does not allow DEL itself.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_rendered, value))}]"
        case dict():
            inside = ", ".join(f"{_key(key)} = {_rendered(item)}" for key, item in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case _:
            message = f"has a value of type {type(value).__name__}, which setup cannot write"
            raise InvalidText(message)


def _ended(text: str, newline: str) -> str:
    """Return the text with an empty line at its end, unless it is empty."""
    if not text:
        return text
    ended = text if text.endswith("\n") else text + newline
    last = ended.rstrip("\n").removesuffix("\r").rpartition("\n")[2]
    is_blank = ended.endswith(("\n\n", "\n\r\n")) or not last.strip()
    return ended if is_blank else ended + newline


def _without(text: str, gone: list[_Statement], *, insert: Mapping[int, str], blank_before: int | None = None) -> str:
    cuts = {one.start: one.end for one in gone}
    if blank_before is not None:
        # The empty line that separates the table from what is before it.
        for ending in ("\r\n", "\n"):
            if text[:blank_before].endswith(f"\n{ending}"):
                cuts[blank_before - len(ending)] = blank_before
                break
    parts: list[str] = []
    done = 0
    for position in sorted({*cuts, *insert}):
        parts += (text[done:position], insert.get(position, ""))
        done = max(cuts.get(position, position), position)
    return "".join(parts) + text[done:]
