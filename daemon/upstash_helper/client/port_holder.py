"""
Which program has a port, if it may be a daemon of another profile.

Linux hides which of the user's processes has a socket if that process holds keys, as a daemon does. But it announces
its port in the runtime folder of its profile.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import SettingsError, located_profiles
from upstash_helper.system import own_daemons, ports
from upstash_helper.system.own_daemons import OwnDaemon
from upstash_helper.system.own_programs import daemon_name

if TYPE_CHECKING:
    from collections.abc import Mapping


class ProfileDaemon(NamedTuple):
    """A running daemon."""

    profile: str
    pid: int


def holder(host: str, port: int) -> str:
    """Describe the program that listens at an address, like ``ports.holder``."""
    return ports.holder(host, port, hidden=hidden_daemon)


def owner(host: str, port: int) -> str:
    """Describe a listener whose process the system does not reveal, like ``ports.describe_owner``."""
    found = ports.describe_owner(host, port)
    return (hidden_daemon(port) if found == ports.HIDDEN else None) or found


def hidden_daemon(port: int) -> str | None:
    """Return how to call the daemon that has announced ``port``; None if there is none but this process."""
    found = daemon_on(port)
    return None if found is None else daemon_name(found.profile, found.pid)


def own_daemon(port: int) -> OwnDaemon | None:
    """
    Return this user's daemon that has ``port``, other than this process. The announcement is certain, but it is known
    only of daemons with the same home folder. Of others, the system may hide the environment.
    """
    announced, found = daemon_on(port), own_daemons.find([port])
    if announced is None:
        return found
    if found is None or found.pid != announced.pid:
        return OwnDaemon(announced.pid, port, announced.profile, None)
    return found._replace(profile=announced.profile)


def daemon_on(port: int, *, environ: Mapping[str, str] | None = None) -> ProfileDaemon | None:
    """
    Return the daemon, of any profile, that has announced ``port``; None if there is none but this process.

    Args:
        port: The API's port.
        environ: Where to look for profiles. Default: the environment of this process.
    """
    with contextlib.suppress(SettingsError, OSError):
        for name, folders in located_profiles(environ=environ):
            for runtime in folders.runtimes:
                with contextlib.suppress(ClientError):
                    found = discovery.read(runtime) if discovery.is_running(runtime) else None
                    if found is not None and found.port == port and found.pid != os.getpid():
                        return ProfileDaemon(name, found.pid)
    return None
