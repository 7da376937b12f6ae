"""
The two loopback addresses, on sockets of our own.

``127.0.0.1`` is required. ``[::1]`` is taken as well wherever the machine has it: Chromium prefers it for ``localhost``, so
whoever has it is given the authorization code.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.client import wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.ports import Clock

BACKLOG: Final = 128
# Somebody who asks in a loop does not make us bind in a loop.
RETRY_SECONDS: Final = 1.0

V4: Final = "127.0.0.1"
V6: Final = "::1"


class PortBusy(Exception):
    """Another program has the port. ``detail`` names it and says what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Side(msgspec.Struct):
    """One of the two addresses."""

    host: str
    state: Literal["listening", "absent", "taken"]
    holder: str | None = None


class Loopback:
    """
    Binds what it can, and tells what it could not: the ``CallbackAddress`` port.

    Nothing polls. An address that another program had is tried again when somebody asks.
    """

    def __init__(self, port: int, *, clock: Clock) -> None:
        self.port = port
        self._clock = clock
        self._v4 = Side(V4, "listening")
        self._v6 = Side(V6, "absent")
        self._tried_at = 0.0
        self._serve: Callable[[socket.socket], Awaitable[None]] | None = None
        self._turn = asyncio.Lock()

    def open(self) -> list[socket.socket]:
        """
        Return bound sockets, IPv4 first.

        Raises:
            PortBusy: If another program has the port on 127.0.0.1.
        """
        try:
            first = _bind(socket.AF_INET, V4, self.port)
        except OSError as error:
            raise PortBusy(_refusal(self.port, error)) from None
        second = self._open_v6()
        return [first] if second is None else [first, second]

    def serve_with(self, serve: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Say what is done with a socket that could be bound only later."""
        self._serve = serve

    async def conflict(self) -> str | None:
        """Return None if both addresses are ours or the machine has one alone; else who has the other."""
        await self._recheck()
        if self._v6.state != "taken":
            return None
        holder = self._v6.holder or "another program"
        return (
            f"Port {self.port} on [::1] belongs to {holder}, and a browser would hand the sign-in to it. Stop it and try "
            "again; the helper takes the address over by itself."
        )

    async def listeners(self) -> tuple[wire.Listener, ...]:
        """Return how both addresses are, now."""
        await self._recheck()
        return (
            wire.Listener(address=f"{V4}:{self.port}", state=self._v4.state, holder=self._v4.holder),
            wire.Listener(address=f"[{V6}]:{self.port}", state=self._v6.state, holder=self._v6.holder),
        )

    async def _recheck(self) -> None:
        async with self._turn:
            now = self._clock.monotonic()
            if self._v6.state != "taken" or now - self._tried_at < RETRY_SECONDS:
                return
            self._tried_at = now
            bound = self._open_v6()
            if bound is not None and self._serve is not None:
                await self._serve(bound)
            elif self._v6.state == "taken":
                self._v6.holder = await asyncio.to_thread(holder_of, self.port, V6)

    def _open_v6(self) -> socket.socket | None:
        if not socket.has_ipv6:
            return None
        try:
            bound = _bind(socket.AF_INET6, V6, self.port)
        except OSError as error:
            taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
            # EADDRNOTAVAIL and the like: a machine without ::1, where no browser can prefer it.
            self._v6 = Side(V6, "taken" if taken else "absent")
            return None
        self._v6 = Side(V6, "listening")
        return bound


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # Else another program may bind the very same address with SO_REUSEADDR and take our connections.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # On POSIX it only shortens the wait after a stop. Never SO_REUSEPORT: it shares the port silently.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
        # At once: on Linux two sockets with SO_REUSEADDR may be bound to one address until one of them listens.
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _refusal(port: int, error: OSError) -> str:
    if error.errno == errno.EACCES and port < 1024:
        return f"Port {port} needs privileges. Choose one from 1024 up: --port, or port in config.toml."
    holder = holder_of(port, V4) or "another program"
    return (
        f"Port {port} on 127.0.0.1 belongs to {holder}. Stop that program, or give the helper another port: "
        f"--port {port + 1}, or port = {port + 1} in config.toml (a sign-in then needs http://localhost:{port + 1} "
        "registered as its redirect URI; connect --api-key needs nothing)."
    )


def holder_of(port: int, host: str) -> str | None:
    """Return the program that listens on an address, such as ``vite (pid 4711)``; None where nobody can tell."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                if connection.laddr.ip not in (host, "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
                    continue
                if connection.pid is None:
                    return "a program of another user"
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return None
    return None
