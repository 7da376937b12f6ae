"""
Waking a socket-activated daemon: connecting to its socket makes the service manager start it.

The address of the socket is in a note in the state folder; see ``protocol.wake_note``. No secret is sent there: the
owner token goes only to a daemon that has announced itself in the runtime folder and holds the lock.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.errors import DiscoveryRefused

if TYPE_CHECKING:
    from collections.abc import Callable

START_SECONDS: Final = 20.0
"""A cold start from a slow disk takes seconds. If it takes longer than this, something is wrong."""
LOCK_SECONDS: Final = 2.0
"""
How long a starting daemon may take to acquire its lock, which is the first thing it does. After that, another program
must have the port, unless it is the service manager itself.
"""
_CONNECT_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.01


def wake(runtime: Path, state: Path, *, timeout: float = START_SECONDS) -> bool:
    """
    Wake the profile's daemon if it is socket-activated. Return whether it is running and has announced itself.

    Args:
        runtime: The profile's runtime folder.
        state: The profile's state folder. Without a note in it, nothing is sent.
        timeout: Seconds to wait for the start.
    """
    note = wake_note.read(state)
    if note is None:
        return False
    port = note.port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_CONNECT_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.connect()
            # Connecting is enough to start it. The request is for a daemon that is already running, which then answers.
            connection.request("GET", "/health", headers={"Connection": "close"})
        except OSError:
            return False
        deadline = time.monotonic() + timeout

        def has_lock(seconds: float) -> bool:
            return _wait(lambda: discovery.is_running(runtime), seconds, unless=lambda: _has_answered(connection))

        starting = has_lock(LOCK_SECONDS)
        if not starting and not _has_answered(connection) and _belongs_to_service_manager(port):
            # The first start after a restart of the machine may be slow.
            starting = has_lock(deadline - time.monotonic())
        # A daemon that waits for its port says why, and may wait for hours.
        waits = partial(_says_why_it_waits, runtime)
        return starting and _wait(lambda: _announced(runtime), deadline - time.monotonic(), unless=waits)


def _belongs_to_service_manager(port: int) -> bool:
    """Return whether the service manager listens on ``port``. Takes tens of milliseconds."""
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
        return True  # reading it raises the reason


def _says_why_it_waits(runtime: Path) -> bool:
    return discovery.waiting_reason(runtime) is not None


def _has_answered(connection: http.client.HTTPConnection) -> bool:
    """Return whether an answer has arrived. A daemon that answers already has its lock; another program never will."""
    try:
        connection.sock.setblocking(False)
        connection.sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a closed connection counts as an answer
    return True


def _wait(condition: Callable[[], bool], seconds: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if unless():
            return condition()
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
