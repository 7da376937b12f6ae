"""
The process and user at the other end of a loopback connection.

Any user of the machine can connect to a loopback port. On Linux the kernel returns the user within microseconds. macOS
and Windows have no call that is fast enough for every request, so the user is unknown there; the program that requests
access is looked up with psutil, which has not been tested on these systems.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.system import proc_programs, socket_owners
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, Worker
from upstash_helper.system.ports import known_process
from upstash_helper.system.printable import printable_path
from upstash_helper.system.proc_programs import Holder
from upstash_helper.system.socket_owners import Address

if TYPE_CHECKING:
    import psutil

Lookup = Callable[[Address, Address], int | None]
"""Takes the client's and the server's address. Returns a user id, or None for no owner; OSError if it is unknown."""

LOOKUPS: Final[tuple[Lookup, ...]] = (
    (socket_owners.by_netlink, socket_owners.by_proc) if sys.platform == "linux" else ()
)

_HAS_PROC: Final[bool] = sys.platform == "linux"

# Root can read the daemon's memory and files anyway, so refusing it gains nothing. And it would break WSL 2, where a
# process of root relays the requests of browsers on Windows.
_ROOT: Final = 0

# Linux allows paths of 4096 bytes. The two ends of a long path identify it better than its beginning.
_MAX_PATH: Final = 1024
_HALF: Final = _MAX_PATH // 2


ProgramWarning = Literal["sandboxed", "deleted", "replaced", "unprintable", "shared", "unsearched", "unknown_starter"]
"""
What makes the path of a program doubtful; see also ``proc_programs.FileWarning``. ``unprintable``: it has characters
that cannot be seen, or is too long. ``shared``: several processes hold the connection. ``unsearched``: others may, too.
``unknown_starter``: it runs on behalf of another program, which is unknown.
"""

MAX_SECONDS: Final = 0.5
"""Processor time for the search for the processes that hold a connection. It usually takes some hundredths of one."""
MAX_OTHERS: Final = 4
"""How many other processes that hold the same connection are reported."""

# Warnings that are about the connection, and not about the program's file.
_OF_CONNECTION: Final = ("shared", "unsearched")

# Threads that look up programs. Each can be stuck for as long as a file system does not answer.
_WORKERS: Final = 16
_DEADLINE: Final = 5.0


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A running program."""

    pid: int
    executable: str
    """Its file, with unprintable characters escaped; empty if the system does not report it."""
    warnings: tuple[ProgramWarning, ...] = ()
    """Why the file at that path may not be the program."""
    others: tuple[Program, ...] = ()
    """Other processes that hold the same connection, at most ``MAX_OTHERS``."""
    sender: str = ""
    """The executable of the process that holds the connection, if this is the program that started it."""
    sender_pid: int | None = None
    """The ID of that process."""


def peer_uid(local: Address, remote: Address, *, lookups: tuple[Lookup, ...] = LOOKUPS) -> int | None:
    """
    Return the id of the user at the other end of a connection, or None if it is unknown. Never raises.

    Args:
        local: Our address.
        remote: The client's address.
        lookups: Tried in order, until one succeeds.
    """
    for lookup in lookups:
        try:
            return lookup(remote, local)
        except (OSError, ValueError):
            continue
    return None


def peer_program(local: Address, remote: Address, *, seconds: float = MAX_SECONDS) -> Program | None:
    """
    Return the program at the other end of a connection, or None if it is unknown.

    A connection can be held by several processes: it is inherited by child processes, and can be sent to others
    (``SCM_RIGHTS`` in unix(7)). The oldest of them is returned, with the others. A process that has passed its
    connection on and no longer holds it is unknown to the system.

    This takes about 20 ms, and longer on macOS, where each process has to be asked.

    Args:
        local: Our address.
        remote: The client's address.
        seconds: Processor time that the search may take.
    """
    holders, complete = _holders(local, remote, seconds)
    found = [it for it in map(_program, holders[: MAX_OTHERS + 1]) if it is not None]
    if not found:
        return None
    first, *others = found
    warnings = [*first.warnings]
    if others:
        warnings.append("shared")
    if not complete or len(holders) > MAX_OTHERS + 1:
        warnings.append("unsearched")
    return msgspec.structs.replace(first, warnings=tuple(warnings), others=tuple(others))


def starter(program: Program) -> Program:
    """Return the program that started ``program``, which is at the other end of a connection; see ``starters``."""
    from upstash_helper.system import starters  # not needed by most daemons

    found = starters.starter_of(program.pid)
    if found is not None and found.pid == program.pid:
        return program
    started_by = None if found is None else _program(Holder(found.pid, found.pid))
    if started_by is None or not started_by.executable:
        return msgspec.structs.replace(program, warnings=(*program.warnings, "unknown_starter"))
    doubts = tuple(it for it in program.warnings if it in _OF_CONNECTION)
    return msgspec.structs.replace(
        started_by,
        warnings=(*started_by.warnings, *doubts),
        others=program.others,
        sender=program.executable,
        sender_pid=program.pid,
    )


class SystemPeers:
    """The ``Peers`` port."""

    def __init__(self, *, lookups: tuple[Lookup, ...] = LOOKUPS) -> None:
        """
        Args:
            lookups: As for ``peer_uid``.
        """
        self._lookups = lookups
        self._allowed: Final = _allowed_users()
        self._identifies: bool | None = None
        self._workers: Final = deque(Worker("program-lookup") for _ in range(_WORKERS))

    def is_other_user(self, local: Address, remote: Address) -> bool:
        """Return True only if the peer certainly is a user other than this one or root. Takes microseconds."""
        uid = peer_uid(local, remote, lookups=self._lookups)
        return uid is not None and uid not in self._allowed

    def is_this_user(self, local: Address, remote: Address) -> bool:
        """Return True only if the peer certainly is this user or root. Takes microseconds."""
        return peer_uid(local, remote, lookups=self._lookups) in self._allowed

    def identifies_users(self) -> bool:
        """Return whether the system reports the user of a connection of our own. Sandboxes may prevent that."""
        if self._identifies is None:
            try:
                self._identifies = self._finds_itself()
            except OSError:
                return False  # not forever: it may have been for lack of descriptors
        return self._identifies

    def _finds_itself(self) -> bool:
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = server.getsockname()[:2]
            with socket.create_connection(address, timeout=_DEADLINE) as client:
                return self.is_this_user(address, client.getsockname()[:2])

    def is_running(self, pid: int) -> bool:
        """Return whether a process is running. Takes microseconds on Linux, elsewhere about a millisecond."""
        return proc_programs.is_running(pid) if _HAS_PROC else is_running_by_psutil(pid)

    async def program(self, local: Address, remote: Address) -> Program | None:
        """
        Return the program at the other end, or None if it is unknown. A program whose file is on a file system that
        does not answer, such as one on a network, is unknown, and does not keep others from being found.
        """
        return await self._look_up(lambda: peer_program(local, remote))

    async def starter(self, local: Address, remote: Address) -> Program | None:
        """Return the program that started the one at the other end; see ``starter`` in this module."""

        def look_up() -> Program | None:
            program = peer_program(local, remote)
            return None if program is None else starter(program)

        return await self._look_up(look_up)

    async def _look_up(self, job: Callable[[], Program | None]) -> Program | None:
        for _ in range(_WORKERS):
            self._workers.rotate()
            started = False

            def look_up(_: Call) -> Program | None:
                nonlocal started
                started = True
                return job()

            try:
                return await self._workers[0].run(look_up, deadline=_DEADLINE)
            except Busy:
                continue
            except DeadlineExceeded:
                if started:
                    break
        return None


def _allowed_users() -> frozenset[int]:
    if sys.platform == "win32":
        return frozenset()  # Windows has no numeric user ids
    return frozenset({_ROOT, os.geteuid()})


def _holders(local: Address, remote: Address, seconds: float) -> tuple[list[Holder], bool]:
    """Return the processes that hold the remote end, and whether all processes were searched."""
    if not _HAS_PROC:
        return [Holder(pid, pid) for pid in _holders_by_psutil(local, remote)], True
    try:
        inode = socket_owners.inode(remote, local)
    except (OSError, ValueError):
        inode = None
    return ([], True) if inode is None else proc_programs.holders(inode, seconds=seconds)


def _holders_by_psutil(local: Address, remote: Address) -> list[int]:
    import psutil

    ends = (_unmapped(remote), _unmapped(local))
    found: dict[int, None] = {}
    try:
        for pid, process_end, other_end in _connections():
            if pid is not None and (_unmapped(process_end), _unmapped(other_end)) == ends:
                found[pid] = None
    except (psutil.Error, OSError):
        pass
    return list(found)


def _connections() -> Iterator[tuple[int | None, Address, Address]]:
    """Yield the process id and both addresses of each TCP connection."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.raddr:
                yield known_process(connection.pid), connection.laddr, connection.raddr
    except psutil.AccessDenied:  # macOS lists all connections for root only; users can list those of their processes
        for process in psutil.process_iter():
            yield from process_connections(process)


def process_connections(process: psutil.Process) -> Iterator[tuple[int, Address, Address]]:
    """Yield the TCP connections of a process; none if it has ended or belongs to another user."""
    import psutil

    try:
        for connection in process.net_connections("tcp"):
            if connection.raddr:
                yield process.pid, connection.laddr, connection.raddr
    except psutil.Error:
        return


def is_running_by_psutil(pid: int) -> bool:
    """Return whether a process is running. True if it may not be inspected."""
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def _unmapped(address: Address) -> Address:
    """Return an IPv4-mapped IPv6 address as IPv4 (RFC 4291, section 2.5.5.2)."""
    return (address[0].removeprefix("::ffff:"), address[1])


def _program(holder: Holder) -> Program | None:
    """Return the program that a process runs, or None if the process has ended."""
    found: tuple[ProgramWarning, ...] = ()
    path = ""
    try:
        path, found = _file_of(holder)
    except (FileNotFoundError, ProcessLookupError):
        return None
    except OSError:
        pass
    shown = printable_path(path)
    long = len(shown) > _MAX_PATH
    if shown != path or long:
        found = (*found, "unprintable")
    return Program(pid=holder.pid, executable=_shortened(shown) if long else shown, warnings=found)


def _file_of(holder: Holder) -> tuple[str, tuple[ProgramWarning, ...]]:
    if _HAS_PROC:
        return proc_programs.file_of(holder)
    import psutil

    try:
        return psutil.Process(holder.pid).exe(), ()
    except psutil.NoSuchProcess:
        raise ProcessLookupError(holder.pid) from None
    except psutil.Error:
        return "", ()


def _shortened(path: str) -> str:
    # The digest keeps two long paths with the same ends apart.
    digest = hashlib.sha256(path.encode(errors="surrogatepass")).hexdigest()[:16]
    return f"{path[: _HALF - 18]}…{digest}…{path[-_HALF:]}"
