"""Commands of newer versions of Redis that Upstash has and Valkey does not, run as functions (``lua/newer.lua``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from upstash_helper.sandbox.redis.dialect.calls import Call, InvalidArgument, failure, translation_to, wrong_number
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Translation

BIT_OPERATIONS = frozenset({b"DIFF", b"DIFF1", b"ANDOR", b"ONE"})
"""Those of BITOP that the server does not have."""

POLICIES = frozenset({b"KEEPREF", b"DELREF", b"ACKED"})

_ID = re.compile(rb"([0-9]{1,20})(?:-([0-9]{1,20}))?")
_LARGEST = 2**64 - 1


def translate_bitop(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate BITOP with one of the newer operations."""
    if not dialect.functions or len(command) < 4 or command[1].upper() not in BIT_OPERATIONS:
        return None
    operation = command[1].upper()
    call = Call(b"bitop", command[2:], (operation,))
    if operation != b"ONE" and len(call.keys) < 3:  # the destination and two sources
        message = f"BITOP {operation.decode()} must be called with at least two source keys."
        call = failure(command[2], InvalidArgument(message))
    return translation_to(call, b"bitop", writes=True)


def translate_delex(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate DELEX.

    Raises:
        Refused: If it has the wrong number of arguments.
    """
    return _translate(command, dialect, _delex, minimum=2, writes=True)


def translate_setcard(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate SDIFFCARD and SUNIONCARD.

    Raises:
        Refused: If it has the wrong number of arguments.
    """
    return _translate(command, dialect, _setcard, minimum=3, writes=False)


def translate_xdelex(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate XDELEX.

    Raises:
        Refused: If it has the wrong number of arguments.
    """
    return _translate(command, dialect, _xdelex, minimum=5, writes=True)


def translate_xackdel(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Translate XACKDEL.

    Raises:
        Refused: If it has the wrong number of arguments.
    """
    return _translate(command, dialect, _xackdel, minimum=6, writes=True)


def _translate(
    command: Sequence[bytes],
    dialect: Dialect,
    compile_: Callable[[Sequence[bytes]], Call | None],
    *,
    minimum: int,
    writes: bool,
) -> Translation | None:
    if not dialect.functions:
        return None
    name = command[0].lower()
    if len(command) < minimum:
        raise wrong_number(name)
    try:
        call = compile_(command)
    except InvalidArgument as error:
        call = failure(command[1], error)
    if call is None:
        return Translation((b"DEL", command[1]))
    return translation_to(call, name, writes=writes)


def _delex(command: Sequence[bytes]) -> Call | None:
    _, key, *condition = command
    if not condition:
        return None
    operator = condition[0].upper()
    if operator in {b"IFDEQ", b"IFDNE"}:
        raise InvalidArgument("the sandbox does not have the digests of IFDEQ and IFDNE")
    if operator not in {b"IFEQ", b"IFNE"} or len(condition) != 2:
        raise InvalidArgument("syntax error")
    return Call(b"delex", (key,), (operator, condition[1]))


def _setcard(command: Sequence[bytes]) -> Call:
    name, number, *rest = command
    if not re.fullmatch(rb"[0-9]{1,9}", number) or int(number) == 0:
        raise InvalidArgument("numkeys should be greater than 0")
    count = int(number)
    if count > len(rest):
        raise InvalidArgument("Number of keys can't be greater than number of args")
    keys, options = rest[:count], [option.upper() for option in rest[count:]]
    if name.lower() == b"sunioncard" and b"APPROX" in options:
        options.remove(b"APPROX")  # the exact number is within the error of an estimate
    limit = b"0"
    if options:
        if options[0] != b"LIMIT" or len(options) != 2:
            raise InvalidArgument("syntax error")
        limit = options[1]
        if not re.fullmatch(rb"[0-9]{1,15}", limit):
            raise InvalidArgument("LIMIT can't be negative")
    return Call(name.lower(), keys, (limit,))


def _xdelex(command: Sequence[bytes]) -> Call:
    _, key, *rest = command
    return Call(b"xdelex", (key,), _policy_and_ids(rest))


def _xackdel(command: Sequence[bytes]) -> Call:
    _, key, group, *rest = command
    return Call(b"xackdel", (key,), (group, *_policy_and_ids(rest)))


def _policy_and_ids(arguments: Sequence[bytes]) -> list[bytes]:
    rest = list(arguments)
    policy = rest.pop(0).upper() if rest[0].upper() in POLICIES else b"KEEPREF"
    if len(rest) < 3 or rest[0].upper() != b"IDS":
        raise InvalidArgument("syntax error")
    _, number, *ids = rest
    if not re.fullmatch(rb"[0-9]{1,9}", number) or int(number) == 0:
        raise InvalidArgument("Number of IDs must be a positive integer")
    if int(number) != len(ids):
        raise InvalidArgument("The `numids` parameter must match the number of arguments")
    return [policy, *map(_complete_id, ids)]


def _complete_id(text: bytes) -> bytes:
    found = _ID.fullmatch(text)
    if found is None or any(int(part) > _LARGEST for part in found.groups(b"0")):
        raise InvalidArgument("Invalid stream ID specified as stream command argument")
    return b"%d-%d" % tuple(int(part) for part in found.groups(b"0"))
