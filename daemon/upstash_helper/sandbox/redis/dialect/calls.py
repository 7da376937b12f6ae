"""Calls of the sandbox's functions on the server (``lua/``), in place of commands that the server does not have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from upstash_helper.sandbox.redis.dialect.translation import Refused, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply

FUNCTION_PREFIX = b"upstash_helper_"


class InvalidArgument(ValueError):
    """The command fails when it is run. In a transaction, it is queued nevertheless, and the others are run."""


class Call(msgspec.Struct, frozen=True):
    """A call of a function."""

    function: bytes
    keys: Sequence[bytes]
    arguments: Sequence[bytes]


def translation_to(call: Call, command: bytes, *, writes: bool) -> Translation:
    """
    Return the translation of a command into a call.

    Args:
        call: The call.
        command: The command's name, in lower case, for the error that the read-only user gets.
        writes: Whether the command can change data.
    """
    caller = b"FCALL" if writes else b"FCALL_RO"
    return Translation(
        (caller, FUNCTION_PREFIX + call.function, b"%d" % len(call.keys), *call.keys, *call.arguments),
        # Both of a database's users may call functions that only read, whose replies can be large.
        _named(caller, command) if writes else None,
    )


def failure(key: bytes, error: Exception) -> Call:
    """Return a call that has an error as its reply, which an invalid argument becomes."""
    return Call(b"fail", (key,), (b"ERR " + one_line(str(error)).encode(),))


def wrong_number(command: bytes) -> Refused:
    """Return the refusal of a command with the wrong number of arguments."""
    return Refused(b"ERR wrong number of arguments for '%b' command" % command)


def one_line(text: str) -> str:
    """Return the text without characters that would end the line of an error."""
    return "".join(character if character.isprintable() else " " for character in text)


def _named(caller: bytes, name: bytes) -> Callable[[Reply], Reply]:
    """Return a function that replaces the name of the server's command in a refusal by the ACL."""
    server_name = b"'%b'" % caller.lower()

    def convert(reply: Reply) -> Reply:
        if isinstance(reply, ErrorReply) and reply.text.startswith(b"NOPERM "):
            return ErrorReply(reply.text.replace(server_name, b"'%b'" % name))
        return reply

    return convert
