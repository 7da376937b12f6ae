"""Fault injection: tests make Upstash fail."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.request_log import Listener, RequestLog
from upstash_helper.system import connection_reset

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

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
    enabled: bool = True
    """A fault that is turned off affects no request, and stays listed."""

    def matches(self, listener: Listener, method: str, path: str) -> bool:
        """Return whether the fault affects a request."""
        return (
            self.enabled
            and listener == self.listener
            and self.method.upper() in {"*", method}
            and fnmatchcase(path, self.path)
        )

    @property
    def replaces_response(self) -> bool:
        """Whether the real response is not sent."""
        return self.reset or self.status is not None or self.body is not None


class ActiveFault(Fault, kw_only=True):
    """A fault that was added; ``times`` is the number of requests that it will still affect."""

    id: int | None = None
    """Counts up from 1."""


class FaultInjector:
    """The active faults. It passes each request on to the request log."""

    def __init__(self, requests: RequestLog) -> None:
        self._requests = requests
        self._faults: list[ActiveFault] = []
        self._count = 0

    def add(self, fault: Fault) -> ActiveFault:
        """Activate a fault, and return it. If several match a request, the one added first applies."""
        self._count += 1
        active = ActiveFault(id=self._count, **msgspec.structs.asdict(fault))
        self._faults.append(active)
        return active

    def active(self) -> list[ActiveFault]:
        """Return the faults, in the order in which they apply."""
        return list(self._faults)

    def set_enabled(self, fault_id: int, *, enabled: bool) -> None:
        """
        Turn a fault on or off.

        Raises:
            RequestError: With 404 if there is none with this ID.
        """
        self._get(fault_id).enabled = enabled

    def remove(self, fault_id: int) -> None:
        """
        Remove a fault.

        Raises:
            RequestError: With 404 if there is none with this ID.
        """
        self._faults.remove(self._get(fault_id))

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

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
            entry = self._requests.begin(listener, request.method, path)
            fault = self._take(listener, request.method, request.path)
            entry.fault = fault is not None
            status: int | None = None
            try:
                response = await (_respond_with_fault(fault, request, handler) if fault else handler(request))
                status = None if fault and fault.reset else response.status
                return response
            finally:
                self._requests.end(entry, status)

        return inject

    def _get(self, fault_id: int) -> ActiveFault:
        for fault in self._faults:
            if fault.id == fault_id:
                return fault
        raise RequestError(404, f"there is no fault with the ID {fault_id}; GET faults lists them")

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
