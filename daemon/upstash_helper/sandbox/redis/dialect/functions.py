"""
The function library that the sandbox loads into each server, hidden from the database's clients.

Clients can load their own functions. They cannot list, call, or delete this library.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources

from upstash_helper.sandbox.redis.dialect.calls import FUNCTION_PREFIX
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.inline import UnbalancedQuotes, split_inline
from upstash_helper.sandbox.redis.resp import Connection, Reply

LIBRARY = b"upstash_helper"
DEFINITIONS = ("values.lua", "paths.lua", "documents.lua", "newer.lua", "callbacks.lua")
"""In this order: each file uses what the ones before it define."""

SUBCOMMANDS = frozenset(b"delete flush help kill list load stats".split())
"""The subcommands of FUNCTION at Upstash. DUMP and RESTORE would show and remove the sandbox's library."""

_REGISTERED = re.compile(rb"^  '([a-z_]+)',$", re.MULTILINE)
_ACL_RULE = re.compile(rb" ?\+fcall(?:_ro)?\|" + FUNCTION_PREFIX + rb"[a-z_]+")
_RDB_VERSION = (11).to_bytes(2, "little")  # of Redis 7.2, which every version of Valkey reads
_RDB_FUNCTION = b"\xf5"
_RDB_LONG_STRING = b"\x80"
_CRC64_POLYNOMIAL = 0x95AC9329AC4BC9B5


async def load_functions(admin: Connection) -> None:
    """
    Load the library into a server that has just started, in place of an older version in its data.

    Raises:
        ServerError: If the server does not accept it.
    """
    await admin.expect("FUNCTION", "LOAD", "REPLACE", library_code())


@cache
def acl_rules() -> tuple[bytes, ...]:
    """
    Return the rules with which a user can call the library's functions.

    It is safe to give them to every user: the server also checks the commands that a function runs.
    """
    readers, _, writers = _registration().partition(b"'no-writes'")
    called = [(b"fcall_ro", name) for name in _REGISTERED.findall(readers)]
    called += [(b"fcall", name) for name in (*_REGISTERED.findall(writers), b"fail")]
    return tuple(b"+%b|%b%b" % (caller, FUNCTION_PREFIX, name) for caller, name in called)


def without_acl_rules(text: bytes) -> bytes:
    """Return a user's rules, as the server shows them, without those of ``acl_rules``."""
    return _ACL_RULE.sub(b"", text)


@cache
def library_code() -> bytes:
    """Return the source of the library."""
    definitions = b"\n".join(_source(name) for name in DEFINITIONS)
    return b"#!lua name=%b\nlocal function define()\n%b\nend\n%b" % (LIBRARY, definitions, _registration())


def _source(name: str) -> bytes:
    # The server counts lines by LF.
    return (resources.files(__package__) / "lua" / name).read_bytes().replace(b"\r\n", b"\n")


@cache
def _registration() -> bytes:
    return _source("register.lua")


def translate_function(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate FUNCTION, so that clients neither see nor change the library.

    Raises:
        Refused: If the subcommand is not one of Upstash's, or names the library.
    """
    if len(command) == 1 or not dialect.functions:
        return None
    subcommand = command[1].lower()
    if subcommand not in SUBCOMMANDS:
        raise Refused(b"ERR unknown subcommand '%b'. Try FUNCTION HELP." % _printable(command[1]))
    if subcommand == b"list":
        return Translation(tuple(command), _without_library)
    if subcommand == b"stats":
        return Translation(tuple(command), _without_counts)
    if subcommand == b"flush" and [option.upper() for option in command[2:]] in ([], [b"SYNC"], [b"ASYNC"]):
        # Flushes and loads the library again, in one step.
        return Translation((b"FUNCTION", b"RESTORE", _dump(), b"FLUSH"))
    if subcommand == b"delete" and list(command[2:]) == [LIBRARY]:
        raise Refused(b"ERR Library not found")
    if subcommand == b"load" and _names_library(command[-1]):
        raise Refused(b"ERR Library '%b' already exists" % LIBRARY)
    if subcommand == b"load" and FUNCTION_PREFIX in command[-1].lower():
        # The server would not load a later version of the library if it had a function with the same name.
        raise Refused(b"ERR Names of functions that begin with '%b' are reserved" % FUNCTION_PREFIX)
    return None


def translate_fcall(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Check that FCALL or FCALL_RO calls one of the client's own functions.

    Raises:
        Refused: If it does not.
    """
    if dialect.functions and len(command) > 1 and command[1].lower().startswith(FUNCTION_PREFIX):
        raise Refused(b"ERR Function not found")
    return None


def _printable(text: bytes) -> bytes:
    return bytes(byte if 32 <= byte < 127 else 32 for byte in text[:128])


def _names_library(code: bytes) -> bool:
    try:
        options = split_inline(code.partition(b"\n")[0])  # as the server does: the name can be in quotes
    except UnbalancedQuotes:
        return False  # the server does not accept them either
    return any(option.lower() == b"name=" + LIBRARY for option in options)


def _without_library(reply: Reply) -> Reply:
    if not isinstance(reply, list):
        return reply
    return [library for library in reply if not (isinstance(library, list) and LIBRARY in library[1::2])]


def _without_counts(reply: Reply) -> Reply:
    # [b"running_script", …, b"engines", [b"LUA", [b"libraries_count", 2, b"functions_count", 30]]]
    if not isinstance(reply, list):
        return reply
    engines = _value(reply, b"engines")
    counts = _value(engines, b"LUA")
    if isinstance(counts, list):
        own = {b"libraries_count": 1, b"functions_count": len(_REGISTERED.findall(_registration()))}
        for name, number in own.items():
            position = counts.index(name) + 1
            found = counts[position]
            counts[position] = found - number if isinstance(found, int) else found
    return reply


def _value(pairs: Reply, name: bytes) -> Reply:
    return pairs[pairs.index(name) + 1] if isinstance(pairs, list) and name in pairs else None


@cache
def _dump() -> bytes:
    """Return the library in the format of FUNCTION DUMP: a part of an RDB file, its version, and a checksum."""
    code = library_code()
    content = _RDB_FUNCTION + _RDB_LONG_STRING + len(code).to_bytes(4, "big") + code + _RDB_VERSION
    return content + _crc64(content).to_bytes(8, "little")


def _crc64(data: bytes) -> int:
    """Return the checksum with the polynomial of Jones, bits reversed, which Redis uses."""
    table = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_CRC64_POLYNOMIAL if entry & 1 else 0)  # noqa: PLW2901
        table.append(entry)
    checksum = 0
    for byte in data:
        checksum = table[(checksum ^ byte) & 0xFF] ^ checksum >> 8
    return checksum
