"""
The text of ``.env`` files: quoting a value, and changing variables while everything else stays as it is.

There is no standard. What is written here, ``sh``, python-dotenv, and Node's dotenv read alike, where that is possible.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Only these end a line: str.splitlines() takes other characters, which may be part of a value, for the end of one.
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_ASSIGNMENT: Final = re.compile(r"(?P<before>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*)")
_QUOTED: Final = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.)*)'", re.DOTALL),
    "`": re.compile(r"`([^`]*)`", re.DOTALL),
}
# What may follow a quoted value. Anything else means that the quotes are only a part of the value.
_REST: Final = re.compile(r"(?P<rest>[ \t]*(?:#[^\r\n]*)?)(?=\r|\n|\Z)")
_UNQUOTED: Final = re.compile(r"(?P<value>[^\r\n]*?)(?P<rest>[ \t]*(?:(?<=[ \t])#[^\r\n]*)?)(?=\r|\n|\Z)")
# Every reader takes these literally without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


class Update(NamedTuple):
    """A changed text."""

    text: str
    replaced: tuple[str, ...]
    """The variables that had another value, not empty, in the order in which they were given."""


class _Assignment(NamedTuple):
    name: str
    before: str
    """Up to the value."""
    quote: str
    """The quotation mark around the value; empty if there is none."""
    value: str
    """The value between the quotation marks, as it is written."""
    rest: str
    """What follows the value on its line: spaces and a comment."""
    end: str
    """The line's ending; empty at the end of the file."""


def quoted(value: str) -> str:
    """
    Quote a value so that ``sh``, python-dotenv, and Node's dotenv read the same, where that is possible.

    In double quotes a reader may expand ``$`` and unescape backslashes; in single quotes the value ends at the next
    single quote. A value that needs both kinds is escaped for ``sh``.
    """
    if not re.search(r'["\\$`]', value):
        return f'"{value}"'
    if not re.search(r"['\\]", value):
        return f"'{value}'"
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'"{escaped}"'


def update(text: str, variables: Mapping[str, str]) -> Update:
    """
    Set variables, and keep all other lines, comments, the order, line endings, and the style of quotes.

    Each assignment of a variable is changed, since readers differ in which of two counts. A variable without one is
    added at the end. A line inside a quoted value of several lines is not an assignment.

    Args:
        text: The file's text.
        variables: The new values. They contain no control characters.
    """
    parts: list[str] = []
    replaced: set[str] = set()
    missing = dict(variables)
    for part in _parts(text):
        if isinstance(part, str) or part.name not in variables:
            parts.append(part if isinstance(part, str) else _joined(part))
            continue
        value = variables[part.name]
        missing.pop(part.name, None)
        if _reads_as(part, value):
            parts.append(_joined(part))
            continue
        if part.value:
            replaced.add(part.name)
        parts.append(f"{part.before}{_in_style(part, value)}{part.rest}{part.end}")
    changed = "".join(parts)
    if missing:
        newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
        if changed and not changed.endswith(("\n", "\r")):
            changed += newline
        changed += "".join(f"{name}={quoted(value)}{newline}" for name, value in missing.items())
    return Update(changed, tuple(name for name in variables if name in replaced))


def _parts(text: str) -> Iterator[_Assignment | str]:
    """Split a text into its assignments and other lines. Together, they are the text."""
    position = 0
    while position < len(text):
        found = _ASSIGNMENT.match(text, position)
        part = None if found is None else _assignment(text, found)
        line = _line_at(text, position) if part is None else _joined(part)
        yield line if part is None else part
        position += len(line)


def _assignment(text: str, found: re.Match[str]) -> _Assignment | None:
    start, quote = found.end(), text[found.end() : found.end() + 1]
    if quote in _QUOTED and (value := _QUOTED[quote].match(text, start)) is not None:
        rest = _REST.match(text, value.end())
        if rest is not None:
            return _Assignment(
                found["name"], found["before"], quote, value[1], rest["rest"], _ending_at(text, rest.end())
            )
    plain = _UNQUOTED.match(text, start)
    if plain is None:
        return None
    before, rest_text = found["before"], plain["rest"]
    if not plain["value"] and rest_text:
        # Only a comment. The spaces in front of it stay between it and the value.
        before = before.rstrip(" \t")
        rest_text = found["before"][len(before) :] + rest_text
    return _Assignment(found["name"], before, "", plain["value"], rest_text, _ending_at(text, plain.end()))


def _joined(part: _Assignment) -> str:
    return f"{part.before}{part.quote}{part.value}{part.quote}{part.rest}{part.end}"


def _reads_as(part: _Assignment, value: str) -> bool:
    """Return whether an assignment has ``value`` already, for every reader."""
    if part.value != value:
        return False
    match part.quote:
        case "":
            return _PLAIN.fullmatch(value) is not None
        case '"':
            return re.search(r'["\\$`]', value) is None
        case _:
            return "\\" not in value


def _in_style(part: _Assignment, value: str) -> str:
    """Return a value with the quotes of the one that it replaces, if it can be written so."""
    if part.quote == "'" and not re.search(r"['\\]", value):
        return f"'{value}'"
    if part.quote == "" and part.value and _PLAIN.fullmatch(value):
        return value
    return quoted(value)


def _line_at(text: str, position: int) -> str:
    found = _LINE.match(text, position)
    return "" if found is None else found[0]


def _ending_at(text: str, position: int) -> str:
    return "\r\n" if text.startswith("\r\n", position) else text[position : position + 1]
