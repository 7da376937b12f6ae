"""
This user's daemon on a port, if its clients do not find it: it was started with other folders, or for another profile.

Clients find the daemon through a file in a folder below the user's state folder. That folder depends on three
variables, and cron, ``su``, and a service manager may set them differently. The system reports which program has a
port, so the user can be told what differs instead of being told that no daemon is running.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from upstash_helper.system import own_programs, ports, socket_owners
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    import psutil

_HOME: Final = "UPSTASH_HELPER_HOME"
# If the first is set, the others have no effect.
_VARIABLES: Final = (_HOME, "HOME", "XDG_STATE_HOME")
_MAX_SHOWN: Final = 200


class OwnDaemon(NamedTuple):
    """A daemon of this user that has a port."""

    pid: int
    port: int
    profile: str
    environ: Mapping[str, str] | None
    """The environment that it was started with; None if the system does not reveal it."""

    def difference(self, profile: str, environ: Mapping[str, str]) -> str:
        """
        Return what the daemon was started with in which it differs from this process, in sentences.

        Args:
            profile: The profile of this process.
            environ: The environment of this process.
        """
        if self.profile != profile:
            return f"It serves the profile {self.profile}. To use it, add --profile {self.profile}."
        if self.environ is None:
            return f"It was started with another value of {', '.join(_VARIABLES[:-1])}, or {_VARIABLES[-1]}."
        theirs = self.environ
        names = [_HOME] if theirs.get(_HOME) or environ.get(_HOME) else list(_VARIABLES[1:])
        for name in names:
            if (theirs.get(name) or "") != (environ.get(name) or ""):
                return f"It was started {_with(name, theirs)}, and this command {_with(name, environ)}."
        return "It was started by another version. Restart it."


def find(candidates: Iterable[int], *, announced: ports.Announced | None = None) -> OwnDaemon | None:
    """
    Return this user's daemon that listens on one of the ports. This takes some milliseconds.

    Args:
        candidates: The ports.
        announced: Finds daemons with the same home folder, and their profiles; see ``ports.holder``.
    """
    for port in candidates:
        if not _may_be_own(port):
            continue
        if announced is not None and (known := announced(port)) is not None:
            profile, announced_pid = known
            running = _process(announced_pid)
            environ = None if running is None else own_programs.environ_of(running)
            return OwnDaemon(announced_pid, port, profile, environ)
        listening = ports.listeners(port)
        for _, pid in ports.own_listeners(port) if listening is None else listening:
            process = _hidden_daemon(port) if pid is None else _process(pid)
            if process is not None and _is_own_daemon(process):
                return _described(process, port)
    return None


def explain(candidates: Iterable[int], *, profile: str | None = None) -> str | None:
    """
    Return why this process does not find this user's daemon that has one of the ports; None if there is no such daemon.

    Args:
        candidates: The ports.
        profile: The profile of this process. By default it is read from its command line and environment.
    """
    found = find(candidates)
    if found is None:
        return None
    difference = found.difference(profile or own_programs.profile_of(sys.argv, os.environ), os.environ)
    return f"Another daemon of yours is running (process {found.pid}, port {found.port}). {difference}"


# --- processes --------------------------------------------------------------------------------------------------------


def _with(name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    return f"with {name}={printable(value)[:_MAX_SHOWN]}" if value else f"without {name}"


def _process(pid: int) -> psutil.Process | None:
    import psutil

    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid)
    return None


def _may_be_own(port: int) -> bool:
    """Return whether this user may listen on ``port``. On Linux this is certain, and saves importing psutil."""
    if sys.platform != "linux":
        return True
    address = ("127.0.0.1", port)
    try:
        # First what is fast: most often nothing listens there.
        return socket_owners.may_be_listening(address) and socket_owners.listening(address) == os.geteuid()
    except (OSError, ValueError):
        return True


def _hidden_daemon(port: int) -> psutil.Process | None:
    """Return this user's only daemon, if the port is this user's: the system may hide a process that holds keys."""
    if sys.platform != "linux" or not _may_be_own(port):
        return None
    daemons = list(own_daemons())
    return daemons[0] if len(daemons) == 1 else None


def own_daemons() -> Iterator[psutil.Process]:
    """Yield the processes of this user that run a daemon, of any profile."""
    import psutil

    yield from (process for process in psutil.process_iter() if _is_own_daemon(process))


def _is_own_daemon(process: psutil.Process) -> bool:
    import psutil

    try:
        own = process.username() == psutil.Process().username()
    except (psutil.Error, OSError):
        return False
    return own and process.pid != os.getpid() and own_programs.is_daemon(own_programs.command_line(process))


def _described(process: psutil.Process, port: int) -> OwnDaemon:
    environ = own_programs.environ_of(process)
    profile = own_programs.profile_of(own_programs.command_line(process), environ or {})
    return OwnDaemon(process.pid, port, profile, environ)
