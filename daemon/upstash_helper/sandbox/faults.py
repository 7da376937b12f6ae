"""Fault injection and the request log: tests make Upstash fail, and see which requests reached it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from upstash_helper.system import connection_reset

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

Listener = Literal["api", "rest", "issuer"]
"""Partners' sign-in and Developer API, the databases' REST API, or the issuer of the open sign-in."""
MAX_LOGGED_REQUESTS = 10_000

HeaderText = Annotated[str, Meta(pattern=r"^[^\r\n\x00]*$")]


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A failure to inject: where, how often, and what happens."""

    listener: Listener = "api"
    method: str = "*"
    path: str = "*"
    """Shell pattern for the path without its query; ``*`` also matches ``/``."""
    times: Annotated[int, Meta(ge=1)] | None = 1
    """How many requests it affects; None: all requests until the faults are cleared."""
    when: Literal["before", "after"] = "before"
    """``after``: the operation is carried out, then its response is replaced or lost."""
    latency: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """Seconds to wait."""
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[HeaderText, HeaderText] = {}
    """Added to the response, whether it is the real one or not."""
    body: str | None = None
    repeat: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """How many times ``body`` is repeated."""
    reset: bool = False
    """Reset the TCP connection instead of responding."""
    truncate: Annotated[int, Meta(ge=0)] | None = None
    """Close the connection after this many bytes of the body; ``Content-Length`` is that of the whole body."""
    drip: Annotated[float, Meta(gt=0, le=60)] | None = None
    """Seconds between one byte of the body and the next."""

    def matches(self, listener: Listener, method: str, path: str) -> bool:
        """Return whether the fault affects a request."""
        return listener == self.listener and self.method.upper() in {"*", method} and fnmatchcase(path, self.path)

    @property
    def replaces_response(self) -> bool:
        """Whether the real response is not sent."""
        return self.reset or self.status is not None or self.body is not None


class LoggedRequest(msgspec.Struct, kw_only=True):
    """A request that was received. Headers, query, and body contain secrets, so they are not logged."""

    listener: Listener
    method: str
    path: str
    time: float
    """Unix time at which it was received."""
    status: int | None = None
    """None while it is handled, and if the connection was reset."""
    fault: bool = False


class FaultInjector:
    """The active faults and the request log."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._requests: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)

    def add(self, fault: Fault) -> None:
        """Activate a fault. If several match a request, the one added first applies."""
        self._faults.append(fault)

    def active(self) -> list[Fault]:
        """Return the active faults; ``times`` is the number of requests that they will still affect."""
        return list(self._faults)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def requests(self) -> list[LoggedRequest]:
        """Return the logged requests, oldest first."""
        return list(self._requests)

    def clear_requests(self) -> None:
        """Empty the request log."""
        self._requests.clear()

    def middleware(self, listener: Listener, *, ignore: tuple[str, ...] = ()) -> Middleware:
        """
        Return the middleware that logs requests and injects faults.

        Args:
            listener: The listener that it is installed in.
            ignore: Requests below these paths are neither logged nor affected.
        """

        @web.middleware
        async def inject(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(ignore):
                return await handler(request)
            # In the REST API the rest of the path is the command's arguments: user data, possibly a password.
            path = request.path if listener != "rest" else "/" + request.path[1:].partition("/")[0]
            entry = LoggedRequest(listener=listener, method=request.method, path=path, time=time.time())
            self._requests.append(entry)
            fault = self._take(listener, request.method, request.path)
            entry.fault = fault is not None
            response = await (_respond_with_fault(fault, request, handler) if fault else handler(request))
            entry.status = None if fault and fault.reset else response.status
            return response

        return inject

    def _take(self, listener: Listener, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.matches(listener, method, path):
                if fault.times is not None:
                    fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None


async def _respond_with_fault(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    real: web.StreamResponse | None = None
    if fault.when == "before":
        await asyncio.sleep(fault.latency)
    if fault.when == "after" or not fault.replaces_response:
        real = await handler(request)
    if fault.when == "after":
        await asyncio.sleep(fault.latency)
    if fault.reset:
        return _reset(request)
    response = real if real is not None and not fault.replaces_response else _fake_response(fault)
    response.headers.update(fault.headers)
    if fault.truncate is None and fault.drip is None:
        return response
    return await _send_partially(fault, request, response)


def _fake_response(fault: Fault) -> web.Response:
    body = (fault.body or "") * fault.repeat
    content_type = "application/json" if body[:1] in {"{", "[", '"'} else "text/plain"
    response = web.Response(text=body, status=fault.status or 200)
    if "content-type" not in {name.lower() for name in fault.headers}:
        response.content_type = content_type
    return response


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        connection_reset.reset(request.transport)
    return web.Response()


async def _send_partially(fault: Fault, request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Send the status and headers unchanged, then the body truncated or byte by byte."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    part = body if fault.truncate is None else body[: fault.truncate]
    if fault.drip is None:
        await response.write(part)
    else:
        for byte in part:
            await response.write(bytes([byte]))
            await asyncio.sleep(fault.drip)
    if len(part) < len(body) and request.transport is not None:
        request.transport.close()
    return response
