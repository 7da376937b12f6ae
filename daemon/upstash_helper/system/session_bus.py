"""
Where the user's session bus (D-Bus) is.

systemd puts it at a fixed place, and libdbus looks there by itself; the ``jeepney`` library does not.
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
    """Return the address of the user's session bus, also for a daemon started by cron or over SSH; None without one."""
    if _ADDRESS in environ or sys.platform == "win32":
        return environ.get(_ADDRESS)
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    bus = Path(runtime, "bus")
    try:
        found = bus.lstat()
    except OSError:
        return None
    # Another user's socket would be given our secrets.
    return f"unix:path={bus}" if stat.S_ISSOCK(found.st_mode) and found.st_uid == os.getuid() else None


def find_session_bus(environ: MutableMapping[str, str] = os.environ) -> None:
    """Name the user's session bus in ``environ`` if nothing does."""
    address = session_bus_address(environ)
    if address is not None:
        environ[_ADDRESS] = address
