"""
RESP2, the Redis serialization protocol version 2, as the REST API needs it.

Client libraries return Python values. The REST API needs the exact type on the wire: a simple string is not a bulk
string, and ``Upstash-Response-Format: resp2`` returns the encoded reply unchanged.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from upstash_helper.sandbox.errors import ServerError, WrongPassword

BUFFER_BYTES = 64 * 1024
MAX_NESTING = 64


class SimpleString(msgspec.Struct, frozen=True):
    """A simple string, such as ``OK``."""

    text: bytes


class ErrorReply(msgspec.Struct, frozen=True):
    """A simple error, such as ``ERR unknown command``."""

    text: bytes


Reply = SimpleString | ErrorReply | int | bytes | None | list["Reply"]
Address = Path | tuple[str, int]
"""The path of a Unix socket, or host and port."""


def encode_command(*arguments: bytes | str | int) -> bytes:
    """Encode a command as an array of bulk strings."""
    parts = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    bulks = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(bulks)


def encode_reply(reply: Reply) -> bytes:
    """Encode a reply."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case SimpleString(text):
            return b"+%b\r\n" % text
        case ErrorReply(text):
            return b"-%b\r\n" % text
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(encode_reply, reply))


class Connection:
    """One connection to a server, and a context manager that closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address, *, user: str, password: str) -> Connection:
        """
        Connect and authenticate.

        Raises:
            WrongPassword: If the server rejects the password.
            ServerError: If it does not respond.
        """
        try:
            reader, writer = await connect(address)
        except OSError as error:
            raise ServerError(f"the database's server does not respond: {error.strerror}") from error
        connection = cls(reader, writer)
        try:
            if isinstance(await connection.call("AUTH", user, password), ErrorReply):
                raise WrongPassword("the database's server rejected the password")
        except BaseException:  # also if cancelled: nobody else could close it
            connection.hang_up()
            raise
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, *arguments: bytes | str | int) -> Reply:
        """Send one command and return the reply, which can be an error reply."""
        (reply,) = await self.pipeline([arguments])
        return reply

    async def expect(self, *arguments: bytes | str | int) -> Reply:
        """
        Send one command that must succeed.

        Raises:
            ServerError: If the server returns an error reply.
        """
        reply = await self.call(*arguments)
        if isinstance(reply, ErrorReply):
            raise ServerError(f"{arguments[0]!s} failed: {reply.text.decode(errors='replace')}")
        return reply

    @property
    def closed(self) -> bool:
        """Whether the server has closed the connection."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def pipeline(
        self, commands: list[tuple[bytes | str | int, ...]], replied: Callable[[int], None] | None = None
    ) -> list[Reply]:
        """
        Send several commands at once and return their replies in order.

        Args:
            commands: The commands.
            replied: Called with the index of each command when the server has replied to it.

        Raises:
            ServerError: If the connection breaks.
        """
        try:
            self._writer.write(b"".join(encode_command(*command) for command in commands))
            _, replies = await asyncio.gather(self._writer.drain(), self._read_all(len(commands), replied))
        except (OSError, EOFError, ValueError) as error:
            raise ServerError("the database's server closed the connection") from error
        return replies

    async def receive(self) -> Reply:
        """
        Return the next reply, for commands that are answered more than once, such as SUBSCRIBE.

        Raises:
            ServerError: If the connection breaks.
        """
        try:
            return await self._read(MAX_NESTING)
        except (OSError, EOFError, ValueError) as error:
            raise ServerError("the database's server closed the connection") from error

    def hang_up(self) -> None:
        """Close the connection without waiting. A pending ``receive`` raises ``ServerError``."""
        self._writer.close()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def _read_all(self, count: int, replied: Callable[[int], None] | None) -> list[Reply]:
        replies = []
        for index in range(count):
            replies.append(await self._read(MAX_NESTING))
            if replied:
                replied(index)
        return replies

    async def _read_line(self) -> bytes:
        parts = []
        while True:
            try:
                parts.append(await self._reader.readuntil(b"\r\n"))
            except asyncio.LimitOverrunError as error:  # a script's errors and statuses can have any length
                parts.append(await self._reader.readexactly(error.consumed))
            else:
                return b"".join(parts)[:-2]

    async def _read(self, depth: int) -> Reply:
        line = await self._read_line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return SimpleString(rest)
        if kind == b"-":
            return ErrorReply(rest)
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"$":
            return (await self._reader.readexactly(size + 2))[:-2]
        if kind != b"*" or depth == 0:
            raise ValueError(kind)
        return [await self._read(depth - 1) for _ in range(size)]


async def connect(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """
    Connect to a Unix socket or a TCP port.

    Raises:
        OSError: If nothing listens there, or the platform has no Unix sockets.
    """
    path = address if isinstance(address, Path) else None
    if sys.platform != "win32" and path is not None:
        return await asyncio.open_unix_connection(path, limit=BUFFER_BYTES)
    if isinstance(address, Path):
        raise OSError(errno.EAFNOSUPPORT, "asyncio has no Unix sockets on this platform")
    return await asyncio.open_connection(*address, limit=BUFFER_BYTES)
