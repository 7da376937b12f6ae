"""MONITOR: shows each command that clients send, over TCP and REST."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence

MAX_BYTES = 32 * 1024 * 1024
"""How many bytes wait for a reader. A slower reader misses the rest."""

REDACTED = b"(redacted)"

_SPECIAL = re.compile(rb"[^ !#-\[\]-~]")
_ESCAPES = {byte: b"\\x%02x" % byte for byte in range(256) if not 0x20 <= byte < 0x7F}
_ESCAPES |= {ord(char): b"\\" + char.encode() for char in '\\"'}
_ESCAPES |= {10: b"\\n", 13: b"\\r", 9: b"\\t", 7: b"\\a", 8: b"\\b"}

Receiver = Callable[[bytes], None]


class Monitors:
    """The receivers that monitor one database."""

    def __init__(self) -> None:
        self._receivers: list[Receiver] = []

    def __len__(self) -> int:
        return len(self._receivers)

    def add(self, receiver: Receiver) -> None:
        """Call ``receiver`` with a line for each command."""
        self._receivers.append(receiver)

    def remove(self, receiver: Receiver) -> None:
        """Stop calling ``receiver``."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def show(self, command: Sequence[bytes], address: bytes) -> None:
        """Show a command of the client at this address."""
        if self._receivers:
            line = line_of(command, address, time.time())
            for receiver in list(self._receivers):
                receiver(line)

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the lines from now on. Stop if the reader is too slow."""
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        waiting = 0

        def receive(line: bytes) -> None:
            nonlocal waiting
            if waiting > MAX_BYTES:
                self.remove(receive)
            else:
                waiting += len(line)
                queue.put_nowait(line)

        self.add(receive)
        try:
            while receive in self._receivers or not queue.empty():
                line = await queue.get()
                waiting -= len(line)
                yield line
        finally:
            self.remove(receive)


def line_of(command: Sequence[bytes], address: bytes, now: float) -> bytes:
    """Return a line in Redis's format."""
    arguments = b" ".join(b'"%b"' % _escaped(argument) for argument in without_secrets(command))
    return b"%.6f [0 %b] %b" % (now, address, arguments)


def without_secrets(command: Sequence[bytes]) -> list[bytes]:
    """Return a command without passwords."""
    shown = list(command)
    name = command[0].lower()
    if name in {b"auth", b"acl"}:
        first = 1 if name == b"auth" else 2
        shown[first:] = [REDACTED] * len(shown[first:])
    elif name == b"hello":
        for index, option in enumerate(command):
            if index and option.lower() == b"auth":
                shown[index + 1 : index + 3] = [REDACTED] * len(shown[index + 1 : index + 3])
                break
    return shown


def _escaped(argument: bytes) -> bytes:
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0][0]], argument)
