"""Locating the daemon of the user who runs an app."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.client import wake
from upstash_helper.client.daemon import START_COMMAND
from upstash_helper.client.errors import DaemonNotRunning, DaemonUnreachable
from upstash_helper.client.transport import not_running, restart_command
from upstash_helper.protocol import discovery
from upstash_helper.protocol.errors import ClientError
from upstash_helper.settings.profiles import DEFAULT_PROFILE, ENV_PREFIX, SettingsError, locate, located_profiles

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_URL: Final = "http://127.0.0.1:3000"


class DaemonLocation(NamedTuple):
    """Where a daemon is."""

    base_url: str
    label: str = ""
    """Distinguishes its tokens in the keyring from those of other daemons. Empty for the default profile."""
    start_command: str = START_COMMAND
    proves: bool = True
    """False for a running daemon of an earlier version, which cannot prove that it knows a token."""


def find(base_url: str | None = None) -> DaemonLocation:
    """
    Return the location of the daemon, and wake it if it is socket-activated.

    In order of precedence: ``base_url``; the address in the discovery file of the profile (``UPSTASH_HELPER_PROFILE``
    and ``UPSTASH_HELPER_HOME`` are respected); for the default profile, the default address.

    Raises:
        DaemonUnreachable: If the environment names a profile or home whose daemon is not running: no other daemon is
            used in its place.
        DiscoveryRefused: If the discovery file may have been written by another user.
        VersionMismatch: If the daemon speaks another version of the protocol.
        ClientError: If the environment names an invalid profile.
    """
    if base_url is not None:
        return DaemonLocation(base_url, label=f"at {base_url.removesuffix('/')}")
    try:
        profile, folders = locate()
    except SettingsError as error:
        raise ClientError(str(error)) from error
    start = START_COMMAND if profile == DEFAULT_PROFILE else f"upstash-helper --profile {profile} start"
    label = _label(profile, os.environ.get(f"{ENV_PREFIX}HOME"))
    restart = restart_command(start)
    found = _running_daemon(folders.runtime, restart)
    if found is None and wake.wake(folders.runtime, folders.state):
        found = _running_daemon(folders.runtime, restart)
    if found is not None:
        return DaemonLocation(found.base_url, label, start, found.proves)
    if (reason := discovery.waiting_reason(folders.runtime)) is not None:
        raise DaemonUnreachable(reason)
    if label:
        raise DaemonNotRunning(explain_missing(not_running(start), profile))
    return DaemonLocation(DEFAULT_URL, label, start)


def explain_missing(message: str, profile: str) -> str:
    """
    Add to ``message`` which other daemons of this user are running: one that has the profile's port, with what differs,
    and one of another profile, such as the sandbox's.

    Args:
        message: That the daemon is not running.
        profile: The profile of the missing daemon.
    """
    from upstash_helper.settings.config import Settings, load_profile
    from upstash_helper.system import own_daemons

    settings = Settings()
    with contextlib.suppress(SettingsError):
        settings = load_profile(profile=profile).settings
    other = own_daemons.explain(dict.fromkeys((settings.port, *settings.api_ports)), profile=profile) or ""
    running = _running_profile(other_than=profile)
    hint = ""
    if running is not None and running not in other:
        how = f"add --profile {running}, or set {ENV_PREFIX}PROFILE={running}"
        hint = f"The daemon of the profile {running} is running. To use it, {how}."
    return "\n".join(filter(None, (message, other, hint)))


def _running_profile(*, other_than: str) -> str | None:
    """Return a profile whose daemon is running in the same home folder."""
    with contextlib.suppress(SettingsError, OSError):
        for name, folders in located_profiles():
            if name != other_than and any(map(discovery.is_running, folders.runtimes)):
                return name
    return None


def _running_daemon(runtime: Path, restart: str) -> discovery.Address | None:
    # A running daemon holds the lock. Without it, another program may be at the address by now.
    return discovery.read_address(runtime, restart_command=restart) if discovery.is_running(runtime) else None


def _label(profile: str, home: str | None) -> str:
    parts = [] if profile == DEFAULT_PROFILE else [f"profile {profile}"]
    return ", ".join([*parts, f"in {home}"] if home else parts)
