"""Where an app finds the daemon of its user, and what that daemon's world is called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.client import wake
from upstash_helper.client.daemon import START_COMMAND
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.client.transport import not_running, restart_command
from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, SettingsError, locate

if TYPE_CHECKING:
    from pathlib import Path

USUAL_URL: Final = "http://127.0.0.1:3000"


class Whereabouts(NamedTuple):
    """A daemon."""

    base_url: str
    world: str = ""
    """Tells its tokens from those of another daemon; empty for the user's usual one."""
    start_command: str = START_COMMAND


def find(base_url: str | None = None) -> Whereabouts:
    """
    Return where the daemon is: at ``base_url`` if that is given, else where the user's daemon has announced itself
    (that of ``UPSTASH_HELPER_PROFILE`` and ``UPSTASH_HELPER_HOME``, if they are set), else where it usually is.

    One that a service manager starts on demand is started.

    Raises:
        DaemonUnreachable: If the environment names a profile whose daemon does not run: it is not at the usual place.
        DiscoveryRefused: If the announcement may be another user's.
        VersionMismatch: If that daemon speaks another version of the protocol.
        ClientError: If the environment names a profile that cannot be one.
    """
    if base_url is not None:
        return Whereabouts(base_url, world=f"at {base_url.removesuffix('/')}")
    try:
        profile, folders = locate()
    except SettingsError as error:
        raise ClientError(str(error)) from error
    start = START_COMMAND if profile == DEFAULT_PROFILE else f"upstash-helper --profile {profile} start"
    world = _world(profile, os.environ.get(f"{ENV_PREFIX}HOME"))
    restart = restart_command(start)
    found = _announced(folders.runtime, restart)
    if found is None and wake.wake(folders.runtime, folders.state):
        found = _announced(folders.runtime, restart)
    if found is not None:
        return Whereabouts(found, world, start)
    if (reason := discovery.waiting_reason(folders.runtime)) is not None:
        raise DaemonUnreachable(reason)
    if world:
        raise DaemonUnreachable(not_running(start))
    return Whereabouts(USUAL_URL, world, start)


def _announced(runtime: Path, restart: str) -> str | None:
    # Only a live daemon holds the lock. Without it the address may by now belong to any program.
    return discovery.read_address(runtime, restart_command=restart) if discovery.is_running(runtime) else None


def _world(profile: str, home: str | None) -> str:
    parts = [] if profile == DEFAULT_PROFILE else [f"profile {profile}"]
    return ", ".join([*parts, f"in {home}"] if home else parts)
