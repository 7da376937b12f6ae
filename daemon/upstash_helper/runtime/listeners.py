"""
The listening sockets of the two loopback addresses, ``127.0.0.1`` and ``::1``.

Browsers resolve ``localhost`` to either of them, and another program on the other one would receive the authorization
code. So the daemon binds both. If ``::1`` is taken, it keeps serving, reports that, and refuses to start a sign-in.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import wire
from upstash_helper.system.ports import has_listener, holder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

logger = logging.getLogger(__name__)

QUEUE: Final = 4096
"""
The number of connections that may wait in the kernel to be accepted; systems limit it further. While the queue is full,
the kernel drops the requests of new clients, which repeat them only after a second.
"""
ACCEPTED_AT_ONCE: Final = 4
"""
Connections that are accepted in one iteration of the event loop, on each address. If all that wait were accepted at
once, the event loop would do nothing else for that time. See also ``api.server.arrivals``.
"""
RECHECK_SECONDS: Final = 1.0
"""The minimum time between two attempts to bind a missing address."""
RELEASE_SECONDS: Final = 10.0
"""How long to wait for a port that no program listens on, and that is still in use."""
_RELEASE_POLL_SECONDS: Final = 0.1

_SETTLE_ITERATIONS: Final = 16
"""
Iterations of the event loop after which an accepted connection has been registered, and handling its request, if it has
arrived, has begun. asyncio needs two for the former, and aiohttp two more for the latter.
"""

V4: Final = "127.0.0.1"
V6: Final = "::1"

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


class PortBusy(Exception):
    """The port cannot be opened. ``detail`` names the program that has it, if that is known, and suggests fixes."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def open_listeners(port: int, *, explain: Callable[[int, OSError], str] | None = None) -> Listeners:
    """
    Open ``port`` (0: any free port) on both loopback addresses.

    Args:
        port: The port.
        explain: Returns the error's text. By default it gives the reason, and suggests fixes for the main port.

    Raises:
        PortBusy: If it cannot be opened on ``127.0.0.1``. A missing or taken ``::1`` is a state, not an error.
    """
    try:
        required = bind_when_released(V4, port)
    except OSError as error:
        raise PortBusy((explain or _explain)(port, error)) from error
    return Listeners(required)


def bind_when_released(host: str, port: int, *, seconds: float = RELEASE_SECONDS) -> socket.socket:
    """
    Return a listening socket. If the address is in use although no running program listens there, wait until it is
    released.

    A port can be held for a moment after its process has ended. Where addresses are exclusive (Windows), connections
    that the process had accepted hold it until the other side has closed them, too (Microsoft's "Using SO_REUSEADDR and
    SO_EXCLUSIVEADDRUSE").

    Args:
        host: The address.
        port: The port.
        seconds: How long to wait at most.

    Raises:
        OSError: If the address cannot be bound.
    """
    deadline = time.monotonic() + seconds
    reported = False
    while True:
        try:
            return bind(host, port)
        except OSError as error:
            if not is_in_use(error) or time.monotonic() >= deadline or has_listener(port):
                raise
        if not reported:
            logger.info("port_not_released", extra={"port": port})
            reported = True
        time.sleep(_RELEASE_POLL_SECONDS)


def open_first_free(ports: Sequence[int]) -> Listeners:
    """
    Open the first of ``ports`` that is free on 127.0.0.1, for the API.

    Raises:
        PortBusy: If none is free. The message names the program on each.
    """
    reasons = []
    for port in ports:
        try:
            return open_listeners(port, explain=describe_bind_error)
        except PortBusy as error:
            reasons.append(error.detail)
    detail = (
        f"No port is free for the API. {' '.join(reasons)} Stop one of these programs, or choose another port with the "
        "setting 'api_port', UPSTASH_HELPER_API_PORT, or --api-port."
    )
    raise PortBusy(detail)


def is_free(port: int) -> bool:
    """Return whether ``port`` can currently be bound on 127.0.0.1."""
    try:
        bind(V4, port).close()
    except OSError:
        return False
    return True


class Listeners:
    """
    The listening sockets, as the broker's ``CallbackAddress``.

    ``open_listeners`` creates the sockets, or a service manager passes them.
    """

    def __init__(
        self, required: socket.socket, other: socket.socket | None = None, *, recheck_seconds: float = RECHECK_SECONDS
    ) -> None:
        """
        Args:
            required: The socket that listens on 127.0.0.1.
            other: The socket that listens on the same port of ::1. By default it is bound here, if possible.
            recheck_seconds: The minimum time between two attempts to bind a missing ::1.
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
        self.on_recovered: Callable[[], None] = lambda: None
        """Called when ::1 is bound after the start. Another program may have had it until then."""
        self._recheck()
        if self._state == "taken":
            self._holder = _holder(V6, self.port)
            logger.warning("address_taken", extra={"address": f"[{V6}]:{self.port}", "holder": self._holder})

    @property
    def protocol(self) -> Callable[[], asyncio.BaseProtocol] | None:
        """The protocol factory that accepts connections; None before ``serve``."""
        return self._protocol

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets, that of 127.0.0.1 first. There is one while ::1 is not bound."""
        return (self._required,) if self._other is None else (self._required, self._other)

    def snapshot(self) -> tuple[wire.Listener, ...]:
        """Return the states of both addresses, after trying to bind a missing one."""
        self._recheck()
        other = wire.Listener(address=f"[{V6}]:{self.port}", state="absent")
        if self._state == "listening":
            other = wire.Listener(address=other.address, state="listening")
        elif self._state == "taken":
            other = wire.Listener(address=other.address, state="taken", holder=self._holder)
        return (wire.Listener(address=f"{V4}:{self.port}", state="listening"), other)

    async def conflict(self) -> str | None:
        """Return why a sign-in is not possible and how to fix that, or None if it is possible."""
        reason = await self.describe_other_listener()
        return None if reason is None else f"{reason} Stop it and try again. The helper does not have to be restarted."

    async def describe_other_listener(self) -> str | None:
        """Describe the other program that can receive requests to localhost. Return None if there is none."""
        self._recheck()
        if self._state != "taken":
            return None
        self._holder = await asyncio.to_thread(_holder, V6, self.port)
        return (
            f"The address [{V6}]:{self.port} belongs to {self._holder}. A browser may resolve localhost to it and send "
            f"the sign-in to that program."
        )

    async def take(self) -> str | None:
        """Return why a sign-in is not possible, or None. The addresses are open all the time."""
        return await self.conflict()

    async def release(self) -> None:
        """Do nothing: the addresses stay open."""

    async def serve(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Accept connections, including those of an address that is bound later."""
        self._protocol = protocol
        for each in (self._required, self._other):
            if each is not None:
                await self._accept(each)

    async def pause(self) -> None:
        """
        Stop accepting, and return when all accepted connections are registered. New ones wait in the sockets' queues.

        Closing the servers immediately would lose requests: asyncio resets connections that it has accepted but not
        registered, and an idle connection is closed even if a request is waiting to be read.
        """
        loop = asyncio.get_running_loop()
        for each in (self._required, self._other):
            if each is not None:
                with contextlib.suppress(NotImplementedError):  # Windows' event loop does not accept with readers
                    loop.remove_reader(each)
        for _ in range(_SETTLE_ITERATIONS):
            await asyncio.sleep(0)

    async def resume(self) -> None:
        """Accept the waiting connections, and new ones. Do nothing after ``close``."""
        if self._required.fileno() < 0:
            return
        required, other = self._required.dup(), None if self._other is None else self._other.dup()
        self.close()
        self._servers.clear()
        self._required, self._other = required, other
        if self._protocol is not None:
            await self.serve(self._protocol)

    def close(self) -> None:
        """Stop accepting. Open connections stay open."""
        for task in self._starting:
            task.cancel()
        for server in self._servers:
            server.close()
        self._required.close()
        if self._other is not None:
            self._other.close()

    def _recheck(self) -> None:
        """Try to bind a missing address. This only happens on requests: an idle daemon has no timer for it."""
        now = time.monotonic()
        if self._state == "listening" or now - self._tried < self._recheck_seconds:
            return
        self._tried = now
        try:
            self._other = bind(V6, self.port)
        except OSError as error:
            self._state = "absent" if error.errno in _ABSENT else "taken"
            return
        self._state, self._holder = "listening", None
        self.on_recovered()
        if self._protocol is not None:
            # The kernel queues connections from now on, so none is lost until the loop accepts them.
            task = asyncio.get_running_loop().create_task(self._accept(self._other))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
            logger.info("address_recovered", extra={"address": f"[{V6}]:{self.port}"})

    async def _accept(self, listening: socket.socket) -> None:
        if self._protocol is None:
            return
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._protocol, sock=listening, backlog=ACCEPTED_AT_ONCE))
        # asyncio uses one number for both, and has set the length of the queue to it.
        listening.listen(QUEUE)


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. It has to listen already: two sockets that are only bound can share an address."""
    family = socket.AF_INET6 if host == V6 else socket.AF_INET
    # Child processes do not inherit Python's sockets (PEP 446).
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":
            # Otherwise another program can bind the same address with SO_REUSEADDR, and receive its connections.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            # Allows binding while connections of the last run are in TIME_WAIT. Never SO_REUSEPORT: with it, two
            # daemons would share the connections.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(QUEUE)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def describe_bind_error(port: int, error: OSError) -> str:
    """Describe why ``port`` cannot be bound on 127.0.0.1. Takes some milliseconds, like ``holder``."""
    if _needs_privileges(error):
        return f"Port {port} requires administrator privileges."
    if is_in_use(error):
        return f"Port {port} on {V4} is in use by {_holder(V4, port)}."
    return f"Port {port} on {V4} cannot be opened: {error.strerror}."


def _holder(host: str, port: int) -> str:
    from upstash_helper.settings.announced import daemon_on  # only when there is a problem

    return holder(host, port, announced=daemon_on)


def is_in_use(error: OSError) -> bool:
    """Return whether an address cannot be bound because another socket has it."""
    # Windows reports EACCES if the other one is exclusive.
    return error.errno == errno.EADDRINUSE or (error.errno == errno.EACCES and not _needs_privileges(error))


def _needs_privileges(error: OSError) -> bool:
    return error.errno == errno.EACCES and sys.platform != "win32"


def _explain(port: int, error: OSError) -> str:
    reason = describe_bind_error(port, error)
    if " is in use by systemd " in reason:
        return (
            f"{reason.removesuffix('.')}, which starts the helper on demand, with any request or with 'upstash-helper "
            f"start'. To release the port: systemctl --user stop upstash-helper.socket"
        )
    in_use = is_in_use(error)
    if in_use:
        from upstash_helper.settings.announced import daemon_on
        from upstash_helper.system import own_daemons, own_programs

        own = own_daemons.find([port], announced=daemon_on)
        if own is not None:
            reason = f"Port {port} on {V4} is in use by {own_programs.daemon_name(own.profile, own.pid)}."
            difference = own.difference(own_programs.profile_of(sys.argv, os.environ), os.environ)
            return (
                f"{reason} {difference} Stop it first, use the same profile and folders, or choose another port with "
                f"the setting 'port', UPSTASH_HELPER_PORT, or --port."
            )
    advice = " Stop that program, or choose another port" if in_use else " Choose another port"
    return (
        f"{reason}{advice} with the setting 'port', UPSTASH_HELPER_PORT, or --port. Sign-ins then end at "
        f"http://localhost:<port>, which must be registered with Upstash as a redirect URI of your client_id. "
        f"Connecting with an API key works on every port. To use the port only during a sign-in, set "
        f'port_policy = "on-demand".'
    )
