"""
Paths into a JSON document: JSONPath (``$.a[0]``) and the older syntax of RedisJSON (``.a[0]``).

A path is compiled here, so that the server only follows its steps. A step is a list:

- ``["key", deep, [name, ...]]``: members of an object, with the names in their stored form
- ``["index", deep, [index, ...]]``: elements of an array
- ``["slice", deep, [start, stop, step]]``: with ``False`` for a start or stop that is missing
- ``["all", deep, []]``: every member or element
- ``["filter", deep, expression]``: the members or elements for which the expression is true

``deep`` is whether the step is taken in every value below as well (``..``).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from upstash_helper.sandbox.redis.dialect.json_text import InvalidJson, string_to_stored, to_stored

Step = list[Any]
Expression = list[Any]

MAX_NESTING = 32
"""Of parentheses in a filter."""

_NAME = re.compile(r"""[^\s\x00.,:;"'\[\](){}*?@=<>!&|\\][^\s\x00.,;"'\[\](){}*?@=<>!&|\\]*""")
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_COMPARISON = re.compile(r"==|!=|<=|>=|=~|<|>")
_WORD = re.compile(r"true|false|null")


class InvalidPath(ValueError):
    """The path is not valid, or uses something that the sandbox does not have."""


class Path(msgspec.Struct, frozen=True):
    """A compiled path."""

    text: str
    """As the client wrote it."""
    legacy: bool
    """Whether it has the older syntax, which selects one value instead of a list."""
    steps: list[Step]

    @property
    def is_root(self) -> bool:
        """Whether it selects the whole document."""
        return not self.steps


ROOT = Path(".", legacy=True, steps=[])


def parse(path: bytes) -> Path:
    """
    Compile a path.

    Raises:
        InvalidPath: With the reason.
    """
    try:
        text = path.decode()
    except UnicodeError:
        raise InvalidPath("a path is not valid UTF-8") from None
    legacy = not re.match(r"\$(\Z|[.\[])", text)
    if not legacy:
        jsonpath = text
    elif text == ".":
        jsonpath = "$"
    else:
        jsonpath = f"${text}" if text.startswith((".", "[")) else f"$.{text}"
    parser = _Parser(jsonpath)
    parser.expect("$")
    steps = parser.steps()
    if not parser.at_end:
        raise parser.error()
    return Path(text, legacy=legacy, steps=steps)


class _Parser:
    """A recursive-descent parser."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._text)

    def error(self) -> InvalidPath:
        return InvalidPath(f"invalid path: syntax error at position {self._at + 1} of '{self._text}'")

    def accept(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        if found:
            self._at += len(token)
        return found

    def expect(self, token: str) -> None:
        if not self.accept(token):
            raise self.error()

    def match(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found.group()

    def skip_spaces(self) -> None:
        while self.accept(" "):
            pass

    # --- steps ---

    def steps(self, *, bare_name: bool = False) -> list[Step]:
        """Parse steps as far as there are any. ``bare_name`` allows the first to be a name without a dot."""
        found = []
        if bare_name and (name := self.match(_NAME)) is not None:
            found.append(_key_step(name, deep=False))
        while (step := self._step()) is not None:
            found.append(step)
        return found

    def _step(self) -> Step | None:
        if self.accept("["):
            return self._bracket(deep=False)
        if not self.accept("."):
            return None
        deep = self.accept(".")
        if self.accept("["):
            return self._bracket(deep=deep)
        if self.accept("*"):
            return ["all", deep, []]
        name = self.match(_NAME)
        if name is None:
            raise self.error()
        return _key_step(name, deep=deep)

    def _bracket(self, *, deep: bool) -> Step:
        self.skip_spaces()
        step: Step
        if self.accept("*"):
            step = ["all", deep, []]
        elif self.accept("?"):
            step = ["filter", deep, self._either()]
        elif self._text.startswith(("'", '"'), self._at):
            step = ["key", deep, [string_to_stored(name) for name in self._list(self._string)]]
        else:
            step = self._indexes_or_slice(deep=deep)
        self.skip_spaces()
        self.expect("]")
        return step

    def _indexes_or_slice(self, *, deep: bool) -> Step:
        start = self.match(_INTEGER)
        self.skip_spaces()
        if not self.accept(":"):
            if start is None:
                raise self.error()
            rest = self._list(self._integer) if self.accept(",") else []
            return ["index", deep, [int(start), *rest]]
        self.skip_spaces()
        stop = self.match(_INTEGER)
        self.skip_spaces()
        by = None
        if self.accept(":"):
            self.skip_spaces()
            by = self.match(_INTEGER)
            if by is not None and int(by) < 1:
                raise self.error()
        return ["slice", deep, [_integer_or_false(start), _integer_or_false(stop), int(by or 1)]]

    def _list(self, item: Any) -> list[Any]:
        items = []
        while True:
            self.skip_spaces()
            items.append(item())
            self.skip_spaces()
            if not self.accept(","):
                return items

    def _integer(self) -> int:
        number = self.match(_INTEGER)
        if number is None:
            raise self.error()
        return int(number)

    def _string(self) -> str:
        quote = '"' if self.accept('"') else "'"
        if quote == "'":
            self.expect("'")
        characters = []
        while not self.accept(quote):
            if self.accept("\\") and self._text[self._at : self._at + 1] not in ("'", '"', "\\"):
                raise self.error()
            if self.at_end:
                raise self.error()
            characters.append(self._text[self._at])
            self._at += 1
        return "".join(characters)

    # --- filters ---

    def _either(self) -> Expression:
        left = self._both()
        while self.accept("||"):
            left = ["or", left, self._both()]
        return left

    def _both(self) -> Expression:
        left = self._condition()
        while self.accept("&&"):
            left = ["and", left, self._condition()]
        return left

    def _condition(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise InvalidPath("invalid path: its filter is nested too deeply")
        self.skip_spaces()
        if self.accept("("):
            condition = self._either()
            self.expect(")")
        elif self.accept("!"):
            condition = ["not", self._condition()]
        else:
            condition = self._comparison()
        self.skip_spaces()
        self._depth -= 1
        return condition

    def _comparison(self) -> Expression:
        left = self._term()
        self.skip_spaces()
        operator = self.match(_COMPARISON)
        if operator is None:
            return ["exists", left]
        if operator == "=~":
            raise InvalidPath("the sandbox does not have regular expressions (=~) in filters")
        self.skip_spaces()
        return ["compare", operator, left, self._term()]

    def _term(self) -> Expression:
        if self.accept("@"):
            return ["current", self.steps(bare_name=True)]
        if self.accept("$"):
            return ["root", self.steps()]
        if self._text.startswith(("'", '"'), self._at):
            return ["value", string_to_stored(self._string())]
        literal = self.match(_WORD) or self.match(_NUMBER)
        if literal is None:
            raise self.error()
        try:
            return ["value", to_stored(literal.encode()).decode()]
        except InvalidJson:
            raise self.error() from None


def _key_step(name: str, *, deep: bool) -> Step:
    return ["key", deep, [string_to_stored(name)]]


def _integer_or_false(text: str | None) -> int | bool:
    return int(text) if text is not None else False
