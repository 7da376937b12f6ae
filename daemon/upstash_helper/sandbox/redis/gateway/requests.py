"""
RESP requests: splits the bytes that a client sends into commands.

It is stricter than the server wherever the two could disagree about where a command ends. Otherwise, a client could
hide a forbidden command inside another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from upstash_helper.sandbox.redis.inline import UnbalancedQuotes, split_inline
from upstash_helper.sandbox.redis.resp import encode_command

MAX_INLINE_BYTES = 64 * 1024
MAX_NUMBER_BYTES = 20
MAX_ARGUMENTS = 2**31 - 1
MAX_BULK_BYTES = 512 * 1024 * 1024
"""As in Redis. A longer argument is an error of the protocol, after which the connection is closed."""
MAX_UNAUTHENTICATED_ARGUMENTS = 10
MAX_UNAUTHENTICATED_BYTES = 16 * 1024
"""As in Redis, so that a client cannot make the sandbox hold 10 MB before it has authenticated."""

STAR, DOLLAR = b"*$"
_SMALL_NUMBERS = {b"%d" % number: number for number in range(256)}


class Command(NamedTuple):
    """A command that the gateway looks at."""

    arguments: list[bytes]
    raw: bytes
    """The bytes that the client sent, to be forwarded."""


class Oversized(NamedTuple):
    """A command that is larger than allowed, and has been discarded."""

    size: int


class Malformed(NamedTuple):
    """Bytes that are not RESP. Nothing follows."""

    text: bytes


Item = bytes | Command | Oversized | Malformed
"""Bytes are one or more complete commands that need no attention."""


class RequestReader:
    """Splits one client's stream. Its attributes may be changed between two items."""

    def __init__(self, *, special: frozenset[bytes], limit: int) -> None:
        """
        Args:
            special: The commands, in lower case, to be returned as ``Command``.
            limit: The maximum size of a command, in bytes.
        """
        self.special = special
        self.limit = limit
        self.every_command = False
        """Whether all commands are returned as ``Command``."""
        self.authenticated = False
        """Whether the limits for unauthenticated clients no longer apply."""
        self._buffer = b""
        self._position = 0
        """Where to continue in the buffer, which begins with an incomplete command."""
        self._missing = -1
        """How many arguments of it are still to come; -1 before its first line was read."""
        self._name = b""
        self._discarded = 0
        """The size of the part of an oversized command that has been discarded; 0 if there is none."""
        self._to_skip = 0
        """How many bytes of an argument of an oversized command are still to come."""

    # One function, because it runs for every command: calls would cost more than anything else here.
    def feed(self, data: bytes) -> Iterator[Item]:  # noqa: C901, PLR0912, PLR0915
        """Yield the commands that are complete with these bytes."""
        buffer = self._buffer + data if self._buffer else data
        length = len(buffer)
        small, limit, special = _SMALL_NUMBERS, self.limit, self.special
        position, missing, name = self._position, self._missing, self._name
        start = forwarded = 0
        """``buffer[forwarded:start]`` are complete commands that need no attention."""
        try:
            while True:
                if self._discarded:
                    position, size = self._discard(buffer, position)
                    start = forwarded = position
                    missing = -1
                    if not size:
                        break
                    yield Oversized(size)
                if missing < 0:
                    start = position
                    if position >= length:
                        break
                    if buffer[position] != STAR:
                        end = buffer.find(b"\n", position, position + MAX_INLINE_BYTES)
                        if end < 0:
                            if length - position >= MAX_INLINE_BYTES:
                                raise _MalformedError(b"too big inline request")
                            break
                        if forwarded < start:
                            yield buffer[forwarded:start]
                        forwarded = start
                        arguments = _split_inline(buffer[position:end])
                        start = forwarded = position = end + 1
                        if arguments:
                            # Encoded again, so that the server does not have to agree about the quotes.
                            yield Command(arguments, encode_command(*arguments))
                        continue
                    end = buffer.find(b"\r\n", position, position + MAX_NUMBER_BYTES)
                    if end < 0:
                        if length - position >= MAX_NUMBER_BYTES:
                            raise _MalformedError(b"too big mbulk count string")
                        break
                    count = buffer[position + 1 : end]
                    missing = small.get(count, -1)
                    if missing < 0:
                        missing = _number(count.removeprefix(b"-"), MAX_ARGUMENTS, b"invalid multibulk length")
                    position = end + 2
                    if missing == 0 or count.startswith(b"-"):
                        if forwarded < start:
                            yield buffer[forwarded:start]
                        missing, forwarded = -1, position
                        continue
                    if not self.authenticated and missing > MAX_UNAUTHENTICATED_ARGUMENTS:
                        raise _MalformedError(b"unauthenticated multibulk length")
                    name = b""
                while missing:
                    if position >= length:
                        break
                    if buffer[position] != DOLLAR:
                        got = buffer[position : position + 1]
                        shown = got if got.isalnum() else b"another byte"
                        raise _MalformedError(b"expected '$', got '%b'" % shown)
                    end = buffer.find(b"\r\n", position, position + MAX_NUMBER_BYTES)
                    if end < 0:
                        if length - position >= MAX_NUMBER_BYTES:
                            raise _MalformedError(b"too big bulk count string")
                        break
                    digits = buffer[position + 1 : end]
                    size = small.get(digits, -1)
                    if size < 0:
                        size = _number(digits, MAX_BULK_BYTES, b"invalid bulk length")
                    if not self.authenticated and size > MAX_UNAUTHENTICATED_BYTES:
                        raise _MalformedError(b"unauthenticated bulk length")
                    after = end + size + 4
                    if after - start > limit:
                        self._discarded, self._to_skip, self._missing = position - start, 0, missing
                        break
                    if after > length:
                        break
                    if not name:
                        name = buffer[end + 2 : after - 2].lower() or b" "
                    position = after
                    missing -= 1
                if self._discarded:
                    if forwarded < start:
                        yield buffer[forwarded:start]
                    continue
                if missing:
                    break
                if self.every_command or name in special:
                    if forwarded < start:
                        yield buffer[forwarded:start]
                    raw = buffer[start:position]
                    forwarded = position
                    start = position  # in case the consumer stops here
                    missing = -1
                    yield Command(_arguments(raw), raw)
                missing = -1
        except _MalformedError as error:
            if forwarded < start:
                yield buffer[forwarded:start]
            yield Malformed(b"ERR Protocol error: " + error.text)
            return
        if forwarded < start:
            yield buffer[forwarded:start]
        self._buffer = buffer[start:]
        self._position, self._name = position - start, name
        if not self._discarded:
            self._missing = missing

    def _discard(self, buffer: bytes, position: int) -> tuple[int, int]:
        """
        Skip what is in the buffer of an oversized command.

        Returns: Where it ends, or the position up to which all is skipped; and its size, or 0 if more is to come.
        """
        length = len(buffer)
        while self._missing:
            if self._to_skip:
                skipped = min(self._to_skip, length - position)
                position += skipped
                self._to_skip -= skipped
                self._discarded += skipped
                if self._to_skip:
                    return position, 0
                self._missing -= 1
                continue
            if position >= length:
                return position, 0
            if buffer[position] != DOLLAR:
                raise _MalformedError(b"expected '$'")
            end = buffer.find(b"\r\n", position, position + MAX_NUMBER_BYTES)
            if end < 0:
                if length - position >= MAX_NUMBER_BYTES:
                    raise _MalformedError(b"too big bulk count string")
                return position, 0
            self._to_skip = _number(buffer[position + 1 : end], MAX_BULK_BYTES, b"invalid bulk length") + 2
            self._discarded += end + 2 - position
            position = end + 2
        size, self._discarded, self._missing = self._discarded, 0, -1
        return position, size


class _MalformedError(Exception):
    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text


def _number(digits: bytes, maximum: int, error: bytes) -> int:
    # int() also accepts signs, spaces, and underscores.
    if not digits.isdigit() or (number := int(digits)) > maximum:
        raise _MalformedError(error)
    return number


def _split_inline(line: bytes) -> list[bytes]:
    try:
        return split_inline(line)
    except UnbalancedQuotes:
        raise _MalformedError(b"unbalanced quotes in request") from None


def _arguments(raw: bytes) -> list[bytes]:
    """Return the arguments of a complete command."""
    arguments = []
    position = raw.index(b"\r\n") + 2
    length = len(raw)
    while position < length:
        end = raw.index(b"\r\n", position)
        after = end + int(raw[position + 1 : end]) + 4
        arguments.append(raw[end + 2 : after - 2])
        position = after
    return arguments
