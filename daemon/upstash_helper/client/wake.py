"""
Waking a daemon that a service manager starts on demand: whoever connects to its socket has it started.

Such a daemon notes its address in the state folder, where it outlives the daemon and a restart of the machine. The note
is no secret, and nothing secret is sent to what answers there: the owner's token goes to a daemon that has announced
itself in the runtime folder, and holds the lock, alone.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.errors import DiscoveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS: Final = 20.0
"""A cold start on a slow disk takes seconds; past this, something is wrong."""
STRANGER_SECONDS: Final = 2.0
"""
What a daemon has for taking its lock, which comes first of all. What does not by then is another program, unless it is
the service manager itself that has the port.
"""
_CONNECT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.01


def wake(runtime: Path, state: Path, *, patience: float = START_SECONDS) -> bool:
    """
    Have the profile's daemon started, if a service manager does that. Return whether it has announced itself.

    Args:
        runtime: The profile's runtime folder.
        state: Its state folder, with the note in it; without one nobody is spoken to.
        patience: Seconds for the start of a daemon.
    """
    note = wake_note.read(state)
    if note is None:
        return False
    port = note.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_CONNECT_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.connect()
            # A connection would do. With a request, a daemon that is there all the same has something to answer.
            connection.request("GET", "/health", headers={"Connection": "close"})
        except OSError:
            return False
        deadline = time.monotonic() + patience

        def starts(seconds: float) -> bool:
            return _wait(lambda: discovery.is_running(runtime), seconds, unless=lambda: _has_answered(connection))

        starts_soon = starts(STRANGER_SECONDS)
        if not starts_soon and not _has_answered(connection) and _is_managers(port):
            # The first start after that of the machine, from a slow disk.
            starts_soon = starts(deadline - time.monotonic())
        return starts_soon and _wait(lambda: _announced(runtime), deadline - time.monotonic())


def _is_managers(port: int) -> bool:
    """Return whether it is the service manager that listens on ``port``. Takes some tens of milliseconds."""
    import psutil

    try:
        pids = {
            found.pid
            for found in psutil.net_connections("tcp4")
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid
        }
        return any(psutil.Process(pid).name() == "systemd" for pid in pids)
    except (psutil.Error, OSError):
        return False


def _announced(runtime: Path) -> bool:
    try:
        return discovery.is_running(runtime) and discovery.read_address(runtime) is not None
    except DiscoveryRefused:
        return True  # whoever reads it is told


def _has_answered(connection: http.client.HTTPConnection) -> bool:
    """Return whether there is an answer: a daemon that answers has its lock, and a stranger never will."""
    try:
        connection.sock.setblocking(False)
        connection.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass  # broken off, which is an answer
    return True


def _wait(condition: Callable[[], bool], seconds: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if unless():
            return condition()
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
