"""
A machine whose loopback interface has no ``::1`` at first: a network namespace, for a program run by ``unshare``.

    unshare --user --map-root-user --net python -m tests.support.own_network FOLDER

runs a daemon there and prints what was observed, as JSON.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.daemon import DaemonProcess
from tests.support.other_programs import occupied
from tests.support.process import own_name
from upstash_helper.client.errors import ApiProblem

_NO_IPV6: Final = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
SECONDS: Final = 10.0
"""How long the daemon may take to notice a change (T39)."""


def bring_up() -> None:
    """
    Bring the loopback interface up, without ``::1``.

    Raises:
        OSError: If this system does not allow that in a user namespace.
    """
    import fcntl

    _NO_IPV6.write_text("1")
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def observe(daemon: DaemonProcess) -> dict[str, Any]:
    """Return the daemon's status and its response to a connect request. A started attempt is canceled."""
    status = daemon.client.status()
    try:
        started = daemon.client.connect(open_browser=False)
    except ApiProblem as problem:
        answer = problem.code
    else:
        answer = type(started).__name__
        attempt = daemon.client.connection().attempt
        if attempt is not None:
            daemon.client.cancel_attempt(attempt.attempt_id)
    ours, other = status.listeners
    return {
        "state": status.connection.state,
        "detail": status.connection.detail or "",
        "listeners": [ours.state, other.state],
        "connect": answer,
    }


def until(daemon: DaemonProcess, state: str) -> None:
    """Poll until the second address is in ``state``."""
    deadline = time.monotonic() + SECONDS
    while daemon.client.status().listeners[1].state != state:
        if time.monotonic() > deadline:
            raise TimeoutError(state)
        time.sleep(0.05)


def main(folder: Path) -> dict[str, Any]:
    """Observe the states of ``::1``: absent, taken by another program, and the daemon's."""
    settings = {"client_id": "c", "auth_url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1"}
    with DaemonProcess.running(folder, **settings) as daemon:
        absent = observe(daemon)
        _NO_IPV6.write_text("0")
        with occupied("::1", daemon.port):
            until(daemon, "taken")
            taken = observe(daemon)
        until(daemon, "listening")
        return {"other_program": own_name(), "absent": absent, "taken": taken, "freed": observe(daemon)}


if __name__ == "__main__":
    try:
        bring_up()
    except OSError as error:
        found: dict[str, Any] = {"forbidden": str(error)}
    else:
        found = main(Path(sys.argv[1]))
    sys.stdout.buffer.write(msgspec.json.encode(found))
