"""
systemd: the sockets that it passes to the daemon (sd_listen_fds(3)), and the daemon's notifications (sd_notify(3)).

systemd listens, and starts the daemon on the first connection. Connections wait in the sockets' queues, which systemd
keeps open. So none is lost while the daemon is not running, whether it has exited or crashed.

launchd has a similar mechanism (launch_activate_socket(3)), but it requires a C function; there the daemon runs
permanently.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from upstash_helper.runtime.listeners import V4, V6, Listeners
from upstash_helper.settings.profiles import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping, Sequence

FIRST: Final = 3
"""SD_LISTEN_FDS_START: the number of the first passed descriptor, after the standard ones."""
MAX_SOCKETS: Final = 16
"""More than any socket unit of the helper has, and few enough to check each."""
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

REFUSE_SECONDS: Final = 3.0
"""
How long a process that cannot serve responds to connections before it exits. If a unit is started more than five times
in ten seconds, systemd gives up and closes its sockets permanently (systemd.unit(5), StartLimitBurst=). Staying this
long prevents that, however many connections arrive.
"""
_READ_SECONDS: Final = 0.5

_READ_BYTES: Final = 65_536
_BODY: Final = (
    b'{"status":503,"code":"not_serving","title":"Service Unavailable",'
    b'"detail":"The helper was started for this request but cannot run. See: upstash-helper doctor",'
    b'"type":"about:blank"}'
)
_REFUSAL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s"
) % (len(_BODY), _BODY)

_FIX: Final = " To update the unit from the settings: upstash-helper install"


# --- passed sockets ---------------------------------------------------------------------------------------------------


class ActivationRefused(SettingsError):
    """The passed sockets do not match the settings."""


class PassedSockets:
    """The sockets that the service manager passed. False if this process was not started for sockets."""

    def __init__(self, sockets: Sequence[socket.socket] = (), problem: str = "") -> None:
        """See ``take_passed_sockets``."""
        self._sockets = list(sockets)
        self._problem = problem

    def __bool__(self) -> bool:
        return bool(self._sockets or self._problem)

    def listeners(self, ports: Sequence[int]) -> Listeners:
        """
        Return the daemon's listeners, which own the sockets from then on.

        Args:
            ports: The ports that the settings allow.

        Raises:
            ActivationRefused: If the sockets are not exactly one of 127.0.0.1, and optionally one of ::1, on the same
                one of ``ports``.
        """
        if self._problem:
            raise ActivationRefused(f"{self._problem}.{_FIX}")
        by_host: dict[str, socket.socket] = {}
        for each in self._sockets:
            host = _host(each, ports)
            if host in by_host:
                raise ActivationRefused(f"The socket unit passes two sockets for {host}; only one is supported.{_FIX}")
            by_host[host] = each
        if V4 not in by_host:
            raise ActivationRefused(f"The socket unit passes no socket for {V4}, which is required.{_FIX}")
        required, other = by_host[V4], by_host.get(V6)
        if other is not None and _port(other) != _port(required):
            detail = f"The socket unit passes port {_port(required)} of {V4} and port {_port(other)} of {V6}"
            raise ActivationRefused(f"{detail}; they have to be the same.{_FIX}")
        self._sockets = []
        return Listeners(required, other)

    def refuse_connections(self) -> int:
        """
        Respond to connections with an error for a few seconds, then close the sockets. Return how many there were.

        A connection that is not accepted stays in the queue, and systemd would start the daemon for it over and over.
        """
        listening = [each for each in self._sockets if _listens(each)]
        refused = asyncio.run(_refuse(listening)) if listening else 0
        self.close()
        return refused

    def close(self) -> None:
        """Close the sockets that no listeners own. The service manager keeps its own descriptors of them."""
        for each in self._sockets:
            each.close()
        self._sockets = []


def take_passed_sockets(environ: MutableMapping[str, str] | None = None, *, first: int = FIRST) -> PassedSockets:
    """
    Return the sockets that were passed to this process. Child processes do not inherit them or their variables.

    Args:
        environ: By default the process's own environment. The variables are removed from it.
        first: The number of the first descriptor.
    """
    environ = os.environ if environ is None else environ
    pid, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    # The variables may have been inherited from a parent process that they were meant for.
    if pid != str(os.getpid()) or sys.platform == "win32":
        return PassedSockets()
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= MAX_SOCKETS):
        problem = f"The service manager passes LISTEN_FDS={count[:20]!r}, but 1 to {MAX_SOCKETS} sockets are expected"
        return PassedSockets(problem=problem)
    sockets: list[socket.socket] = []
    problem = ""
    for descriptor in range(first, first + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            passed = socket.socket(fileno=descriptor)
        except OSError as error:
            problem = f"The service manager passes descriptor {descriptor}, which is not a socket ({error.strerror})"
            continue
        passed.setblocking(False)
        sockets.append(passed)
    return PassedSockets(sockets, problem)


def started_by_manager(environ: MutableMapping[str, str] | None = None) -> bool:
    """
    Return whether systemd itself started this process (systemd.exec(5), SYSTEMD_EXEC_PID).

    Its other variables are inherited, for example by a shell in a terminal that runs as a service of the session.
    """
    return (os.environ if environ is None else environ).get("SYSTEMD_EXEC_PID") == str(os.getpid())


def _host(passed: socket.socket, ports: Sequence[int]) -> str:
    """Return the loopback address that a socket listens on, or raise ``ActivationRefused``."""
    if passed.family not in {socket.AF_INET, socket.AF_INET6} or passed.type != socket.SOCK_STREAM:
        raise ActivationRefused(f"The socket unit passes a socket that is not a TCP socket ({_name(passed)}).{_FIX}")
    if not _listens(passed):
        raise ActivationRefused(f"The socket unit passes {_name(passed)}, which is not listening (Accept=no).{_FIX}")
    host, port = passed.getsockname()[:2]
    if host not in {V4, V6}:
        raise ActivationRefused(
            f"The socket unit passes {_name(passed)}, which other computers could connect to. Only {V4} and {V6} are "
            f"allowed.{_FIX}"
        )
    if port not in ports:
        allowed = " or ".join(str(port) for port in ports)
        raise ActivationRefused(f"The socket unit passes {_name(passed)}, but the settings have port {allowed}.{_FIX}")
    return str(host)


def _listens(passed: socket.socket) -> bool:
    try:
        return bool(passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _port(passed: socket.socket) -> int:
    return int(passed.getsockname()[1])


def _name(passed: socket.socket) -> str:
    name = passed.getsockname()
    if passed.family == socket.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    return f"{name[0]}:{name[1]}" if passed.family == socket.AF_INET else f"one of family {passed.family}"


async def _refuse(listening: Iterable[socket.socket]) -> int:
    """Respond to all connections with an error. Return how many there were."""
    refused = 0

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal refused
        refused += 1
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(_REFUSAL)
            writer.write_eof()
            # Closing before the request has been read would reset the connection, and might lose the response.
            async with asyncio.timeout(_READ_SECONDS):
                while await reader.read(_READ_BYTES):
                    pass
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for each in listening:
            await stack.enter_async_context(await asyncio.start_server(respond, sock=each.dup()))
        await asyncio.sleep(REFUSE_SECONDS)
    await asyncio.sleep(_READ_SECONDS)
    return refused


# --- notifications ----------------------------------------------------------------------------------------------------


def notify(*states: str, environ: Mapping[str, str] | None = None) -> bool:
    """
    Send ``states`` (``READY=1``, ``STATUS=…``) to the service manager. Return whether one received them.

    Args:
        states: See sd_notify(3). They must not be secret.
        environ: The environment with ``NOTIFY_SOCKET``, by default the process's own.
    """
    path = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if path[:1] not in {"/", "@"} or not hasattr(socket, "AF_UNIX"):
        return False
    # A leading @ denotes the NUL byte of Linux's abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a service manager that hangs must not block the daemon
        try:
            sender.sendto("\n".join(states).encode(), address)
        except OSError:
            return False
    return True
