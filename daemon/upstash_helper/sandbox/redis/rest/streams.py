"""Subscriptions and MONITOR as server-sent events (the HTML standard's ``text/event-stream``)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager

from aiohttp import hdrs, web

from upstash_helper.sandbox.errors import RequestError, ServerError
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.error_texts import as_upstash
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply, Reply, SimpleString
from upstash_helper.sandbox.redis.rest.access import Access

MEDIA_TYPE = "text/event-stream"

_END_OF_LINE = re.compile(r"\r\n|\r|\n")


class Streams:
    """
    The open streams.

    Each has a connection of its own to the database's server, and ends with it: the server closes it if the database is
    deleted or stopped, if its password is reset, or if the user is deleted.
    """

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._connections: set[Connection] = set()

    async def subscribe(
        self, request: web.Request, access: Access, command: list[bytes], headers: dict[str, str]
    ) -> web.StreamResponse:
        """
        Send the messages of channels until the client leaves, or the server closes the connection.

        Args:
            request: The request.
            access: The database and the user.
            command: SUBSCRIBE or PSUBSCRIBE with its arguments.
            headers: Headers of the response.

        Raises:
            RequestError: If the database's server refuses the command.
            ServerError: If it does not respond.
        """
        async with await self._databases.connect(access.database, access.user) as connection:
            with self._open(connection):
                reply = await connection.call(*command)
                if isinstance(reply, ErrorReply):
                    raise _refused(reply)
                response = await _begin(request, headers)
                while True:
                    await response.write(_event(_text_of(reply)))
                    try:
                        reply = await connection.receive()
                    except ServerError:
                        return await _end(response)

    async def monitor(
        self, request: web.Request, access: Access, command: list[bytes], headers: dict[str, str]
    ) -> web.StreamResponse:
        """
        Send the commands of all clients until this one leaves, or the server closes its connection.

        Args:
            request: The request.
            access: The database and the user.
            command: MONITOR.
            headers: Headers of the response.

        Raises:
            RequestError: If the user may not monitor, or there are arguments.
            ServerError: If the database's server does not respond.
        """
        server = access.database.server
        async with await self._databases.connect(access.database, access.user) as connection:
            with self._open(connection):
                if len(command) > 1:
                    raise RequestError(400, "ERR wrong number of arguments for 'monitor' command")
                if not await server.may_monitor(access.user_name):
                    raise RequestError(400, "NOPERM this user has no permissions to run the 'monitor' command")
                lines = _until_closed(connection, server.monitors.lines())
                try:
                    await anext(lines)  # it listens from here on
                    response = await _begin(request, headers)
                    await response.write(_event('"OK"'))
                    async for line in lines:
                        await response.write(_event(line.decode("utf-8", "replace")))
                finally:
                    await lines.aclose()
                return await _end(response)

    def close(self) -> None:
        """End all streams."""
        for connection in self._connections:
            connection.hang_up()

    @contextmanager
    def _open(self, connection: Connection) -> Iterator[None]:
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)


async def _until_closed(connection: Connection, lines: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield an empty line once it listens, and then the lines until the server closes the connection."""
    closed = asyncio.ensure_future(connection.receive())
    following = asyncio.ensure_future(_next(lines))
    try:
        await asyncio.sleep(0)  # lets `following` begin
        yield b""
        while True:
            await asyncio.wait({closed, following}, return_when=asyncio.FIRST_COMPLETED)
            line = following.result() if following.done() else None
            if line is None:
                return
            yield line
            following = asyncio.ensure_future(_next(lines))
    finally:
        closed.cancel()
        following.cancel()
        await asyncio.gather(closed, following, return_exceptions=True)


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


async def _begin(request: web.Request, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-cache", **headers})
    response.content_type = MEDIA_TYPE
    response.charset = "utf-8"
    await response.prepare(request)
    return response


async def _end(response: web.StreamResponse) -> web.StreamResponse:
    await response.write_eof()
    return response


def _refused(reply: ErrorReply) -> RequestError:
    return RequestError(400, as_upstash(reply).text.decode(errors="replace"))


def _event(text: str) -> bytes:
    """Return a text as an event, such as ``data: message,chat,hello``. Each of its lines needs a field of its own."""
    return "".join(f"data: {line}\n" for line in _END_OF_LINE.split(text)).encode() + b"\n"


def _text_of(value: Reply) -> str:
    """Return a message as Upstash writes it: its parts with commas between them."""
    match value:
        case list():
            return ",".join(map(_text_of, value))
        case bytes():
            return value.decode("utf-8", "replace")
        case SimpleString() | ErrorReply():
            return value.text.decode("utf-8", "replace")
        case _:
            return "" if value is None else str(value)
