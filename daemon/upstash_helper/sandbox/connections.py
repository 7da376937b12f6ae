"""
The sandbox's HTTP connections: what aiohttp refuses before a handler sees it is answered as Upstash would.

aiohttp's own responses have the texts of its parser, quote the request, and name the versions of aiohttp and Python.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web
from aiohttp.http_exceptions import LineTooLong

from upstash_helper.sandbox.responses import error_response

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 16_384
"""Of the request line, and of each header field."""
KEEP_ALIVE_SECONDS = 15.0


async def serve(
    stack: AsyncExitStack,
    app: web.Application,
    listener: socket.socket,
    *,
    cancels: bool,
    tls_listener: socket.socket | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """
    Serve ``app`` until ``stack`` is closed.

    Args:
        stack: Ends it.
        app: The application.
        listener: The listening socket.
        cancels: Whether a handler is cancelled when its client disconnects.
        tls_listener: Another listening socket, whose connections use TLS.
        tls: The context for it.
    """
    runner = web.AppRunner(
        app, access_log=None, handle_signals=False, shutdown_timeout=0.5, handler_cancellation=cancels
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    assert runner.server is not None  # noqa: S101 - for the type checker: set up above
    handled = runner.server
    loop = asyncio.get_running_loop()
    for sock, context in ((listener, None), (tls_listener, tls)):
        if sock is not None:
            server = await loop.create_server(lambda: Connection(handled), sock=sock, ssl=context)
            stack.callback(server.close)


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            access_log=None,  # type: ignore[arg-type]  # None disables the access log
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's message quotes the request
    ) -> web.StreamResponse:
        """Return the response to a request that reached no handler."""
        if status != HTTPStatus.BAD_REQUEST or request.writer.output_size > 0:
            return super().handle_error(request, status, exc)
        text = "malformed HTTP request"
        if isinstance(exc, LineTooLong):
            text = f"the request line or a header field is longer than {MAX_LINE_BYTES} bytes"
        log.warning("refused: %s", text)
        response = error_response(status, text)
        response.headers[hdrs.SERVER] = "upstash-helper"  # without the field, aiohttp adds one that names versions
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send the response."""
        if isinstance(resp, web.HTTPException):  # the application's middleware converts all others
            resp = error_response(HTTPStatus.EXPECTATION_FAILED, "Expect must be 100-continue")
            resp.force_close()
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:  # noqa: ARG002 - the message may quote the request
        """Log the type of an error outside of the application, without a traceback."""
        log.error("a connection failed: %s", type(kw.get("exc_info")).__name__)
