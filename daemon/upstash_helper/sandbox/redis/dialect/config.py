"""CONFIG. As at Upstash, clients can use only one parameter: the one for keyspace notifications."""

from __future__ import annotations

from collections.abc import Sequence

from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply

NOTIFICATIONS = b"notify-keyspace-events"


def translate_config(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """
    Check the parameters of CONFIG GET and CONFIG SET, and keep the new value.

    Raises:
        Refused: If there is another parameter.
    """
    subcommand = command[1].lower() if len(command) > 1 else b""
    if subcommand not in {b"get", b"set"}:
        return None
    for parameter in command[2::2] if subcommand == b"set" else command[2:]:
        if parameter.lower() != NOTIFICATIONS:
            raise Refused(
                b"NOPERM CONFIG %b '%b' is not available in this database, only '%b'"
                % (subcommand.upper(), _printable(parameter[:64]), NOTIFICATIONS)
            )
    if subcommand == b"get" or len(command) != 4:
        return None
    value = command[3]

    def convert(reply: Reply) -> Reply:
        if not isinstance(reply, ErrorReply):
            dialect.keep_notifications(value)
        return reply

    return Translation(tuple(command), convert)


def _printable(name: bytes) -> bytes:
    """Return a name without line breaks, which would end the error."""
    return name.replace(b"\r", b" ").replace(b"\n", b" ")
