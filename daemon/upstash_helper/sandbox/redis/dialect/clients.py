"""
CLIENT LIST, INFO, and KILL.

To the server, all connections come from the same Unix socket, including the sandbox's own. Clients are shown only the
TCP connections, with their addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from upstash_helper.sandbox.redis.dialect.translation import Dialect, Translation
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply, SimpleString

NOBODY = b"9223372036854775807"
"""An ID that no client has."""


def translate_client(command: Sequence[bytes], dialect: Dialect) -> Translation | None:
    """Translate the subcommands that have or return addresses."""
    match [word.lower() for word in command[1:]]:
        case [b"list" | b"info", *_]:
            return Translation(tuple(command), partial(_with_addresses, dialect))
        case [b"kill", address]:
            return Translation((*command[:2], b"ID", _id_of(address, dialect)), _as_old_format)
        case [b"kill", *filters] if b"addr" in filters[::2]:
            return Translation((*command[:2], *_without_addresses(command[2:], dialect)))
        case _:
            return None


def _with_addresses(dialect: Dialect, reply: Reply) -> Reply:
    if not isinstance(reply, bytes):
        return reply
    lines = []
    for line in reply.splitlines():
        fields = dict(field.partition(b"=")[::2] for field in line.split(b" "))
        client_id = fields.get(b"id", b"")
        addresses = dialect.addresses.get(int(client_id)) if client_id.isdigit() else None
        if addresses:
            fields[b"addr"], fields[b"laddr"] = addresses
            lines.append(b" ".join(b"%b=%b" % field for field in fields.items()) + b"\n")
    return b"".join(lines)


def _id_of(address: bytes, dialect: Dialect) -> bytes:
    for client_id, (remote, _) in dialect.addresses.items():
        if remote == address:
            return b"%d" % client_id
    return NOBODY


def _without_addresses(filters: Sequence[bytes], dialect: Dialect) -> list[bytes]:
    """Return the filters of CLIENT KILL with IDs instead of addresses."""
    changed = list(filters)
    for index in range(0, len(changed) - 1, 2):
        if changed[index].lower() == b"addr":
            changed[index : index + 2] = [b"ID", _id_of(changed[index + 1], dialect)]
    return changed


def _as_old_format(reply: Reply) -> Reply:
    """Return what ``CLIENT KILL address`` returns, without a filter: OK or an error, and no number."""
    if not isinstance(reply, int):
        return reply
    return SimpleString(b"OK") if reply else ErrorReply(b"ERR No such client")
