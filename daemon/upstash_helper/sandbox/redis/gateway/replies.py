"""RESP replies, version 2 and 3, where the gateway has to look at one in a server's stream."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from upstash_helper.sandbox.redis.resp import ErrorReply, Reply, SimpleString, encode_reply

MAX_NESTING = 64

_BULKS = frozenset(b"$=!")
_AGGREGATES = frozenset(b"*~>")
_MESSAGES = (b"*3\r\n$7\r\nmessage\r\n", b"*4\r\n$8\r\npmessage\r\n", b"*3\r\n$8\r\nsmessage\r\n")
_PAIRS = frozenset(b"%|")
_SCALARS: dict[bytes, Callable[[bytes], Reply]] = {
    b"+": SimpleString,
    b"-": ErrorReply,
    b":": int,
    b"_": lambda _: None,
}


class ReplyScanner:
    """Finds the end of a reply, however it is cut into pieces."""

    def __init__(self) -> None:
        self._position = 0
        self._missing = 1

    def scan(self, buffer: bytes | bytearray, start: int = 0) -> int:
        """Return the length of the reply that begins at ``start``, or -1 if it is incomplete: then call again."""
        position, missing = start + self._position, self._missing
        length = len(buffer)
        while missing:
            end = buffer.find(b"\r\n", position)
            if end < 0:
                break
            kind = buffer[position]
            after = end + 2
            if kind in _BULKS:
                size = int(buffer[position + 1 : end])
                if size >= 0:
                    after += size + 2
                if after > length:
                    break
                missing -= 1
            elif kind in _AGGREGATES:
                missing += max(0, int(buffer[position + 1 : end])) - 1
            elif kind in _PAIRS:
                # An attribute (|) precedes the reply that it belongs to.
                missing += 2 * int(buffer[position + 1 : end]) - (kind != ord("|"))
            else:
                missing -= 1
            position = after
        self._position, self._missing = position - start, missing
        return -1 if missing else position - start


def array_items(raw: bytes) -> list[bytes] | None:
    """Return the items of a complete reply that is an array, each as it is in the stream; None if it is not one."""
    if not raw.startswith(b"*") or raw.startswith(b"*-"):
        return None
    position = raw.index(b"\r\n") + 2
    items = []
    while position < len(raw):
        size = ReplyScanner().scan(raw, position)
        items.append(raw[position : position + size])
        position += size
    return items


def is_push(raw: bytes) -> bool:
    """Return whether these bytes begin with a message that is no reply (RESP3)."""
    return raw[:1] == b">"


def is_message(raw: bytes) -> bool:
    """Return whether this is a message to a subscriber in RESP2, where it is an array like others."""
    return raw.startswith(_MESSAGES)


class Unparsed(msgspec.Struct, frozen=True):
    """A reply of a type that only RESP3 has. It is passed on."""

    raw: bytes


def parse_reply(raw: bytes) -> Reply | Unparsed:
    """Return a complete reply. A verbatim string becomes a bulk string."""
    reply, _ = _parse(raw, 0, MAX_NESTING)
    return reply


def encode(reply: Reply | Unparsed, protocol: int) -> bytes:
    """Encode a reply in a version of the protocol."""
    if isinstance(reply, Unparsed):
        return reply.raw
    if reply is None and protocol == 3:
        return b"_\r\n"
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(encode(item, protocol) for item in reply)
    return encode_reply(reply)


def _parse(raw: bytes, position: int, depth: int) -> tuple[Reply | Unparsed, int]:
    end = raw.index(b"\r\n", position)
    kind, line = raw[position : position + 1], raw[position + 1 : end]
    if kind in _SCALARS:
        return _SCALARS[kind](line), end + 2
    if kind in b"$*" and line == b"-1":
        return None, end + 2
    if kind in b"$=":
        after = end + 2 + int(line)
        value = raw[end + 2 : after]
        return (value[4:] if kind == b"=" else value), after + 2
    if kind == b"*" and depth:
        items = []
        position = end + 2
        for _ in range(int(line)):
            item, position = _parse(raw, position, depth - 1)
            items.append(item)
        return items, position  # type: ignore[return-value]  # an Unparsed inside is passed on by `encode`
    length = ReplyScanner().scan(raw, position)
    return Unparsed(raw[position : position + length]), position + length
