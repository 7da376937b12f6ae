"""
The address of the user's D-Bus session bus.

systemd puts the bus in a fixed place. libdbus looks there without being told; the ``jeepney`` library does not.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

_ADDRESS: Final = "DBUS_SESSION_BUS_ADDRESS"


def session_bus_address(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the address of the user's session bus, also for a daemon that cron or SSH started; None if it has none."""
    if _ADDRESS in environ or sys.platform == "win32":
        return environ.get(_ADDRESS)
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    bus = Path(runtime, "bus")
    try:
        status = bus.lstat()
    except OSError:
        return None
    # Secrets are sent over this socket, so it must not be another user's.
    return f"unix:path={bus}" if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.getuid() else None


def find_session_bus(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set the session bus's address in ``environ`` unless it is set or there is none."""
    address = session_bus_address(environ)
    if address is not None:
        environ[_ADDRESS] = address
