"""
How a client finds its user's daemon: files in the profile's runtime folder.

``daemon.json`` holds the daemon's address and its owner token, which is new at every start, so a file that a killed
daemon left behind is worthless. ``waiting.json`` says why a daemon that was started does not serve yet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from upstash_helper import __version__
from upstash_helper.protocol.errors import DiscoveryRefused, PeerVersion, VersionMismatch
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.protocol.lock import LOCK_FILE, AlreadyHeld, InstanceLock
from upstash_helper.protocol.wire import Sensitive
from upstash_helper.system import disk_errors, open_files, private_files
from upstash_helper.system.network_stack import network_stack

API_VERSION: Final = 1
"""Version of the protocol between daemon and clients. Releases with the same number can talk to each other."""
FORMAT: Final = 1
"""Version of the file format. Additions that older clients can ignore do not change it."""
RESTART_COMMAND: Final = "upstash-helper restart"

DISCOVERY_FILE: Final = "daemon.json"
WAITING_FILE: Final = "waiting.json"
RESERVE_FILE: Final = "daemon.reserve"
"""A file of zeros. On a full disk, the discovery file takes its space."""
_RESERVED_BYTES: Final = 4096
"""A block of most file systems, and more than the discovery file has."""

# These files have a few hundred bytes.
_MAX_BYTES: Final = 16_384

_Record = TypeVar("_Record", bound=msgspec.Struct)


class NotLoopback(ValueError):
    """The address is not that of a server on this machine. ``str()`` is a sentence for the user."""

    def __init__(self, base_url: str) -> None:
        super().__init__(f"{base_url!r} is not the address of a daemon on this machine, such as http://127.0.0.1:3000.")


# --- the discovery file -----------------------------------------------------------------------------------------------


class Discovery(Sensitive, frozen=True, kw_only=True):
    """The daemon's address, and the token that authenticates its owner."""

    pid: int
    port: int
    base_url: str
    owner_token: str
    version: str
    api_version: int
    format: int = FORMAT
    network: str = ""
    """The network stack whose loopback address it is; see ``system.network_stack``. Empty: not known."""
    proves: bool = False
    """Whether the daemon can prove that it knows a token (see ``proof``). Those of earlier versions cannot."""
    may_use_sandbox: bool = False
    """Whether its upstream is on this machine, so that it may be a sandbox."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """The part of the discovery file that an app may read: the address, without the owner token."""

    base_url: str
    version: str = ""
    api_version: int = API_VERSION
    network: str = ""
    proves: bool = False


class _Head(msgspec.Struct):
    """The fields that a discovery file of any version has."""

    format: int
    version: str = ""
    api_version: int | None = None


class _Process(msgspec.Struct):
    pid: int


def discovery_file(runtime: Path) -> Path:
    """Return the path of the discovery file in a profile's runtime folder."""
    return runtime / DISCOVERY_FILE


def read(runtime: Path, *, restart_command: str = RESTART_COMMAND) -> Discovery | None:
    """
    Return the discovery file's content, or None if there is no file.

    Args:
        runtime: The profile's runtime folder.
        restart_command: Command to recommend to the user if the daemon is too old.

    Raises:
        DiscoveryRefused: If another user could have written the file, or it cannot be read.
        VersionMismatch: If the daemon that wrote it speaks another version of the protocol.
    """
    return _read(discovery_file(runtime), Discovery, restart_command)


def read_address(runtime: Path, *, restart_command: str = RESTART_COMMAND) -> Address | None:
    """
    Return the daemon's address, or None if there is no discovery file. Raises as ``read``.

    Args:
        runtime: The profile's runtime folder.
        restart_command: As for ``read``.
    """
    found = _read(discovery_file(runtime), Address, restart_command)
    if found is not None:
        require_same_network(found, runtime)
    return found


def require_same_network(found: Discovery | Address, runtime: Path) -> None:
    """
    Check that a running daemon's address leads to it, and not to a program on this machine that has the same port.

    Raises:
        DiscoveryRefused: If it runs on another machine or in a container that shares the folder.
    """
    if found.network and found.network != network_stack():
        message = (
            f"The daemon that announced itself in {runtime} runs on another machine or in a container that shares this"
            " folder. It cannot be reached from here. To run a helper here as well, set UPSTASH_HELPER_HOME to another"
            " folder."
        )
        raise DiscoveryRefused(message)


def read_pid(runtime: Path) -> int | None:
    """Return the daemon's process ID from the discovery file, whatever its version; None if there is none."""
    try:
        content = private_files.read(discovery_file(runtime), limit=_MAX_BYTES)
        return None if content is None else msgspec.json.decode(content, type=_Process).pid
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None


def write(runtime: Path, discovery: Discovery) -> None:
    """
    Write the discovery file. A reader sees either the whole file or none, and other users cannot read it.

    A full disk must not keep the daemon from being restarted, so a file of the same size is kept for that case.

    Raises:
        OSError: If the file cannot be written.
    """
    private_files.make_folder(runtime)
    content, reserve = msgspec.json.encode(discovery), runtime / RESERVE_FILE
    try:
        private_files.write(discovery_file(runtime), content)
    except OSError as error:
        if not disk_errors.is_full(error) or not reserve.exists():
            raise
        open_files.remove(reserve)
        private_files.write(discovery_file(runtime), content)
    with contextlib.suppress(OSError):
        if not reserve.exists():
            private_files.create(reserve, bytes(_RESERVED_BYTES))


def write_all(runtimes: Iterable[Path], discovery: Discovery) -> None:
    """
    Write the discovery file to each of the runtime folders.

    Raises:
        OSError: If it can be written to none of them.
    """
    failures: list[OSError] = []
    written = 0
    for runtime in runtimes:
        try:
            write(runtime, discovery)
            written += 1
        except OSError as error:
            failures.append(error)
    if not written:
        raise failures[0]


def remove(runtime: Path) -> None:
    """Remove the discovery file if it exists. Its space remains reserved if there was none for the file of zeros."""
    file, reserve = discovery_file(runtime), runtime / RESERVE_FILE
    if reserve.exists():
        open_files.remove(file)
        return
    try:
        size = file.lstat().st_size
        open_files.replace(file, reserve)
    except FileNotFoundError:
        return
    try:
        with open(reserve, "r+b", opener=private_files.opener) as stream:  # in place, which needs no space
            stream.write(bytes(size))
    except OSError:
        open_files.remove(reserve)


def remove_stale(runtime: Path) -> None:
    """
    Remove the files that a killed daemon left behind. Does nothing while a daemon is running.

    A daemon does the same when it starts, but between its lock and that, a client could take them for its own.
    """
    with contextlib.suppress(AlreadyHeld, OSError), InstanceLock(runtime, timeout=0.0):
        remove(runtime)
        remove_waiting(runtime)


def is_running(runtime: Path) -> bool:
    """Return whether a daemon of the profile with this runtime folder is alive, even if it does not answer."""
    try:
        if not (runtime / LOCK_FILE).exists():
            return False
        with InstanceLock(runtime, timeout=0.0):
            return False
    except AlreadyHeld:
        return True
    except OSError:
        return False


def _read(path: Path, kind: type[_Record], restart_command: str) -> _Record | None:
    try:
        content = private_files.read(path, limit=_MAX_BYTES)
    except private_files.NotPrivate as error:
        message = (
            f"{path} {error.reason}. Another user could impersonate the daemon with this file. Restart the daemon to"
            " replace it."
        )
        raise DiscoveryRefused(message) from error
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}."
        raise DiscoveryRefused(message) from error
    if content is None:
        return None
    if not content.strip():
        message = (
            f"{path} is empty: the disk was full, or the machine lost power, when it was written. Free some space if"
            f" the disk is full, then write it again with: {restart_command}"
        )
        raise DiscoveryRefused(message)

    try:
        head = msgspec.json.decode(content, type=_Head)
        _check_version(head, restart_command)
        return _require_address(msgspec.json.decode(content, type=kind))
    except (msgspec.MsgspecError, NotLoopback) as error:
        message = f"{path} is damaged, or another program wrote it. The daemon writes it again with: {restart_command}"
        raise DiscoveryRefused(message) from error


def _require_address(found: _Record) -> _Record:
    if isinstance(found, Discovery | Address):
        loopback_address(found.base_url)
    return found


def loopback_address(base_url: str) -> tuple[str, int]:
    """
    Return the host and the port of a daemon's address, such as ``http://127.0.0.1:3000``.

    Raises:
        NotLoopback: If it is not the address of a server on this machine.
    """
    try:
        parts = urlsplit(base_url)
        port = parts.port
    except ValueError:
        raise NotLoopback(base_url) from None
    is_plain = parts.scheme == "http" and parts.path in {"", "/"} and "@" not in parts.netloc
    if not is_plain or parts.hostname not in LOOPBACK_HOSTS:
        raise NotLoopback(base_url)
    return parts.hostname, port or 80


def _check_version(head: _Head, restart_command: str) -> None:
    protocol = API_VERSION if head.api_version is None else head.api_version
    theirs, ours = (head.format, protocol), (FORMAT, API_VERSION)
    if theirs != ours:
        raise VersionMismatch(
            ours=PeerVersion(__version__, API_VERSION),
            daemon=PeerVersion(head.version, head.api_version),
            daemon_is_older=theirs < ours,
            restart_command=restart_command,
        )


# --- the waiting file -------------------------------------------------------------------------------------------------


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that was started and waits for something, such as its port, before it serves."""

    pid: int
    reason: str
    """Complete sentences for the user."""
    format: int = FORMAT


def write_waiting(runtime: Path, waiting: Waiting) -> None:
    """
    Record in the profile's runtime folder that the daemon is waiting.

    Raises:
        OSError: If the file cannot be written.
    """
    private_files.make_folder(runtime)
    private_files.write(runtime / WAITING_FILE, msgspec.json.encode(waiting))


def remove_waiting(runtime: Path) -> None:
    """Remove the waiting file if it exists."""
    open_files.remove(runtime / WAITING_FILE)


def read_waiting(runtime: Path) -> Waiting | None:
    """Return the waiting daemon; None if no daemon is waiting, or the file cannot be read or trusted."""
    try:
        content = private_files.read(runtime / WAITING_FILE, limit=_MAX_BYTES)
        if content is None:
            return None
        waiting = msgspec.json.decode(content, type=Waiting)
    except (OSError, private_files.NotPrivate, msgspec.MsgspecError):
        return None
    # A daemon that is killed while it waits leaves the file behind.
    return waiting if is_running(runtime) else None


def waiting_reason(runtime: Path) -> str | None:
    """Return why the daemon is waiting, or None if it is not."""
    waiting = read_waiting(runtime)
    return None if waiting is None else waiting.reason
