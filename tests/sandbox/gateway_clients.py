"""Clients of the databases' public ports, with and without a library."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

SECONDS = 20.0


def client_of(database: dict[str, Any], **options: Any) -> redis.Redis:
    """Return a client with the database's password, which does not try anything twice."""
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(port=database["port"], password=database["password"], retry=retry, **options)


def encode(*words: str | bytes) -> bytes:
    """Encode a command."""
    parts = [word if isinstance(word, bytes) else word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class Raw:
    """A connection without a client library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, database: dict[str, Any], *, authenticate: bool = True) -> Raw:
        """Connect to a database."""
        raw = cls(*await asyncio.open_connection("127.0.0.1", database["port"]))
        if authenticate:
            raw.send(encode("AUTH", database["password"]))
            assert await raw.line() == b"+OK\r\n"
        return raw

    @classmethod
    @asynccontextmanager
    async def opened(cls, database: dict[str, Any]) -> AsyncIterator[Raw]:
        """Connect to a database, and close the connection on exit from the context."""
        raw = await cls.open(database)
        try:
            yield raw
        finally:
            await raw.close()

    @property
    def address(self) -> str:
        """This end of the connection."""
        host, port = self.writer.get_extra_info("sockname")
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)

    async def line(self) -> bytes:
        """Read a line."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readline()

    async def lines(self, count: int) -> list[bytes]:
        """Read lines."""
        return [await self.line() for _ in range(count)]

    async def bulk(self) -> bytes:
        """Read a bulk string."""
        size = int((await self.line()).removeprefix(b"$"))
        async with asyncio.timeout(SECONDS):
            return (await self.reader.readexactly(size + 2))[:-2]

    async def rest(self) -> bytes:
        """Read until the end of the connection."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.read()

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


async def until_true(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(SECONDS):
        while not await look():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.02)
