"""
Minimal edits of JSON: a member of an object is set or removed, and everything else stays unchanged.

Comments and trailing commas are allowed where the program that reads the file allows them. The text is not reformatted:
only the member itself, and the comma before it, are inserted or removed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from upstash_helper.cli.agents.errors import InvalidText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Dialect = Literal["json", "commented", "jsonc"]
"""``commented``: JSON with comments. ``jsonc``: with comments and trailing commas."""

_SPACE: Final = " \t\r\n"
_TOKEN: Final = re.compile(
    r'(?P<string>"(?:[^"\\\r\n]|\\.)*")'
    r"|(?P<comment>//[^\r\n]*|/\*.*?\*/)"
    r"|(?P<sign>[{}\[\]:,])"
    r'|(?P<literal>[^\s{}\[\]:,"/]+)',
    re.DOTALL,
)
_DEFAULT_INDENT: Final = "  "


@dataclass(frozen=True, kw_only=True)
class _Member:
    """A member of an object, by positions in the text."""

    key: str
    start: int
    value: int
    end: int
    comma: int | None
    """The comma after it, including a trailing one."""


@dataclass(frozen=True, kw_only=True)
class _Object:
    start: int
    end: int
    """The position of the closing brace."""
    members: list[_Member] = field(default_factory=list)

    def member(self, key: str) -> _Member | None:
        return next((member for member in self.members if member.key == key), None)


def value_of(text: str, *, dialect: Dialect) -> dict[str, Any]:
    """
    Return the object that the text describes. An empty text is an empty object.

    Args:
        text: JSON, without a byte order mark.
        dialect: The dialect of the program that reads it.

    Raises:
        InvalidText: If it is not valid, or not an object.
    """
    plain = _plain(text, dialect)
    if not plain.strip(_SPACE):
        return {}
    try:
        value = json.loads(plain, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _invalid(text, error.pos, f"{error.msg[:1].lower()}{error.msg[1:]}") from error
    except RecursionError:
        raise InvalidText("is nested too deeply") from None
    except ValueError as error:
        message = f"is not valid JSON: {error}"
        raise InvalidText(message) from error
    if not isinstance(value, dict):
        start = len(plain) - len(plain.lstrip(_SPACE))
        raise _invalid(text, start, "expected an object")
    return value


def with_member(text: str, path: Sequence[str], value: object, *, dialect: Dialect) -> str:
    """
    Return the text with a member set, after creating the objects that contain it.

    Args:
        text: Like ``value_of``.
        path: The keys of the objects that contain the member, and its own.
        value: What json.dumps accepts.
        dialect: Like ``value_of``.

    Raises:
        InvalidText: If the text is not valid, a key is repeated, or a value in the path is not an object.
    """
    value_of(text, dialect=dialect)
    plain = _structure(text, dialect)
    newline = _newline(text)
    if not plain.strip(_SPACE):
        lead = text if not text or text.endswith("\n") else text + newline
        return lead + _rendered(_nested(path, value), _DEFAULT_INDENT, "", newline) + newline
    root = found = _object_at(plain, plain.index("{"))
    unit = _indent_unit(text, root)
    for depth, key in enumerate(path):
        member = _only(text, found, key)
        if member is None:
            new = {key: _nested(path[depth + 1 :], value)}
            return _inserted(text, found, new, unit=unit, is_root=found == root)
        if depth == len(path) - 1:
            indent = _line_indent(text, member.start)
            return text[: member.value] + _rendered(value, unit, indent, newline) + text[member.end :]
        if plain[member.value] != "{":
            raise _invalid(text, member.value, f'"{key}" is not an object')
        found = _object_at(plain, member.value)
    raise AssertionError  # the path is not empty


def without_member(text: str, path: Sequence[str], *, dialect: Dialect) -> str:
    """
    Return the text without a member; the same text if there is no such member.

    Raises:
        InvalidText: Like ``with_member``.
    """
    if not value_of(text, dialect=dialect):
        return text
    plain = _structure(text, dialect)
    found = _object_at(plain, plain.index("{"))
    for depth, key in enumerate(path):
        member = _only(text, found, key)
        if member is None:
            return text
        if depth == len(path) - 1:
            return _removed(text, plain, found, member)
        if plain[member.value] != "{":
            return text
        found = _object_at(plain, member.value)
    raise AssertionError  # the path is not empty


# --- reading ----------------------------------------------------------------------------------------------------------


def _refuse_constant(name: str) -> object:
    message = f"{name} is not a JSON value"
    raise ValueError(message)


def _invalid(text: str, position: int, reason: str) -> InvalidText:
    line = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1) + 1
    return InvalidText(f"is not valid JSON: line {line}, column {column}: {reason}")


def _plain(text: str, dialect: Dialect) -> str:
    """
    Return the text with spaces in place of comments and trailing commas that are allowed, so that all positions stay
    the same.
    """
    if dialect == "json":
        return text
    blanks: list[tuple[int, str]] = []
    comma: int | None = None  # the index in `blanks` where the last token, a comma after a value, would be
    place = 0
    after_value = False
    for token in _TOKEN.finditer(text):
        if token["comment"]:
            blanks.append((token.start(), re.sub(r"[^\r\n]", " ", token[0])))
            continue
        sign = token["sign"]
        if sign in {"}", "]"} and comma is not None and dialect == "jsonc":
            blanks.insert(comma, (place, " "))
        comma = len(blanks) if sign == "," and after_value else None
        place = token.start()
        after_value = sign in {"}", "]"} or sign is None
    parts: list[str] = []
    done = 0
    for start, blank in blanks:
        parts += (text[done:start], blank)
        done = start + len(blank)
    return "".join(parts) + text[done:]


def _structure(text: str, dialect: Dialect) -> str:
    """Return the text with spaces in place of comments. Trailing commas stay."""
    return _plain(text, "json" if dialect == "json" else "commented")


def _tokens(plain: str, start: int) -> Iterator[re.Match[str]]:
    return _TOKEN.finditer(plain, start)


def _object_at(plain: str, start: int) -> _Object:
    """Read the object that begins at ``start``, in valid JSON without comments."""
    tokens = _tokens(plain, start + 1)
    members: list[_Member] = []
    for token in tokens:
        if token["sign"] == "}":
            return _Object(start=start, end=token.start(), members=members)
        if token["sign"] == ",":
            last = members.pop()
            members.append(_Member(key=last.key, start=last.start, value=last.value, end=last.end, comma=token.start()))
            continue
        next(tokens)  # the colon
        first = next(tokens)
        end = first.end()
        depth = _depth(first)
        while depth:
            token_in_value = next(tokens)
            depth += _depth(token_in_value)
            end = token_in_value.end()
        members.append(_Member(key=json.loads(token[0]), start=token.start(), value=first.start(), end=end, comma=None))
    raise AssertionError  # the text is valid


def _depth(token: re.Match[str]) -> int:
    return {"{": 1, "[": 1, "}": -1, "]": -1}.get(token["sign"] or "", 0)


def _only(text: str, found: _Object, key: str) -> _Member | None:
    matches = [member for member in found.members if member.key == key]
    if len(matches) > 1:
        # Programs differ in which of them they use.
        raise _invalid(text, matches[1].start, f'"{key}" is repeated')
    return matches[0] if matches else None


# --- writing ----------------------------------------------------------------------------------------------------------


def _nested(path: Sequence[str], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _newline(text: str) -> str:
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def _line_indent(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    line = text[start:position]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_unit(text: str, root: _Object) -> str:
    """Return the indentation of the root's first member that begins a line."""
    base = _line_indent(text, root.start)
    for member in root.members:
        start = text.rfind("\n", 0, member.start) + 1
        before = text[start : member.start]
        if start and not before.strip(" \t") and len(before) > len(base):
            return before.removeprefix(base)
    return _DEFAULT_INDENT


def _rendered(value: object, unit: str, indent: str, newline: str) -> str:
    lines = json.dumps(value, indent=unit, ensure_ascii=False).split("\n")
    return f"{newline}{indent}".join(lines)


def _inserted(text: str, found: _Object, new: Mapping[str, object], *, unit: str, is_root: bool) -> str:
    """Return the text with one new member of an object."""
    ((key, value),) = new.items()
    newline = _newline(text)
    content = text[found.start + 1 : found.end]
    last = found.members[-1] if found.members else None
    name = json.dumps(key, ensure_ascii=False)
    is_one_line = "\n" not in text[found.start : found.end]
    if is_one_line and (last is not None or not (is_root or "\n" in text.strip(_SPACE))):
        member = f"{name}: {json.dumps(value, ensure_ascii=False)}"
        if last is None:
            place = found.start + 1 + len(content.rstrip(_SPACE))
            return text[:place] + member + text[place:]
        if last.comma is None:
            return f"{text[: last.end]}, {member}{text[last.end :]}"
        place = last.comma + 1
        return f"{text[:place]} {member},{text[place:]}"
    # After everything that is there, such as a comment in the line of the last member.
    place = found.start + 1 + len(content.rstrip(_SPACE))
    base = _line_indent(text, found.start)
    indent = base + unit if last is None else _line_indent(text, last.start)
    member = f"{newline}{indent}{name}: {_rendered(value, unit, indent, newline)}"
    if last is None:
        closing = text[place : found.end]
        if "\n" not in closing:
            closing = newline + base
        return text[:place] + member + closing + text[found.end :]
    if last.comma is not None:
        return f"{text[:place]}{member},{text[place:]}"
    return f"{text[: last.end]},{text[last.end : place]}{member}{text[place:]}"


def _removed(text: str, plain: str, found: _Object, member: _Member) -> str:
    start = len(text[: member.start].rstrip(_SPACE))
    index = found.members.index(member)
    is_last = index == len(found.members) - 1
    end = member.end
    if index == 0 and is_last:
        inside = (
            text[found.start + 1 : member.start] + text[end if member.comma is None else member.comma + 1 : found.end]
        )
        if not inside.strip(_SPACE):
            return text[: found.start + 1] + text[found.end :]
    own = member.comma
    # A comment between the value and its comma stays.
    rest = text[end:] if own is None else text[end:own] + text[own + 1 :]
    ends_in_comment = plain[start - 1] == " "  # of both kinds, which does no harm
    if ends_in_comment and rest.partition("\n")[0].strip(_SPACE):
        start = member.start  # what follows in this line must not become a part of a comment in the line above
    if own is None and index > 0:
        previous = found.members[index - 1].comma
        assert previous is not None  # noqa: S101 - the text is valid: there is a comma between two members
        return text[:previous] + text[previous + 1 : start] + rest
    return text[:start] + rest
