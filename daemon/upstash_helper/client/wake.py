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
from urllib.parse import urlsplit

import msgspec

from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import DiscoveryRefused
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Callable

FILE: Final = "activation.json"
_MAX_BYTES: Final = 16_384

START_SECONDS: Final = 20.0
"""A cold start on a slow disk takes seconds; past this, something is wrong."""
STRANGER_SECONDS: Final = 2.0
"""
What a daemon has for taking its lock, which comes first of all. What does not by then is another program, unless it is
the service manager itself that has the port.
"""
_CONNECT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.01


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Where a service manager listens for the daemon."""

    base_url: str
    format: int = discovery.FORMAT


def leave_note(state: Path, base_url: str) -> None:
    """
    Note in the profile's state folder that whoever connects to ``base_url`` has the daemon started.

    Raises:
        OSError: If it cannot be written.
    """
    private_files.make_folder(state)
    private_files.write(state / FILE, msgspec.json.encode(Note(base_url=base_url)))


def remove_note(state: Path) -> None:
    """Have nobody knock any more."""
    (state / FILE).unlink(missing_ok=True)


def noted(state: Path) -> str | None:
    """Return where to knock, or None if there is no note, or none that can be trusted."""
    try:
        content = private_files.read(state / FILE, limit=_MAX_BYTES)
        if content is None:
            return None
        note = msgspec.json.decode(content, type=Note)
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None
    return note.base_url if _port(note.base_url) else None


def wake(runtime: Path, state: Path, *, patience: float = START_SECONDS) -> bool:
    """
    Have the profile's daemon started, if a service manager does that. Return whether it has announced itself.

    Args:
        runtime: The profile's runtime folder.
        state: Its state folder, with the note in it; without one nobody is spoken to.
        patience: Seconds for the start of a daemon.
    """
    base_url = noted(state)
    if base_url is None:
        return False
    port = _port(base_url)
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


def _port(base_url: str) -> int:
    """Return the port, or 0 if it is no address of a daemon on this machine."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(base_url)
        if parts.scheme == "http" and parts.hostname == "127.0.0.1":
            return parts.port or 0
    return 0


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
