"""
The commands ``JSON.*``, which Valkey does not have.

They run as functions on the server (``lua/``), so they are atomic, also in transactions. Their arguments are checked
and compiled here. An invalid path or value becomes a call that returns the error when it is run, because in a
transaction such a command is queued, and the others are run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from upstash_helper.sandbox.redis.dialect import json_path
from upstash_helper.sandbox.redis.dialect.calls import (
    Call,
    InvalidArgument,
    failure,
    one_line,
    translation_to,
    wrong_number,
)
from upstash_helper.sandbox.redis.dialect.json_path import ROOT, InvalidPath
from upstash_helper.sandbox.redis.dialect.json_text import InvalidJson, string_to_stored, to_stored
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Translation

Arguments = Sequence[bytes]

_INTEGER = re.compile(rb"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(rb"\s*-?[0-9.eE+-]+\s*")
_FORMATTING = {b"INDENT": "indent", b"NEWLINE": "newline", b"SPACE": "space"}

MAX_INDEX = 2**53
"""Lua's numbers are floats. No array has as many elements."""

# What a client can ask SCAN for. RedisJSON's name is accepted as well.
DOCUMENT_TYPES = {b"json": b"json", b"rejson-rl": b"json", b"stream": b"stream"}

HELP = (
    b"MEMORY <key> [path] - reports memory usage",
    b"HELP                - this message",
)


class _SyntaxError(ValueError):
    """The command has the wrong number of arguments."""


class Definition(msgspec.Struct, frozen=True):
    """One command."""

    compile: Callable[[bytes, Arguments], Call]
    """Returns the call of a function with this name. The arguments are as many as the numbers below allow."""
    writes: bool
    minimum: int
    """The smallest number of arguments."""
    maximum: int | None
    """The largest number of arguments, or None if there is no limit."""


def translate_json(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Return the call of a function that does what the command does.

    Raises:
        Refused: If the command has the wrong number of arguments.
    """
    name, *arguments = command
    name = name.lower()
    definition = COMMANDS.get(name)
    if definition is None or not dialect.functions:
        return None
    if len(arguments) < definition.minimum or (definition.maximum or len(arguments)) < len(arguments):
        raise wrong_number(name)
    try:
        call = definition.compile(name.replace(b".", b"_"), arguments)
    except _SyntaxError:
        raise wrong_number(name) from None
    except (InvalidArgument, InvalidJson, InvalidPath) as error:
        call = failure(arguments[0], error)
    return translation_to(call, name, writes=definition.writes)


def translate_type(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate TYPE, which returns ``json`` for a document, as at Upstash."""
    if len(command) != 2 or not dialect.functions:  # the server says what is wrong
        return None
    return translation_to(Call(b"type", (command[1],), ()), b"type", writes=False)


def translate_scan(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate SCAN if it is limited to documents or to streams: for the server, both are streams."""
    if not dialect.functions:
        return None
    for position in range(2, len(command) - 1, 2):
        kind = DOCUMENT_TYPES.get(command[position + 1].lower())
        if command[position].upper() == b"TYPE" and kind is not None:
            rest = (*command[1 : position + 1], b"stream", *command[position + 2 :])
            return translation_to(Call(b"scan", (), (kind, *rest)), b"scan", writes=False)
    return None


# --- arguments --------------------------------------------------------------------------------------------------------


def _path(text: bytes | None) -> bytes:
    path = json_path.parse(text) if text is not None else ROOT
    static = all(not deep and step in ("key", "index") and len(items) == 1 for step, deep, items in path.steps)
    return msgspec.json.encode(
        {
            "text": one_line(path.text),
            "name": string_to_stored(path.text),
            "legacy": path.legacy,
            "steps": path.steps,
            "static": static,
        }
    )


def _integer(text: bytes) -> bytes:
    if not _INTEGER.fullmatch(text):
        raise InvalidArgument("value is not an integer or out of range")
    return b"%d" % max(-MAX_INDEX, min(MAX_INDEX, int(text)))


def _text(argument: bytes) -> str:
    try:
        return argument.decode()
    except UnicodeError:
        raise InvalidArgument("an argument is not valid UTF-8") from None


def _values(texts: Arguments) -> list[bytes]:
    return [to_stored(text) for text in texts]


# --- commands ---------------------------------------------------------------------------------------------------------


def _optional_path(function: bytes, arguments: Arguments) -> Call:
    key, *rest = arguments
    return Call(function, (key,), [_path(rest[0] if rest else None)])


def _path_and_values(function: bytes, arguments: Arguments) -> Call:
    key, path, *values = arguments
    return Call(function, (key,), [_path(path), *_values(values)])


def _arrindex(function: bytes, arguments: Arguments) -> Call:
    key, path, value, *bounds = arguments
    start, stop = [_integer(bound) for bound in (*bounds, b"0", b"0")][:2]
    return Call(function, (key,), [_path(path), to_stored(value), start, stop])


def _arrinsert(function: bytes, arguments: Arguments) -> Call:
    key, path, index, *values = arguments
    return Call(function, (key,), [_path(path), _integer(index), *_values(values)])


def _arrpop(function: bytes, arguments: Arguments) -> Call:
    key, *rest = arguments
    path = rest[0] if rest else None
    index = rest[1] if rest[1:] else b"-1"
    return Call(function, (key,), [_path(path), _integer(index)])


def _arrtrim(function: bytes, arguments: Arguments) -> Call:
    key, path, start, stop = arguments
    return Call(function, (key,), [_path(path), _integer(start), _integer(stop)])


def _get(function: bytes, arguments: Arguments) -> Call:
    key, *rest = arguments
    formatting = dict.fromkeys(_FORMATTING.values(), "")
    formatted = False
    paths = []
    remaining = iter(rest)
    for argument in remaining:
        option = _FORMATTING.get(argument.upper())
        if option is not None:
            formatted = True
            formatting[option] = _text(_next(remaining))
        elif argument.upper() != b"NOESCAPE":  # of RedisJSON 1; it has no effect there either
            paths.append(_path(argument))
    return Call(
        function, (key,), [msgspec.json.encode({"formatted": formatted, **formatting}), *(paths or [_path(None)])]
    )


def _next(remaining: Iterator[bytes]) -> bytes:
    for argument in remaining:
        return argument
    raise _SyntaxError


def _set(function: bytes, arguments: Arguments) -> Call:
    key, path, value, *options = arguments
    options = [option.upper() for option in options]
    if options not in ([], [b"NX"], [b"XX"]):
        raise InvalidArgument("syntax error")
    return Call(function, (key,), [_path(path), to_stored(value), *options])


def _mget(function: bytes, arguments: Arguments) -> Call:
    *keys, path = arguments
    return Call(function, keys, [_path(path)])


def _mset(function: bytes, arguments: Arguments) -> Call:
    if len(arguments) % 3:
        raise _SyntaxError
    keys, paths, values = arguments[::3], arguments[1::3], arguments[2::3]
    compiled = [(_path(path), to_stored(value)) for path, value in zip(paths, values, strict=True)]
    return Call(function, keys, [argument for pair in compiled for argument in pair])


def _number(function: bytes, arguments: Arguments) -> Call:
    key, path, number = arguments
    if not _NUMBER.fullmatch(number):
        raise InvalidArgument("value is not a number")
    return Call(function, (key,), [_path(path), to_stored(number)])


def _strappend(function: bytes, arguments: Arguments) -> Call:
    key, *path, value = arguments
    stored = to_stored(value)
    if not stored.startswith(b'"'):
        raise InvalidArgument("the value is not a JSON string")
    return Call(function, (key,), [_path(path[0] if path else None), stored])


def _debug(_: bytes, arguments: Arguments) -> Call:
    subcommand, *rest = arguments
    if subcommand.upper() == b"HELP":
        return Call(b"json_debug_help", (), HELP)
    if subcommand.upper() != b"MEMORY":
        raise InvalidArgument("unknown subcommand - try `JSON.DEBUG HELP`")
    if not rest:
        raise _SyntaxError
    return _optional_path(b"json_debug_memory", rest)


def _forget(_: bytes, arguments: Arguments) -> Call:
    return _optional_path(b"json_del", arguments)


COMMANDS: dict[bytes, Definition] = {
    b"json.arrappend": Definition(_path_and_values, True, 3, None),
    b"json.arrindex": Definition(_arrindex, False, 3, 5),
    b"json.arrinsert": Definition(_arrinsert, True, 4, None),
    b"json.arrlen": Definition(_optional_path, False, 1, 2),
    b"json.arrpop": Definition(_arrpop, True, 1, 3),
    b"json.arrtrim": Definition(_arrtrim, True, 4, 4),
    b"json.clear": Definition(_optional_path, True, 1, 2),
    b"json.debug": Definition(_debug, False, 1, 3),
    b"json.del": Definition(_optional_path, True, 1, 2),
    b"json.forget": Definition(_forget, True, 1, 2),
    b"json.get": Definition(_get, False, 1, None),
    b"json.merge": Definition(_path_and_values, True, 3, 3),
    b"json.mget": Definition(_mget, False, 2, None),
    b"json.mset": Definition(_mset, True, 3, None),
    b"json.numincrby": Definition(_number, True, 3, 3),
    b"json.nummultby": Definition(_number, True, 3, 3),
    b"json.objkeys": Definition(_optional_path, False, 1, 2),
    b"json.objlen": Definition(_optional_path, False, 1, 2),
    b"json.resp": Definition(_optional_path, False, 1, 2),
    b"json.set": Definition(_set, True, 3, 4),
    b"json.strappend": Definition(_strappend, True, 2, 3),
    b"json.strlen": Definition(_optional_path, False, 1, 2),
    b"json.toggle": Definition(_path_and_values, True, 2, 2),
    b"json.type": Definition(_optional_path, False, 1, 2),
}
"""By name."""
