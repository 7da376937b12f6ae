"""The commands that Upstash refuses over REST."""

from __future__ import annotations

from upstash_helper.sandbox.redis.rest.commands import Command, name_of

STREAMS = frozenset({"monitor", "psubscribe", "subscribe"})
"""The commands that have their own paths, for streams of events."""

# They read or change the state of a connection, which several requests can share. Upstash allows only PING and ECHO.
CONNECTION_COMMANDS = frozenset(
    b"asking auth client discard exec hello monitor multi psubscribe psync punsubscribe quit readonly readwrite reset "
    b"select ssubscribe subscribe sunsubscribe sync unsubscribe unwatch watch".split()
)
BLOCKING_COMMANDS = frozenset(b"blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin".split())


def refusal(command: Command) -> str | None:
    """Return Upstash's text if it refuses to run this command over REST, otherwise None."""
    name = command[0].lower()
    if name not in CONNECTION_COMMANDS and name not in BLOCKING_COMMANDS and not _blocks(name, command):
        return None
    return f'ERR Command "{name_of(command)}" is not allowed in REST or it has a special context path'


def _blocks(name: bytes, command: Command) -> bool:
    """Return whether it is XREAD or XREADGROUP with the option BLOCK."""
    if name not in {b"xread", b"xreadgroup"}:
        return False
    position = 4 if name == b"xreadgroup" and command[1:2] and command[1].lower() == b"group" else 1
    while position < len(command):
        option = command[position].lower()
        if option in {b"block", b"streams"}:
            return option == b"block"
        position += 2 if option == b"count" else 1
    return False
