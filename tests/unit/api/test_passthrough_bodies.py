"""Passed-through bodies: limits of size and time in both directions."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.support.platforms import not_under_wine
from tests.support.upstream_api import site_url
from upstash_helper.api.resources.passthrough import IncomingBody, send_answer
from upstash_helper.api.server.body import BodyError, BodyTimeout, BodyTooLarge
from upstash_helper.broker.ports import PassThroughResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


@asynccontextmanager
async def served(handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    """Run a server, and yield its port."""
    runner = web.ServerRunner(web.Server(handle, auto_decompress=False), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield int(site_url(runner).rpartition(":")[2])
    finally:
        await runner.cleanup()


class Receiver:
    """Reads the body of one request, and records it and the outcome."""

    def __init__(self, *, limit: int, seconds: float) -> None:
        self.pieces: list[bytes] = []
        self.ended: asyncio.Future[type[BodyError] | None] = asyncio.get_running_loop().create_future()
        self._limit = limit
        self._seconds = seconds

    async def handle(self, request: web.BaseRequest) -> web.Response:
        try:
            async for piece in IncomingBody(request, limit=self._limit, seconds=self._seconds):
                self.pieces.append(piece)
        except BodyError as error:
            self.ended.set_result(type(error))
        else:
            self.ended.set_result(None)
        return web.Response()


@asynccontextmanager
async def receiving(
    head: bytes, *, limit: int = 10, seconds: float = 5.0
) -> AsyncIterator[tuple[Receiver, asyncio.StreamWriter]]:
    """Start a request. Yield its receiver, and the writer for its body."""
    receiver = Receiver(limit=limit, seconds=seconds)
    async with served(receiver.handle) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + head + b"\r\n")
        try:
            yield receiver, writer
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        (b"Content-Length: 10\r\n", b"0123456789", (b"0123456789", None)),
        (b"Transfer-Encoding: chunked\r\n", b"a\r\n0123456789\r\n0\r\n\r\n", (b"0123456789", None)),
        (b"Content-Length: 11\r\n", b"", (b"", BodyTooLarge)),
        (b"Content-Length: 1000000000000\r\n", b"abc", (b"", BodyTooLarge)),
        (b"Transfer-Encoding: chunked\r\n", b"b\r\n0123456789A\r\n0\r\n\r\n", (b"", BodyTooLarge)),
        (b"Content-Length: 5\r\nContent-Encoding: gzip\r\n", b"\x1f\x8b\x08\x00\x00", (b"\x1f\x8b\x08\x00\x00", None)),
    ],
)
async def test_body_is_limited_and_not_decoded(
    head: bytes, body: bytes, expected: tuple[bytes, type[BodyError] | None]
) -> None:
    """A body may have exactly as many bytes as the limit. Its encoding does not matter."""
    async with receiving(head) as (receiver, writer), asyncio.timeout(10):
        writer.write(body)
        ended = await receiver.ended

    assert expected == (b"".join(receiver.pieces), ended)


async def test_incomplete_body_times_out() -> None:
    """A client that has announced more has a deadline for sending it."""
    async with receiving(b"Content-Length: 10\r\n", seconds=0.1) as (receiver, writer), asyncio.timeout(10):
        writer.write(b"abc")

        assert BodyTimeout == await receiver.ended


async def test_slow_body_does_not_extend_the_deadline() -> None:
    """The deadline is for the entire body, regardless of the number of chunks."""
    async with receiving(b"Content-Length: 10\r\n", limit=10, seconds=0.3) as (receiver, writer):
        async with asyncio.timeout(10):
            for _ in range(9):
                writer.write(b"x")
                await asyncio.wait({receiver.ended}, timeout=0.1)

            assert BodyTimeout == await receiver.ended
    assert len(receiver.pieces) < 9


@not_under_wine("shuts a connection down before it closes it, and so sends no reset")
async def test_client_that_does_not_read_is_disconnected() -> None:
    """Otherwise it could keep a connection to Upstash open indefinitely."""
    sent = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            yield b"x" * 65536
            sent += 65536

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = await send_answer(request, PassThroughResponse(status=200, headers=(), pieces=flood()), seconds=0.2)
        done.set()
        return response

    done = asyncio.Event()
    async with served(handle) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(HEAD + b"\r\n")
        await done.wait()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    assert 0 < sent < 32 * 1024 * 1024
