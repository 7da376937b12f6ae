"""Faults on demand, and the log of what was asked, so that tests can break the far side and see what reached it."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

Lifetime = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where Upstash's real services differ from each other, or from what is documented."""

    redirect_iss: bool = False
    """Name the issuer in the redirect (RFC 9207)."""
    api_key_email: bool = False
    """Put the account's e-mail into the answer of ``/apikey``."""
    id_token_email: bool = True
    """Put it into the id_token."""
    access_token_email: bool = False
    """Put it into the access token, as the namespaced claim that an Auth0 rule would add."""
    userinfo: bool = True
    """Answer ``/userinfo``; else it fails with 503."""
    code_lifetime: Lifetime = 60.0
    """Seconds for which an authorization code can be exchanged."""
    token_lifetime: Lifetime = 172_800.0
    """Seconds for which an access token is good."""


Listener = Literal["api", "rest"]
REMEMBERED = 10_000
"""How many requests the log holds."""

HeaderText = Annotated[str, Meta(pattern=r"^[^\r\n\x00]*$")]


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What goes wrong, where and how often."""

    listener: Listener = "api"
    """Sign-in and Developer API, or the data plane."""
    method: str = "*"
    path: str = "*"
    """Shell pattern over the path without its query; ``*`` matches ``/`` too."""
    times: Annotated[int, Meta(ge=1)] | None = 1
    """How many requests it meets; None: all, until it is cleared."""
    when: Literal["before", "after"] = "before"
    """``after``: the operation really happens, then its answer is replaced or lost."""
    latency: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    """Seconds to wait."""
    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    headers: dict[HeaderText, HeaderText] = {}
    """Put into the answer, whether that is real or not."""
    body: str | None = None
    repeat: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """How many times ``body`` is repeated."""
    reset: bool = False
    """Cut the connection with a TCP reset instead of answering."""
    truncate: Annotated[int, Meta(ge=0)] | None = None
    """Close after so many bytes of a body whose length was announced in full."""
    drip: Annotated[float, Meta(gt=0, le=60)] | None = None
    """Seconds between one byte of the body and the next."""

    def meets(self, listener: Listener, method: str, path: str) -> bool:
        """Return whether a request is meant."""
        return listener == self.listener and self.method.upper() in {"*", method} and fnmatchcase(path, self.path)

    @property
    def replaces(self) -> bool:
        """Whether the real answer is not sent."""
        return self.reset or self.status is not None or self.body is not None


class Seen(msgspec.Struct, kw_only=True):
    """A request that was received. No header, query or body is kept: they hold secrets."""

    listener: Listener
    method: str
    path: str
    time: float
    """Unix time of its arrival."""
    status: int | None = None
    """None while it is being answered, and if the answer was lost."""
    fault: bool = False


class Faults:
    """The faults in force, and the log."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._seen: deque[Seen] = deque(maxlen=REMEMBERED)

    def add(self, fault: Fault) -> None:
        """Put a fault into force. Of several that meet a request, the first added is taken."""
        self._faults.append(fault)

    def in_force(self) -> list[Fault]:
        """Return the faults in force; ``times`` is what is left."""
        return list(self._faults)

    def clear(self) -> None:
        """Lift all faults."""
        self._faults.clear()

    def requests(self) -> list[Seen]:
        """Return the log, oldest first."""
        return list(self._seen)

    def forget_requests(self) -> None:
        """Empty the log."""
        self._seen.clear()

    def middleware(self, listener: Listener, *, ignore: str | None = None) -> Middleware:
        """
        Return the middleware that logs requests and lets faults happen.

        Args:
            listener: Which of the two it stands in.
            ignore: Requests below this path are neither logged nor broken.
        """

        @web.middleware
        async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
            if ignore is not None and request.path.startswith(ignore):
                return await handler(request)
            # A command's arguments are the user's data, and perhaps a password.
            path = request.path if listener == "api" else "/" + request.path[1:].partition("/")[0]
            seen = Seen(listener=listener, method=request.method, path=path, time=time.time())
            self._seen.append(seen)
            fault = self._take(listener, request.method, request.path)
            seen.fault = fault is not None
            response = await (_broken(fault, request, handler) if fault else handler(request))
            seen.status = None if fault and fault.reset else response.status
            return response

        return watch

    def _take(self, listener: Listener, method: str, path: str) -> Fault | None:
        for fault in self._faults:
            if fault.meets(listener, method, path):
                if fault.times is not None:
                    fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
                return fault
        return None


async def _broken(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a request as the fault says."""
    real: web.StreamResponse | None = None
    if fault.when == "before":
        await asyncio.sleep(fault.latency)
    if fault.when == "after" or not fault.replaces:
        real = await handler(request)
    if fault.when == "after":
        await asyncio.sleep(fault.latency)
    if fault.reset:
        return _reset(request)
    response = real if real is not None and not fault.replaces else _made_up(fault)
    response.headers.update(fault.headers)
    if fault.truncate is None and fault.drip is None:
        return response
    return await _send_badly(fault, request, response)


def _made_up(fault: Fault) -> web.Response:
    body = (fault.body or "") * fault.repeat
    kind = "application/json" if body[:1] in {"{", "[", '"'} else "text/plain"
    response = web.Response(text=body, status=fault.status or 200)
    if "content-type" not in {name.lower() for name in fault.headers}:
        response.content_type = kind
    return response


def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        stream: socket.socket = request.transport.get_extra_info("socket")
        # Lingering for no time makes the system send RST instead of FIN.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def _send_badly(fault: Fault, request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Send the answer's head as it is, then its body cut or slowly."""
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
