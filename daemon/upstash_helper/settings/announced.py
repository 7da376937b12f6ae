"""
Finds the profile whose daemon has announced a port.

On Linux, a daemon's sockets are hidden from other programs of the user, because the daemon holds keys. But it announces
its port in the runtime folder of its profile.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import SettingsError, located_profiles

if TYPE_CHECKING:
    from collections.abc import Mapping


def daemon_on(port: int, *, environ: Mapping[str, str] | None = None) -> tuple[str, int] | None:
    """
    Return the profile and the process ID of the daemon that has announced ``port`` for its API; None if there is none
    other than this process.

    Args:
        port: The port.
        environ: Where to look for profiles. Default: the environment of this process.
    """
    with contextlib.suppress(SettingsError, OSError):
        for name, folders in located_profiles(environ=environ):
            for runtime in folders.runtimes:
                with contextlib.suppress(ClientError):
                    found = discovery.read(runtime) if discovery.is_running(runtime) else None
                    if found is not None and found.port == port and found.pid != os.getpid():
                        return name, found.pid
    return None
