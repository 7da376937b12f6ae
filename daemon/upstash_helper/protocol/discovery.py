"""
How a client finds the daemon of its user: a file in the runtime folder, and a lock that tells whether it is alive.

The file holds the owner token, new at every start of the daemon; a file that a killed daemon left behind is worthless.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypeVar

import msgspec

from upstash_helper import __version__
from upstash_helper.protocol.errors import DiscoveryRefused, Speaks, VersionMismatch
from upstash_helper.protocol.wire import Sensitive
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from types import TracebackType

API_VERSION: Final = 1
"""The protocol between the daemon and its clients. Whoever speaks the same understands each other, older or newer."""
FORMAT: Final = 1
"""That of the file. What may be added without breaking older clients does not change it."""
RESTART_COMMAND: Final = "upstash-helper restart"

DISCOVERY_FILE: Final = "daemon.json"
LOCK_FILE: Final = "daemon.lock"
TRAY_LOCK_FILE: Final = "tray.lock"

# These files have a few hundred bytes.
_MAX_BYTES: Final = 16_384

# `is_running` holds the lock for some microseconds; a daemon that starts in just that moment tries again.
_ACQUIRE_SECONDS: Final = 0.1
_RETRY_SECONDS: Final = 0.01


_Told = TypeVar("_Told", bound=msgspec.Struct)


class AlreadyHeld(Exception):
    """Another process holds the lock: a daemon, or a tray, of this profile is running."""


class Discovery(Sensitive, frozen=True, kw_only=True):
    """Where the daemon is and how its owner is known to it."""

    pid: int
    port: int
    base_url: str
    owner_token: str
    version: str
    api_version: int
    format: int = FORMAT


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """What an app may know of the announcement: where the daemon is. The owner's token is none of its business."""

    base_url: str
    version: str = ""
    api_version: int = API_VERSION


class _Head(msgspec.Struct):
    """What any version's announcement says about that version."""

    format: int
    version: str = ""
    api_version: int | None = None


class _Process(msgspec.Struct):
    pid: int


def discovery_file(runtime: Path) -> Path:
    """Return where the daemon of the profile with this runtime folder announces itself."""
    return runtime / DISCOVERY_FILE


def read(runtime: Path, *, restart_command: str = RESTART_COMMAND) -> Discovery | None:
    """
    Return what the daemon announced, or None if it announced nothing.

    Args:
        runtime: The profile's runtime folder.
        restart_command: What to tell the user to run if the daemon is too old.

    Raises:
        DiscoveryRefused: If the file may be another user's doing, or cannot be read.
        VersionMismatch: If it is of a daemon that speaks another version of the protocol.
    """
    return _read(discovery_file(runtime), Discovery, restart_command)


def read_address(runtime: Path, *, restart_command: str = RESTART_COMMAND) -> str | None:
    """
    Return where the daemon is, or None if it announced nothing; raises as ``read``.

    Args:
        runtime: The profile's runtime folder.
        restart_command: As for ``read``.
    """
    found = _read(discovery_file(runtime), Address, restart_command)
    return None if found is None else found.base_url


def read_pid(runtime: Path) -> int | None:
    """Return the process that announced itself, whatever its version; None if that cannot be told."""
    try:
        content = private_files.read(discovery_file(runtime), limit=_MAX_BYTES)
        return None if content is None else msgspec.json.decode(content, type=_Process).pid
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None


def write(runtime: Path, discovery: Discovery) -> None:
    """
    Announce a daemon. A reader sees either the whole file or none, and no other user sees any of it.

    Raises:
        OSError: If the file cannot be written.
    """
    private_files.make_folder(runtime)
    private_files.write(discovery_file(runtime), msgspec.json.encode(discovery))


def remove(runtime: Path) -> None:
    """Take the announcement back."""
    discovery_file(runtime).unlink(missing_ok=True)


def is_running(runtime: Path) -> bool:
    """Return whether a daemon of the profile with this runtime folder is alive, even if it does not answer."""
    try:
        if not (runtime / LOCK_FILE).exists():
            return False
        with DaemonLock(runtime, patience=0.0):
            return False
    except AlreadyHeld:
        return True
    except OSError:
        return False


class DaemonLock:
    """
    The lock that a daemon holds for its life, and a tray its own. The system frees it however the process ends.

    The lock is on the open file and not its content, so a file that is left behind means nothing.
    """

    def __init__(self, runtime: Path, *, patience: float = _ACQUIRE_SECONDS, file: str = LOCK_FILE) -> None:
        """
        Args:
            runtime: The profile's runtime folder; made if absent.
            patience: Seconds for which to try.
            file: The lock's name; there can be one holder of each.
        """
        self._path: Final = runtime / file
        self._patience = patience
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """
        Take the lock.

        Raises:
            AlreadyHeld: If another process has it.
            OSError: If the file cannot be made.
        """
        private_files.make_folder(self._path.parent)
        descriptor = private_files.opener(str(self._path), os.O_RDWR | os.O_CREAT)
        try:
            self._lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + self._patience
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise AlreadyHeld
            time.sleep(_RETRY_SECONDS)


if sys.platform == "win32":

    def _try_lock(descriptor: int) -> bool:
        import msvcrt

        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:

    def _try_lock(descriptor: int) -> bool:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _read(path: Path, kind: type[_Told], restart_command: str) -> _Told | None:
    try:
        content = private_files.read(path, limit=_MAX_BYTES)
    except private_files.NotPrivate as error:
        message = (
            f"{path} {error.reason}. Another user could pose as the daemon with it. Restart the daemon to replace it."
        )
        raise DiscoveryRefused(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}."
        raise DiscoveryRefused(message) from error
    if content is None:
        return None

    try:
        head = msgspec.json.decode(content, type=_Head)
        _check_version(head, restart_command)
        return msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError as error:
        message = f"{path}: not a discovery file. Remove it and start the daemon again."
        raise DiscoveryRefused(message) from error


def _check_version(head: _Head, restart_command: str) -> None:
    protocol = API_VERSION if head.api_version is None else head.api_version
    theirs, ours = (head.format, protocol), (FORMAT, API_VERSION)
    if theirs != ours:
        raise VersionMismatch(
            ours=Speaks(__version__, API_VERSION),
            daemon=Speaks(head.version, head.api_version),
            daemon_is_older=theirs < ours,
            restart_command=restart_command,
        )


FILE: Final = "waiting.json"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that waits."""

    pid: int
    reason: str
    """Whole sentences, for the user."""
    format: int = FORMAT


def tell(runtime: Path, waiting: Waiting) -> None:
    """
    Leave word in the profile's runtime folder.

    Raises:
        OSError: If it cannot be written.
    """
    private_files.make_folder(runtime)
    private_files.write(runtime / FILE, msgspec.json.encode(waiting))


def over(runtime: Path) -> None:
    """Take it back; without effect if nothing was said."""
    (runtime / FILE).unlink(missing_ok=True)


def found(runtime: Path) -> Waiting | None:
    """Return the daemon that waits; None if none runs, it serves, or what is there cannot be trusted."""
    try:
        content = private_files.read(runtime / FILE, limit=_MAX_BYTES)
        if content is None:
            return None
        told = msgspec.json.decode(content, type=Waiting)
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None
    # Whoever is killed while it waits leaves the file behind.
    return told if is_running(runtime) else None


def reason(runtime: Path) -> str | None:
    """Return what the daemon waits for, if it does."""
    told = found(runtime)
    return None if told is None else told.reason
