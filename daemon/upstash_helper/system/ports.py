"""Which program listens on a port of this machine, as far as the operating system reports it."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Connections = Callable[[str], Iterable[Any]]
    Announced = Callable[[int], tuple[str, int] | None]
    """Returns the profile and the process id of the daemon that has announced a port, or None."""

from upstash_helper.system.printable import printable

UNNAMED: Final = "an unknown program"
HIDDEN: Final = "one of your programs that cannot be inspected, such as another upstash-helper"

ANY: Final = {"127.0.0.1": "0.0.0.0", "::1": "::"}  # noqa: S104 - compared, not bound
"""From a loopback address to the wildcard address of its family."""

_MAX_NAME: Final = 60


def holder(host: str, port: int, *, announced: Announced | None = None) -> str:
    """
    Describe the program that listens at an address: its name, and its user if that is another one.

    This takes a few milliseconds, and longer where another user's process has to be looked up.

    Args:
        host: The address.
        port: The port.
        announced: Finds a daemon of this user that the system hides; see ``Announced``.
    """
    wanted = {host, *ANY.values()}
    listening = listeners(port)
    candidates = [(ip, pid) for ip, pid in (own_listeners(port) if listening is None else listening) if ip in wanted]
    if not candidates:
        return UNNAMED
    # The exact address is a better match than a wildcard.
    address, pid = min(candidates, key=lambda candidate: candidate[0] != host)
    return describe_owner(address, port, announced=announced) if pid is None else describe_process(pid)


def listeners(port: int, *, connections: Connections | None = None) -> list[tuple[str, int | None]] | None:
    """
    Return the addresses with a listener on ``port``, each with its process id where it is known.

    Args:
        port: The port.
        connections: Returns the system's TCP connections; by default psutil's function.

    Returns:
        None if the system does not list them: macOS does so for root only.
    """
    import psutil

    try:
        found = (connections or psutil.net_connections)("tcp")
    except (psutil.Error, OSError):
        return None
    return [
        (connection.laddr.ip, known_process(connection.pid))
        for connection in found
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
    ]


def has_listener(port: int) -> bool:
    """
    Return whether a running program listens on ``port``, at any address. True also if the system does not say. Windows
    may list a listener for a moment after its process has ended.
    """
    import psutil

    found = listeners(port)
    return found is None or any(pid is None or psutil.pid_exists(pid) for _, pid in found)


def known_process(pid: int | None) -> int | None:
    """
    Return the process id of a connection's owner, or None if it is not known. Windows reports 0 for a connection whose
    process has ended, which is also the id of "System Idle Process"; macOS' kernel has it, too. Neither has sockets.
    """
    return pid or None


def own_listeners(port: int) -> list[tuple[str, int | None]]:
    """
    Return the addresses on which programs of this user listen on ``port``, each with its process id. macOS lists these,
    unlike those of other users. It asks each process, which takes some milliseconds.
    """
    import psutil

    found: list[tuple[str, int | None]] = []
    for process in psutil.process_iter():
        # Processes of other users cannot be inspected, nor those that have just exited.
        with contextlib.suppress(psutil.Error, OSError):
            found += [
                (connection.laddr.ip, process.pid)
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            ]
    return found


def describe_owner(host: str, port: int, *, announced: Announced | None = None) -> str:
    """Describe a listener by its user, where the system does not reveal its process. See ``holder``."""
    from upstash_helper.system import socket_owners

    try:
        uid = socket_owners.listening((host, port))
    except (OSError, ValueError):
        uid = None
    if sys.platform == "win32":
        return UNNAMED  # it reports the processes of all users, unless they have ended
    if uid is None:
        return "another user's program"
    if uid != os.geteuid():
        return f"another user's program (user {_safe(user_name(uid))})"
    # A user's own processes can be hidden too: those that hold keys, such as ssh-agent and this daemon.
    found = None if announced is None else announced(port)
    if found is None:
        return HIDDEN
    from upstash_helper.system.own_programs import daemon_name

    return daemon_name(*found)


def describe_process(pid: int) -> str:
    """Describe a process by its name, and by its user if that is another one. Our own programs get their own names."""
    import psutil

    from upstash_helper.system import own_programs

    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return f"process {pid}"
    suffix = ""
    with contextlib.suppress(psutil.Error):
        user = process.username()
        if user == psutil.Process().username():
            own = own_programs.describe(process)
            if own is not None:
                return own
        else:
            suffix = f" of user {_safe(user)}"
    return f"{_safe(name)} (process {pid}{suffix})"


def user_name(uid: int) -> str:
    """Return the user's name, or the id if there is none."""
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _safe(name: str) -> str:
    return printable(name)[:_MAX_NAME]
