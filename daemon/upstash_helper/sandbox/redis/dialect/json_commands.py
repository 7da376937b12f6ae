"""
The commands ``JSON.*``, which Valkey does not have.

They run as functions on the server (``lua/``), so that they are atomic, also in transactions. Here their arguments are
checked and compiled. An invalid path or value becomes a call that returns the error when it is run, because in a
transaction such a command is queued, and the others are run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from upstash_helper.sandbox.redis.dialect import json_path
from upstash_helper.sandbox.redis.dialect.json_path import ROOT, InvalidPath
from upstash_helper.sandbox.redis.dialect.json_text import InvalidJson, string_to_stored, to_stored
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply

FUNCTION_PREFIX = b"upstash_helper_"

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


class _InvalidArgument(ValueError):
    """The reply is an error, but only when the command is run."""


class _SyntaxError(ValueError):
    """The command has the wrong number of arguments."""


class Call(msgspec.Struct, frozen=True):
    """A call of a function on the server."""

    keys: Arguments
    arguments: list[bytes]
    function: bytes | None = None
    """The function's name, if it differs from that of the command."""


class Definition(msgspec.Struct, frozen=True):
    """One command."""

    compile: Callable[[Arguments], Call]
    """Compiles the command's arguments. They are as many as the numbers below allow."""
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
        raise _wrong_number(name)
    try:
        call = definition.compile(arguments)
    except _SyntaxError:
        raise _wrong_number(name) from None
    except (_InvalidArgument, InvalidJson, InvalidPath) as error:
        call = Call((arguments[0],), [b"ERR " + _one_line(str(error)).encode()], b"json_fail")
    function = FUNCTION_PREFIX + (call.function or name.replace(b".", b"_"))
    caller = b"FCALL" if definition.writes else b"FCALL_RO"
    return Translation(
        (caller, function, b"%d" % len(call.keys), *call.keys, *call.arguments),
        # Both of a database's users may call functions that only read, whose replies can be large.
        _named(caller, name) if definition.writes else None,
    )


def translate_type(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate TYPE, which answers ``json`` for a document, as at Upstash."""
    if len(command) != 2 or not dialect.functions:  # the server says what is wrong
        return None
    return Translation((b"FCALL_RO", FUNCTION_PREFIX + b"type", b"1", command[1]))


def translate_scan(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate SCAN if it is limited to documents or to streams: for the server, both are streams."""
    if not dialect.functions:
        return None
    for position in range(2, len(command) - 1, 2):
        kind = DOCUMENT_TYPES.get(command[position + 1].lower())
        if command[position].upper() == b"TYPE" and kind is not None:
            rest = (*command[1 : position + 1], b"stream", *command[position + 2 :])
            return Translation((b"FCALL_RO", FUNCTION_PREFIX + b"scan", b"0", kind, *rest))
    return None


def _wrong_number(name: bytes) -> Refused:
    return Refused(b"ERR wrong number of arguments for '%b' command" % name)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _named(caller: bytes, name: bytes) -> Callable[[Reply], Reply]:
    """Return a function that replaces the name of the server's command in a refusal by the ACL."""
    server_name = b"'%b'" % caller.lower()

    def convert(reply: Reply) -> Reply:
        if isinstance(reply, ErrorReply) and reply.text.startswith(b"NOPERM "):
            return ErrorReply(reply.text.replace(server_name, b"'%b'" % name))
        return reply

    return convert


# --- arguments --------------------------------------------------------------------------------------------------------


def _path(text: bytes | None) -> bytes:
    path = json_path.parse(text) if text is not None else ROOT
    static = all(not deep and step in ("key", "index") and len(items) == 1 for step, deep, items in path.steps)
    return msgspec.json.encode(
        {
            "text": _one_line(path.text),
            "name": string_to_stored(path.text),
            "legacy": path.legacy,
            "steps": path.steps,
            "static": static,
        }
    )


def _integer(text: bytes) -> bytes:
    if not _INTEGER.fullmatch(text):
        raise _InvalidArgument("value is not an integer or out of range")
    return b"%d" % max(-MAX_INDEX, min(MAX_INDEX, int(text)))


def _text(argument: bytes) -> str:
    try:
        return argument.decode()
    except UnicodeError:
        raise _InvalidArgument("an argument is not valid UTF-8") from None


def _values(texts: Arguments) -> list[bytes]:
    return [to_stored(text) for text in texts]


# --- commands ---------------------------------------------------------------------------------------------------------


def _optional_path(arguments: Arguments) -> Call:
    key, *rest = arguments
    return Call((key,), [_path(rest[0] if rest else None)])


def _path_and_values(arguments: Arguments) -> Call:
    key, path, *values = arguments
    return Call((key,), [_path(path), *_values(values)])


def _arrindex(arguments: Arguments) -> Call:
    key, path, value, *bounds = arguments
    start, stop = [_integer(bound) for bound in (*bounds, b"0", b"0")][:2]
    return Call((key,), [_path(path), to_stored(value), start, stop])


def _arrinsert(arguments: Arguments) -> Call:
    key, path, index, *values = arguments
    return Call((key,), [_path(path), _integer(index), *_values(values)])


def _arrpop(arguments: Arguments) -> Call:
    key, *rest = arguments
    path = rest[0] if rest else None
    index = rest[1] if rest[1:] else b"-1"
    return Call((key,), [_path(path), _integer(index)])


def _arrtrim(arguments: Arguments) -> Call:
    key, path, start, stop = arguments
    return Call((key,), [_path(path), _integer(start), _integer(stop)])


def _get(arguments: Arguments) -> Call:
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
    return Call((key,), [msgspec.json.encode({"formatted": formatted, **formatting}), *(paths or [_path(None)])])


def _next(remaining: Iterator[bytes]) -> bytes:
    for argument in remaining:
        return argument
    raise _SyntaxError


def _set(arguments: Arguments) -> Call:
    key, path, value, *options = arguments
    option = b"".join(options).upper()
    if option not in (b"", b"NX", b"XX"):
        raise _InvalidArgument("syntax error")
    return Call((key,), [_path(path), to_stored(value), option])


def _mget(arguments: Arguments) -> Call:
    *keys, path = arguments
    return Call(keys, [_path(path)])


def _mset(arguments: Arguments) -> Call:
    if len(arguments) % 3:
        raise _SyntaxError
    keys, paths, values = arguments[::3], arguments[1::3], arguments[2::3]
    compiled = [(_path(path), to_stored(value)) for path, value in zip(paths, values, strict=True)]
    return Call(keys, [argument for pair in compiled for argument in pair])


def _number(arguments: Arguments) -> Call:
    key, path, number = arguments
    if not _NUMBER.fullmatch(number):
        raise _InvalidArgument("value is not a number")
    return Call((key,), [_path(path), to_stored(number)])


def _strappend(arguments: Arguments) -> Call:
    key, *path, value = arguments
    stored = to_stored(value)
    if not stored.startswith(b'"'):
        raise _InvalidArgument("the value is not a JSON string")
    return Call((key,), [_path(path[0] if path else None), stored])


def _debug(arguments: Arguments) -> Call:
    subcommand, *rest = arguments
    if subcommand.upper() == b"HELP":
        return Call((), list(HELP), b"json_debug_help")
    if subcommand.upper() != b"MEMORY":
        raise _InvalidArgument("unknown subcommand - try `JSON.DEBUG HELP`")
    if not rest:
        raise _SyntaxError
    return msgspec.structs.replace(_optional_path(rest), function=b"json_debug_memory")


def _forget(arguments: Arguments) -> Call:
    return msgspec.structs.replace(_optional_path(arguments), function=b"json_del")


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
