"""
Telling the service manager how the daemon is (sd_notify(3)).

The protocol is one datagram of text, so there is no dependency for it: the libraries that exist bind libsystemd, or are
as long as this.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


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
