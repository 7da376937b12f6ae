"""Subscriptions as server-sent events (the HTML standard's ``text/event-stream``)."""

from __future__ import annotations

import re

from aiohttp import hdrs, web

from upstash_helper.sandbox.errors import RequestError, ServerError
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.error_texts import as_upstash
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply, Reply, SimpleString
from upstash_helper.sandbox.redis.rest.access import Access

MEDIA_TYPE = "text/event-stream"

_END_OF_LINE = re.compile(r"\r\n|\r|\n")


class Streams:
    """The open streams. Each has a connection of its own to the database's server."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._connections: set[Connection] = set()

    async def subscribe(
        self, request: web.Request, access: Access, command: list[bytes], headers: dict[str, str]
    ) -> web.StreamResponse:
        """
        Send the messages of channels until the client leaves, or the server closes the connection.

        The server does that if the database is deleted or stopped, and if its password is reset.

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
            self._connections.add(connection)
            try:
                first = await connection.call(*command)
                if isinstance(first, ErrorReply):
                    raise RequestError(400, as_upstash(first).text.decode(errors="replace"))
                return await _send_events(request, connection, first, headers)
            finally:
                self._connections.discard(connection)

    def close(self) -> None:
        """End all streams."""
        for connection in self._connections:
            connection.hang_up()


async def _send_events(
    request: web.Request, connection: Connection, reply: Reply, headers: dict[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-cache", **headers})
    response.content_type = MEDIA_TYPE
    response.charset = "utf-8"
    await response.prepare(request)
    while True:
        await response.write(_event(reply))
        try:
            reply = await connection.receive()
        except ServerError:
            await response.write_eof()
            return response


def _event(reply: Reply) -> bytes:
    """Return a message as an event, such as ``data: message,chat,hello``."""
    text = ",".join(map(_text, reply)) if isinstance(reply, list) else _text(reply)
    # An event's data can have several lines, each in a field of its own.
    return "".join(f"data: {line}\n" for line in _END_OF_LINE.split(text)).encode() + b"\n"


def _text(value: Reply) -> str:
    match value:
        case bytes() | SimpleString() | ErrorReply():
            data = value if isinstance(value, bytes) else value.text
            return data.decode("utf-8", "replace")
        case _:
            return "" if value is None else str(value)
