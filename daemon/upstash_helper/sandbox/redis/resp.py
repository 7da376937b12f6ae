"""
The Redis serialization protocol, version 2, as the data plane needs it.

A client library gives Python values; here the exact type on the wire counts (a status is not a string), and
``Upstash-Response-Format: resp2`` passes the bytes on as they are.
"""

from __future__ import annotations

import asyncio
import errno
import sys
from pathlib import Path
from typing import Self

import msgspec

from upstash_helper.sandbox.errors import ServerFailed

LONGEST_LINE = 64 * 1024
DEEPEST_REPLY = 64


class Status(msgspec.Struct, frozen=True):
    """A simple string, such as ``OK``."""

    text: bytes


class Failure(msgspec.Struct, frozen=True):
    """An error, such as ``ERR unknown command``."""

    text: bytes


Reply = Status | Failure | int | bytes | None | list["Reply"]
Address = Path | tuple[str, int]
"""A unix socket, or host and port."""


def encode_command(*arguments: bytes | str | int) -> bytes:
    """Return a command as an array of bulk strings."""
    parts = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    bulks = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n" % len(parts) + b"".join(bulks)


def encode_reply(reply: Reply) -> bytes:
    """Return a reply as it was on the wire."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case Status(text):
            return b"+%b\r\n" % text
        case Failure(text):
            return b"-%b\r\n" % text
        case list():
            return b"*%d\r\n" % len(reply) + b"".join(map(encode_reply, reply))


class Connection:
    """One connection to a server. Use it as a context manager; it is closed on leaving."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address, *, user: str, password: str) -> Connection:
        """
        Connect and authenticate.

        Raises:
            ServerFailed: If the server does not answer, or refuses the password.
        """
        try:
            reader, writer = await connect(address)
        except OSError as error:
            raise ServerFailed(f"the database's server does not answer: {error.strerror}") from error
        connection = cls(reader, writer)
        if isinstance(await connection.call("AUTH", user, password), Failure):
            await connection.close()
            raise ServerFailed("the database's server refused its own password")
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def call(self, *arguments: bytes | str | int) -> Reply:
        """Send one command and return the reply, an error reply too."""
        (reply,) = await self.pipeline([arguments])
        return reply

    async def expect(self, *arguments: bytes | str | int) -> Reply:
        """
        Send one command that must succeed.

        Raises:
            ServerFailed: If the server answers with an error.
        """
        reply = await self.call(*arguments)
        if isinstance(reply, Failure):
            raise ServerFailed(f"{arguments[0]!s} failed: {reply.text.decode(errors='replace')}")
        return reply

    async def pipeline(self, commands: list[tuple[bytes | str | int, ...]]) -> list[Reply]:
        """
        Send all commands at once and return their replies in order.

        Raises:
            ServerFailed: If the connection breaks.
        """
        try:
            self._writer.write(b"".join(encode_command(*command) for command in commands))
            _, replies = await asyncio.gather(self._writer.drain(), self._read_all(len(commands)))
        except (OSError, EOFError, ValueError) as error:
            raise ServerFailed("the database's server closed the connection") from error
        return replies

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def _read_all(self, count: int) -> list[Reply]:
        return [await self._read(DEEPEST_REPLY) for _ in range(count)]

    async def _read(self, depth: int) -> Reply:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return Status(rest)
        if kind == b"-":
            return Failure(rest)
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
    Connect, over whichever kind of socket.

    Raises:
        OSError: If nobody answers, or the system has no such sockets.
    """
    path = address if isinstance(address, Path) else None
    if sys.platform != "win32" and path is not None:
        return await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
    if isinstance(address, Path):
        raise OSError(errno.EAFNOSUPPORT, "asyncio has no unix sockets here")
    return await asyncio.open_connection(*address, limit=LONGEST_LINE)
