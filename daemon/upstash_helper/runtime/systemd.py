"""
Sockets that a service manager listens on for the daemon, and hands over when it starts it (sd_listen_fds(3)).

Whoever connects meanwhile waits in the sockets' queue, which the manager holds as well: neither the time before the
daemon runs nor its end, however it ends, loses a connection that it has not accepted yet.

systemd alone does so. launchd's way (launch_activate_socket(3)) takes a C function; under it the daemon always runs.
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
"""SD_LISTEN_FDS_START: the descriptors begin behind the standard ones."""
MOST: Final = 16
"""More than anybody's socket unit has, and few enough to look at each."""
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

TURN_AWAY_SECONDS: Final = 3.0
"""
How long a process that cannot serve answers those who connect, before it ends. systemd gives a unit up that is started
more than five times in ten seconds, and closes its sockets for good (systemd.unit(5), StartLimitBurst=): this way it
never comes to that, however often somebody connects.
"""
_READ_SECONDS: Final = 0.5

_MOST_BYTES: Final = 65_536
_BODY: Final = (
    b'{"status":503,"code":"not_serving","title":"Service Unavailable",'
    b'"detail":"The helper was started for this request and cannot serve here. See: upstash-helper doctor",'
    b'"type":"about:blank"}'
)
_TURNED_AWAY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
    b"Retry-After: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n%s"
) % (len(_BODY), _BODY)


class ActivationRefused(SettingsError):
    """What the service manager handed over is not what the settings say."""


class Passed:
    """What a service manager handed over; nothing, if something else started this process."""

    def __init__(self, sockets: Sequence[socket.socket] = (), doubt: str = "") -> None:
        """Is called by ``take``."""
        self._sockets = list(sockets)
        self._doubt = doubt

    def __bool__(self) -> bool:
        return bool(self._sockets or self._doubt)

    def listeners(self, ports: Sequence[int]) -> Listeners:
        """
        Return them as the daemon's own; they are the listeners' from then on.

        Args:
            ports: Where the daemon may be.

        Raises:
            ActivationRefused: If they are anything but one of 127.0.0.1, and perhaps one of ::1, on one of ``ports``.
        """
        if self._doubt:
            raise ActivationRefused(f"{self._doubt}.{_MEND}")
        by_host: dict[str, socket.socket] = {}
        for one in self._sockets:
            host = _host(one, ports)
            if host in by_host:
                raise ActivationRefused(f"The socket unit passes two sockets of {host}; one is used.{_MEND}")
            by_host[host] = one
        if V4 not in by_host:
            raise ActivationRefused(f"The socket unit passes no socket of {V4}, which is needed.{_MEND}")
        required, other = by_host[V4], by_host.get(V6)
        if other is not None and _port(other) != _port(required):
            detail = f"The socket unit passes port {_port(required)} of {V4} and port {_port(other)} of {V6}"
            raise ActivationRefused(f"{detail}; they have to be the same.{_MEND}")
        self._sockets = []
        return Listeners(required, other)

    def turn_away(self) -> int:
        """
        Answer whoever connects, for a few seconds, that nothing is served here; then let go of what is left. Return how
        many there were.

        A connection that nobody takes stays in the queue, and the manager would start the daemon for it over and over.
        """
        listening = [one for one in self._sockets if _listens(one)]
        turned_away = asyncio.run(_turn_away(listening)) if listening else 0
        self.close()
        return turned_away

    def close(self) -> None:
        """Let go of what is not a listener's. The manager has the sockets still."""
        for one in self._sockets:
            one.close()
        self._sockets = []


def take(environ: MutableMapping[str, str] | None = None, *, first: int = FIRST) -> Passed:
    """
    Return what this process was handed over at its start, and remove the traces of it: no child is meant.

    Args:
        environ: By default the process's own environment.
        first: The number of the first descriptor.
    """
    environ = os.environ if environ is None else environ
    pid, count, _ = (environ.pop(name, "") for name in _VARIABLES)
    # Whoever does not clear the variables has them inherited by processes that they are not for.
    if pid != str(os.getpid()) or sys.platform == "win32":
        return Passed()
    if not (count.isascii() and count.isdigit() and 0 < int(count) <= MOST):
        return Passed(doubt=f"The service manager passes LISTEN_FDS={count[:20]!r}; 1 to {MOST} sockets are expected")
    found: list[socket.socket] = []
    doubt = ""
    for descriptor in range(first, first + int(count)):
        try:
            os.set_inheritable(descriptor, False)
            one = socket.socket(fileno=descriptor)
        except OSError as error:
            doubt = f"The service manager passes descriptor {descriptor}, which is no socket ({error.strerror})"
            continue
        one.setblocking(False)
        found.append(one)
    return Passed(found, doubt)


def started_by_manager(environ: MutableMapping[str, str] | None = None) -> bool:
    """
    Return whether systemd itself started this process (systemd.exec(5), SYSTEMD_EXEC_PID).

    Its other variables are inherited: a shell in a terminal that is a service of the session has them, too.
    """
    return (os.environ if environ is None else environ).get("SYSTEMD_EXEC_PID") == str(os.getpid())


_MEND: Final = " Bring the unit in step with the settings: upstash-helper install"


def _host(one: socket.socket, ports: Sequence[int]) -> str:
    """Return on which of the two addresses a socket listens."""
    if one.family not in {socket.AF_INET, socket.AF_INET6} or one.type != socket.SOCK_STREAM:
        raise ActivationRefused(f"The socket unit passes a socket that is not TCP's ({_shown(one)}).{_MEND}")
    if not _listens(one):
        raise ActivationRefused(f"The socket unit passes {_shown(one)}, which does not listen (Accept=no).{_MEND}")
    host, port = one.getsockname()[:2]
    if host not in {V4, V6}:
        raise ActivationRefused(
            f"The socket unit passes {_shown(one)}, where other machines could connect; {V4} and {V6} are taken.{_MEND}"
        )
    if port not in ports:
        says = " or ".join(str(port) for port in ports)
        raise ActivationRefused(f"The socket unit passes {_shown(one)} but the settings say port {says}.{_MEND}")
    return str(host)


def _listens(one: socket.socket) -> bool:
    try:
        return bool(one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _port(one: socket.socket) -> int:
    return int(one.getsockname()[1])


def _shown(one: socket.socket) -> str:
    name = one.getsockname()
    if one.family == socket.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    return f"{name[0]}:{name[1]}" if one.family == socket.AF_INET else f"one of family {one.family}"


async def _turn_away(listening: Iterable[socket.socket]) -> int:
    """Return how many connections were answered."""
    turned_away = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turned_away
        turned_away += 1
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(_TURNED_AWAY)
            writer.write_eof()
            # Closing before the request is read would reset the connection, and the answer might be lost with it.
            async with asyncio.timeout(_READ_SECONDS):
                while await reader.read(_MOST_BYTES):
                    pass
        writer.close()

    async with contextlib.AsyncExitStack() as stack:
        for one in listening:
            await stack.enter_async_context(await asyncio.start_server(answer, sock=one.dup()))
        await asyncio.sleep(TURN_AWAY_SECONDS)
    await asyncio.sleep(_READ_SECONDS)
    return turned_away


def notify(*states: str, environ: Mapping[str, str] | None = None) -> bool:
    """
    Send ``states`` (``READY=1``, ``STATUS=…``) to the service manager; return whether there is one that took them.

    Args:
        states: As in sd_notify(3); none of them is secret.
        environ: Where ``NOTIFY_SOCKET`` is looked for, by default the process's own environment.
    """
    path = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if path[:1] not in {"/", "@"} or not hasattr(socket, "AF_UNIX"):
        return False
    # A leading @ stands for the NUL byte of Linux's abstract namespace.
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)  # a manager that is stuck must not stop the daemon, too
        try:
            sender.sendto("\n".join(states).encode(), address)
        except OSError:
            return False
    return True
