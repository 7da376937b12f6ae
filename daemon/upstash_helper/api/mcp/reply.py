"""
The response to one POST: a JSON document, or a stream of messages that ends with it.

It becomes a stream as soon as something precedes the result: a notification, a request to the client, or a delay that a
client could take for a failure.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api.mcp import jsonrpc
from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from collections.abc import Callable

KEEP_ALIVE_SECONDS: Final = 15.0
SEND_SECONDS: Final = 3.0
"""A client that reads nothing for this long is disconnected, to bound memory."""
EVENT_STREAM: Final = "text/event-stream"


class Stream:
    """A response of server-sent events, which begins with the first event."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the status and the header fields were sent."""
        return self._response is not None

    async def open(self) -> web.StreamResponse:
        """
        Send the status and the header fields, unless that was done.

        Raises:
            ConnectionResetError: If the client has disconnected.
        """
        if self._response is None:
            response = web.StreamResponse(headers={"Content-Type": EVENT_STREAM})
            await response.prepare(self._request)
            self._response = response
        return self._response

    async def send(self, message: object) -> None:
        """
        Send a message.

        Raises:
            ConnectionResetError: If the client has disconnected.
            TimeoutError: If it reads too slowly.
        """
        await self._write(b"event: message\ndata: %b\n\n" % jsonrpc.encode(message))

    async def keep_alive(self) -> None:
        """Send a comment. Raises what ``send`` raises."""
        await self._write(b": waiting\n\n")

    async def _write(self, data: bytes) -> None:
        response = await self.open()
        async with asyncio.timeout(SEND_SECONDS):
            await response.write(data)


@dataclass(frozen=True)
class Outcome:
    """The end of a request."""

    message: object | None
    """None if the client has canceled the request."""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class Reply:
    """The response to a request of the client, to which its handler can add messages."""

    def __init__(self, request: web.Request, *, streams: bool, keep_alive_seconds: float) -> None:
        """
        Args:
            request: The HTTP request.
            streams: Whether the client accepts a stream.
            keep_alive_seconds: How long it waits without receiving anything.
        """
        self.streams: Final = streams
        self._keep_alive_seconds = keep_alive_seconds if streams else None
        self._stream = Stream(request)
        self._messages: asyncio.Queue[object | None] = asyncio.Queue()
        self.on_waiting: Callable[[], object] = lambda: None
        """Called each time the client has received nothing for some seconds. May return a message for it."""

    def post(self, message: object) -> None:
        """Send a message before the result. It is dropped if the client does not accept a stream."""
        if self.streams:
            self._messages.put_nowait(message)

    async def send(self, task: asyncio.Future[Outcome]) -> web.StreamResponse:
        """
        Send the messages of ``task``, and then its outcome.

        Raises:
            ConnectionResetError: If the client has disconnected before anything was sent.
            HelperError: If the task raises it before anything was sent. Otherwise the stream ends without an outcome.
        """
        task.add_done_callback(lambda _: self._messages.put_nowait(None))
        try:
            while (message := await self._next(task)) is not None:
                await self._stream.send(message)
            outcome = await task
            if outcome.message is not None and not self._stream.has_begun:
                return web.Response(
                    status=outcome.status,
                    body=jsonrpc.encode(outcome.message),
                    content_type="application/json",
                    headers=dict(outcome.headers),
                )
            if outcome.message is not None:
                await self._stream.send(outcome.message)
        except (ConnectionResetError, TimeoutError, HelperError):
            if not self._stream.has_begun:
                raise
        return await self._stream.open()

    async def _next(self, task: asyncio.Future[Outcome]) -> object | None:
        """Return the next message; None if ``task`` has ended."""
        while True:
            try:
                async with asyncio.timeout(self._keep_alive_seconds):
                    return await self._messages.get()
            except TimeoutError:
                if task.done():
                    continue
                message = self.on_waiting()
                if message is None:
                    await self._stream.keep_alive()
                else:
                    return message
