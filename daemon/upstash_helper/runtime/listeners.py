"""
The two loopback addresses, ``127.0.0.1`` and ``::1``, on sockets of our own.

Browsers take ``localhost`` for either. Whoever listens on the other one would receive the authorization code, so the
daemon takes both; where it cannot have ``::1`` it serves on, says so, and refuses to start a sign-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import wire
from upstash_helper.system.ports import holder

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

BACKLOG: Final = 128
# How often a missing address is tried at most, however often somebody asks.
RECHECK_SECONDS: Final = 1.0

_SETTLES: Final = 16
"""
Rounds of the event loop in which a connection that has been accepted is known, and its request, if that is there, is
being answered. asyncio takes two for the first and aiohttp two more for the second.
"""

V4: Final = "127.0.0.1"
V6: Final = "::1"

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class PortBusy(Exception):
    """The port cannot be had. ``detail`` names who holds it, where the system tells, and the ways out."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def open_listeners(port: int, *, explain: Callable[[int, OSError], str] | None = None) -> Listeners:
    """
    Take ``port`` (0: any that is free) on both loopback addresses.

    Args:
        port: The port.
        explain: Returns what the error says; by default why, and the ways out for the one port of everything.

    Raises:
        PortBusy: If ``127.0.0.1`` cannot be had. ``::1`` may be absent or taken; that is a state, and no error.
    """
    try:
        required = _bind(V4, port)
    except OSError as error:
        raise PortBusy((explain or _explain)(port, error)) from error
    return Listeners(required)


def is_free(port: int) -> bool:
    """Return whether ``port`` of 127.0.0.1 could be taken just now."""
    try:
        _bind(V4, port).close()
    except OSError:
        return False
    return True


class Listeners:
    """
    The sockets, and the ``CallbackAddress`` port.

    They may come from elsewhere, such as a service manager; ``open_listeners`` makes them.
    """

    def __init__(
        self, required: socket.socket, other: socket.socket | None = None, *, recheck_seconds: float = RECHECK_SECONDS
    ) -> None:
        """
        Args:
            required: Listens on 127.0.0.1.
            other: Listens on the same port of ::1; by default it is taken here, if it can be.
            recheck_seconds: How often a missing ::1 is tried at most.
        """
        self.port: Final[int] = required.getsockname()[1]
        self._required = required
        self._other = other
        self._state = "listening" if other else "absent"
        self._holder: str | None = None
        self._recheck_seconds = recheck_seconds
        self._tried = -recheck_seconds
        self._protocol: Callable[[], asyncio.BaseProtocol] | None = None
        self._servers: list[asyncio.Server] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._recheck()
        if self._state == "taken":
            self._holder = holder(V6, self.port)
            logger.warning("address_taken", extra={"address": f"[{V6}]:{self.port}", "holder": self._holder})

    def snapshot(self) -> tuple[wire.Listener, ...]:
        """Return what is listened on, after another try to get what is not."""
        self._recheck()
        state = wire.Listener(address=f"[{V6}]:{self.port}", state="absent")
        if self._state == "listening":
            state = wire.Listener(address=state.address, state="listening")
        elif self._state == "taken":
            state = wire.Listener(address=state.address, state="taken", holder=self._holder)
        return (wire.Listener(address=f"{V4}:{self.port}", state="listening"), state)

    async def conflict(self) -> str | None:
        """Return None if nobody else can receive what is sent to localhost, else who can and what to do."""
        found = await self.stranger()
        return None if found is None else f"{found} Stop it and try again; the helper need not be restarted."

    async def stranger(self) -> str | None:
        """Return who else can receive what is sent to localhost, in words; None if nobody can."""
        self._recheck()
        if self._state != "taken":
            return None
        self._holder = await asyncio.to_thread(holder, V6, self.port)
        return (
            f"The address [{V6}]:{self.port} belongs to {self._holder}. A browser may take it for localhost, and would "
            f"give the sign-in to that program."
        )

    async def take(self) -> str | None:
        """Return what stands against a sign-in; the addresses are held anyway."""
        return await self.conflict()

    async def release(self) -> None:
        """Keep them."""

    async def serve(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Accept connections, on an address that is recovered later as well."""
        self._protocol = protocol
        for one in (self._required, self._other):
            if one is not None:
                await self._accept(one)

    async def pause(self) -> None:
        """
        Accept nothing more for now, and return when all who have been let in are known. Who connects waits in the queue
        of the socket.

        Closing the servers at once would lose requests: asyncio resets a connection that it has accepted and not yet
        taken up, and an idle connection is closed although its request may be there to be read.
        """
        loop = asyncio.get_running_loop()
        for one in (self._required, self._other):
            if one is not None:
                with contextlib.suppress(NotImplementedError):  # Windows' loop accepts by other means
                    loop.remove_reader(one)
        for _ in range(_SETTLES):
            await asyncio.sleep(0)

    async def resume(self) -> None:
        """Accept who has waited, and who comes; nothing if ``close`` came between."""
        if self._required.fileno() < 0:
            return
        required, other = self._required.dup(), None if self._other is None else self._other.dup()
        self.close()
        self._servers.clear()
        self._required, self._other = required, other
        if self._protocol is not None:
            await self.serve(self._protocol)

    def close(self) -> None:
        """Accept nothing more. Open connections stay."""
        for task in self._starting:
            task.cancel()
        for server in self._servers:
            server.close()
        self._required.close()
        if self._other is not None:
            self._other.close()

    def _recheck(self) -> None:
        """Try to get the address that is missing. Nothing else ever looks: a daemon at rest does not wake up for it."""
        now = time.monotonic()
        if self._state == "listening" or now - self._tried < self._recheck_seconds:
            return
        self._tried = now
        try:
            self._other = _bind(V6, self.port)
        except OSError as error:
            self._state = "absent" if error.errno in _ABSENT else "taken"
            return
        self._state, self._holder = "listening", None
        if self._protocol is not None:
            # The kernel queues connections from now on, so nothing is lost until the loop gets to it.
            task = asyncio.get_running_loop().create_task(self._accept(self._other))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            logger.info("address_recovered", extra={"address": f"[{V6}]:{self.port}"})

    async def _accept(self, listening: socket.socket) -> None:
        if self._protocol is None:
            return
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._protocol, sock=listening, backlog=BACKLOG))


def _bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens: two that do not yet can share an address."""
    family = socket.AF_INET6 if host == V6 else socket.AF_INET
    # Python's sockets are not inherited by children (PEP 446).
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # Else another program may bind the same address with SO_REUSEADDR, and share what is sent to it.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Connections of the last run that are still being forgotten (TIME_WAIT) are no obstacle. Never
            # SO_REUSEPORT: two daemons would take turns.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def why_not(port: int, error: OSError) -> str:
    """Return why ``port`` of 127.0.0.1 cannot be had, and who has it, in words. Some milliseconds, as ``holder``."""
    if _needs_rights(error):
        return f"Port {port} needs an administrator's rights."
    if error.errno in {errno.EADDRINUSE, errno.EACCES}:
        return f"Port {port} of {V4} is in use by {holder(V4, port)}."
    return f"Port {port} of {V4} cannot be had: {error.strerror}."


def _needs_rights(error: OSError) -> bool:
    return error.errno == errno.EACCES and sys.platform != "win32"


def _explain(port: int, error: OSError) -> str:
    reason = why_not(port, error)
    if " is in use by systemd " in reason:
        return (
            f"{reason.removesuffix('.')}, which starts the helper on demand: any request does, and 'upstash-helper "
            f"start'. To have the port free: systemctl --user stop upstash-helper.socket"
        )
    in_use = error.errno in {errno.EADDRINUSE, errno.EACCES} and not _needs_rights(error)
    way_out = " Stop that program, or take another port." if in_use else ""
    return (
        f"{reason}{way_out} Another port: the setting 'port', UPSTASH_HELPER_PORT or --port. A sign-in "
        f"then comes back to http://localhost:<port>, which must be a redirect URI registered with Upstash for your "
        f"client_id; connecting with an API key works on every port. Or leave the port to others but for the sign-in: "
        f'port_policy = "on-demand".'
    )
