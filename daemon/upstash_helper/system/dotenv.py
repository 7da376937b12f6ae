"""
The text of ``.env`` files: quoting a value, and changing variables while everything else stays unchanged.

There is no standard. Where possible, values are written so that ``sh``, python-dotenv, and Node's dotenv read the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Only these end a line: str.splitlines() takes other characters, which may be part of a value, for the end of one.
_LINE: Final = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_ASSIGNMENT: Final = re.compile(r"(?P<before>[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*)")
# A quotation mark, and what it is skipped in.
_MARKS: Final = {
    '"': re.compile(r'"|\\.', re.DOTALL),
    "'": re.compile(r"'|\\.", re.DOTALL),
    "`": re.compile("`"),
}
# What may follow a quoted value. Anything else means that the quotes are only a part of the value.
_REST: Final = re.compile(r"(?P<rest>[ \t]*(?:#[^\r\n]*)?)(?=\r|\n|\Z)")
_COMMENT: Final = re.compile(r"[ \t]#")
# What a shell reads as something else behind a value without quotes: another variable, another command, the next line.
_MORE: Final = re.compile(r"[ \t][A-Za-z_][A-Za-z0-9_]*\+?=|[;&|]|\\\Z")
_CONTINUED: Final = re.compile(r"\\(?:\r\n|\n|\r)?\Z")
# Every reader takes these literally without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")


class SeveralLines(Exception):
    """
    A variable's value has a line break, so replacing it would delete lines. ``str()`` is a sentence.

    The cause is probably a missing quotation mark.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"The value of {name} spans several lines. Check its quotation marks.")


class SharedLine(Exception):
    """
    A variable's line has something else behind the value, which replacing the value would delete or break: another
    variable, a command, or a backslash that continues the line. ``str()`` is a sentence.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f"The line of {name} contains more than its value. Give {name} a line of its own, in quotes.")


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

    Raises:
        SeveralLines: If one of them has a value of several lines. No variable that is written here ever has one.
        SharedLine: If something else is on the line of one of them.
    """
    parts: list[str] = []
    replaced: set[str] = set()
    missing = dict(variables)
    for part in _parts(text):
        if isinstance(part, str) or part.name not in variables:
            parts.append(part if isinstance(part, str) else _joined(part))
            continue
        if "\n" in part.value or "\r" in part.value:
            raise SeveralLines(part.name)
        value = variables[part.name]
        missing.pop(part.name, None)
        if _reads_as(part, value):
            parts.append(_joined(part))
            continue
        # The space before the value counts: after "A= B=1", a shell has two variables.
        if not part.quote and _MORE.search(part.before[-1:] + part.value):
            raise SharedLine(part.name)
        if part.value:
            replaced.add(part.name)
        parts.append(f"{part.before}{_in_style(part, value)}{part.rest}{part.end}")
    changed = "".join(parts)
    if missing:
        newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
        if changed and not changed.endswith(("\n", "\r")):
            changed += newline
        if _CONTINUED.search(changed):
            changed += newline  # the line that is continued ends with an empty one
        changed += "".join(f"{name}={quoted(value)}{newline}" for name, value in missing.items())
    return Update(changed, tuple(name for name in variables if name in replaced))


def _parts(text: str) -> Iterator[_Assignment | str]:
    """Split a text into its assignments and other lines. Together, they are the text."""
    position = 0
    while position < len(text):
        found = _ASSIGNMENT.match(text, position)
        if found is None:
            line = _line_at(text, position)
            yield line
        else:
            part = _assignment(text, found)
            line = _joined(part)
            yield part
        position += len(line)


def _assignment(text: str, found: re.Match[str]) -> _Assignment:
    name, before, start = found["name"], found["before"], found.end()
    quote = text[start : start + 1]
    end = _closing(text, start) if quote in _MARKS else None
    if end is not None and (rest := _REST.match(text, end + 1)) is not None:
        return _Assignment(name, before, quote, text[start + 1 : end], rest["rest"], _ending_at(text, rest.end()))
    line = start + len(_line_at(text, start).rstrip("\r\n"))
    # The space in front of a comment may be the one behind the equals sign.
    comment = _COMMENT.search(text, start - 1, line)
    value = text[start : line if comment is None else comment.end() - 1].rstrip(" \t")
    rest_text = text[start + len(value) : line]
    if not value and rest_text:
        # Only a comment. The spaces in front of it stay between it and the value.
        before = before.rstrip(" \t")
        rest_text = found["before"][len(before) :] + rest_text
    return _Assignment(name, before, "", value, rest_text, _ending_at(text, line))


def _closing(text: str, start: int) -> int | None:
    """Return the position of the quotation mark that closes the one at ``start``; None if there is none."""
    marks = _MARKS[text[start]].finditer(text, start + 1)
    return next((mark.start() for mark in marks if mark[0] == text[start]), None)


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
