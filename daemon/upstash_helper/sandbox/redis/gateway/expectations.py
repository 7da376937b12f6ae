"""
The replies that the gateway has to find, remove, or change in a server's stream.

Most replies are passed on unread. To find the reply to one command in the stream, the gateway sends a marker before the
command: another command, with a random name, whose reply is an error that contains the name.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable

import msgspec

from upstash_helper.sandbox.redis.gateway.replies import ReplyScanner, is_message, is_push
from upstash_helper.sandbox.redis.resp import encode_command

# Both are unique, and neither changes anything. An unknown command makes a transaction fail, and is possible while
# subscribed. The other one is possible before authentication.
_UNKNOWN_COMMAND = (b"-ERR unknown command '", b"', with args beginning with: \r\n")
_INVALID_HELLO = (b"-ERR Syntax error in HELLO option '", b"'\r\n")
_MAX_DIGITS = 19


class Marker(msgspec.Struct):
    """A reply to a marker. It is removed from the stream."""

    number: int
    replacement: bytes = b""
    """Written in its place."""
    then: Callable[[], None] | None = None
    """Called at this point of the stream."""


class NextReply(msgspec.Struct):
    """The next reply in the stream."""

    handle: Callable[[bytes], bytes]
    """Returns what the client gets in place of this reply."""


Expectation = Marker | NextReply


class Replies:
    """Edits the stream of one server's replies."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(16).encode()
        self._number = 0
        self._expected: deque[Expectation] = deque()
        self._held = bytearray()
        """The end of the stream so far, which cannot be passed on yet."""
        self._scanner = ReplyScanner()
        self.subscribed = False
        """Whether messages may come between replies."""

    @property
    def idle(self) -> bool:
        """Whether nothing is expected, so that all bytes can be passed on."""
        return not self._expected and not self._held

    def expect(self, *expected: Expectation) -> None:
        """Add expectations about the replies to the commands that are sent from now on."""
        self._expected.extend(expected)

    def new_marker(self, replacement: bytes = b"", then: Callable[[], None] | None = None) -> Marker:
        """Return a marker, which must be expected and sent."""
        self._number += 1
        return Marker(self._number, replacement, then)

    def encode_marker(self, marker: Marker, *, fails_transaction: bool) -> bytes:
        """
        Return the command to send for a marker.

        Args:
            marker: The marker.
            fails_transaction: Whether it is sent in a transaction, which it makes fail, or while subscribed.
        """
        name = b"%b.%d" % (self._token, marker.number)
        return encode_command(name) if fails_transaction else encode_command("HELLO", "2", name)

    def edit(self, data: bytes) -> bytes:
        """Return what the client gets of the stream with these bytes."""
        buffer: bytes | bytearray = data
        if self._held:
            self._held += data
            buffer = self._held
        output: list[bytes | bytearray] = []
        position, length = 0, len(buffer)
        while self._expected and position < length:
            expected = self._expected[0]
            if isinstance(expected, NextReply):
                size = self._scanner.scan(buffer, position)
                if size < 0:
                    break
                self._scanner = ReplyScanner()
                raw = bytes(buffer[position : position + size])
                position += size
                if is_push(raw) or (self.subscribed and is_message(raw)):
                    output.append(raw)
                    continue
                self._expected.popleft()
                output.append(expected.handle(raw))
                continue
            found = self._find_marker(buffer, position)
            if found is None:
                end = length - self._possible_marker(buffer, position)
                output.append(buffer[position:end])
                position = end
                break
            start, end, number = found
            output.append(buffer[position:start])
            position = end
            self._reach(number, output)
        if not self._expected:
            output.append(buffer[position:])
            position = length
        if position or buffer is data:  # otherwise all of it stays: a large reply is not copied with each piece
            self._held = bytearray(buffer[position:])
        return b"".join(output)

    def _reach(self, number: int, output: list[bytes | bytearray]) -> None:
        """Handle a marker, and drop the expectations before it: their commands have failed."""
        while self._expected:
            expected = self._expected.popleft()
            if isinstance(expected, Marker):
                if expected.number == number:
                    output.append(expected.replacement)
                if expected.then:
                    expected.then()
                if expected.number == number:
                    return

    def _find_marker(self, buffer: bytes | bytearray, position: int) -> tuple[int, int, int] | None:
        """Return where the first marker's reply begins and ends, and its number."""
        at = buffer.find(self._token, position)
        while at >= 0:
            for prefix, suffix in (_UNKNOWN_COMMAND, _INVALID_HELLO):
                start, after = at - len(prefix), at + len(self._token) + 1
                end = buffer.find(suffix, after, after + _MAX_DIGITS + len(suffix))
                if start >= position and end >= 0 and buffer.startswith(prefix, start):
                    return start, end + len(suffix), int(buffer[after:end])
            at = buffer.find(self._token, at + 1)
        return None

    def _possible_marker(self, buffer: bytes | bytearray, position: int) -> int:
        """Return how many of the last bytes could be the beginning of a marker's reply."""
        longest = sum(map(len, _UNKNOWN_COMMAND)) + len(self._token) + 1 + _MAX_DIGITS
        start = buffer.find(b"-", max(position, len(buffer) - longest))
        while start >= 0:
            rest = buffer[start:]
            for prefix, suffix in (_UNKNOWN_COMMAND, _INVALID_HELLO):
                pattern = prefix + self._token
                if pattern.startswith(rest) or (rest.startswith(pattern) and suffix not in rest):
                    return len(rest)
            start = buffer.find(b"-", start + 1)
        return 0
