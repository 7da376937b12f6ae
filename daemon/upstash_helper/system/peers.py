"""
Who is at the other end of a loopback connection, as the operating system tells it.

Any user of the machine can connect to a loopback port. What was run where: all of it on Linux, where the kernel names
the user in some microseconds. On macOS and Windows no call does that at the price of a request, so there the user is
unknown, and the program of a pairing is found by psutil, which has not been run there.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import Identity
from upstash_helper.system import socket_owners
from upstash_helper.system.socket_owners import Address

if TYPE_CHECKING:
    import psutil

Lookup = Callable[[Address, Address], int | None]
"""From the client's end and the server's to a user id, or None if there is nobody; raises OSError if it cannot tell."""

LOOKUPS: Final[tuple[Lookup, ...]] = (
    (socket_owners.by_netlink, socket_owners.by_proc) if sys.platform == "linux" else ()
)

# Root can read the helper's memory and files anyway, so nothing is won by turning it away, and something is lost: what
# a browser on Windows asks of WSL 2 is passed on by a process of root's.
_ROOT: Final = 0

# The longest path that Linux takes has 4096 bytes. Both ends of one say more than its beginning.
_LONGEST: Final = 1024
_HALF: Final = _LONGEST // 2


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A running program."""

    pid: int
    executable: str
    """Its file, in printable characters; empty if the system does not tell."""


def uid_of(local: Address, remote: Address, *, lookups: tuple[Lookup, ...] = LOOKUPS) -> int | None:
    """
    Return the id of the user whose program is at the other end of a connection; None if that is not told. Never raises.

    Args:
        local: Our end.
        remote: The client's end.
        lookups: Are asked in turn, until one can tell.
    """
    for lookup in lookups:
        try:
            return lookup(remote, local)
        except (OSError, ValueError):
            continue
    return None


def process_of(local: Address, remote: Address) -> Program | None:
    """
    Return the program at the other end of a connection; None if that is not told. Takes some 10 ms, and more where the
    system tells it only of one process after the other.
    """
    import psutil

    ends = (_plain(remote), _plain(local))
    try:
        for pid, ours, theirs in _connections():
            if pid is not None and (_plain(ours), _plain(theirs)) == ends:
                return Program(pid=pid, executable=_executable(pid))
    except (psutil.Error, OSError):
        pass
    return None


class SystemPeers:
    """The ``Peers`` port."""

    def __init__(self, *, lookups: tuple[Lookup, ...] = LOOKUPS) -> None:
        """
        Args:
            lookups: As for ``uid_of``.
        """
        self._lookups = lookups
        self._known: Final = _known_users()

    def is_other_user(self, local: Address, remote: Address) -> bool:
        """Return True if another user than ours, or root, is at the other end for sure. Takes some microseconds."""
        uid = uid_of(local, remote, lookups=self._lookups)
        return uid is not None and uid not in self._known

    async def program(self, local: Address, remote: Address) -> Identity:
        """Return the program at the other end."""
        found = await asyncio.to_thread(process_of, local, remote)
        if found is None:
            return Identity(kind="native", name="")
        return Identity(kind="native", name=found.executable, pid=found.pid)


def _known_users() -> frozenset[int]:
    """Return whose programs are let in: root's and this user's."""
    if sys.platform == "win32":
        return frozenset()  # users have no such numbers there
    return frozenset({_ROOT, os.geteuid()})


def _connections() -> Iterator[tuple[int | None, Address, Address]]:
    """Yield process and both ends of each TCP connection."""
    import psutil

    try:
        for one in psutil.net_connections("tcp"):
            if one.laddr and one.raddr:
                yield one.pid, one.laddr, one.raddr
    except psutil.AccessDenied:  # macOS tells all of them to root alone, and to each user their own
        for process in psutil.process_iter():
            yield from of_process(process)


def of_process(process: psutil.Process) -> Iterator[tuple[int, Address, Address]]:
    """Yield the TCP connections of one process; none if they are another user's."""
    import psutil

    try:
        for one in process.net_connections("tcp"):
            if one.raddr:
                yield process.pid, one.laddr, one.raddr
    except psutil.Error:
        return


def _plain(address: Address) -> Address:
    """Return an address without the mark of a socket that is for both families."""
    return (address[0].removeprefix("::ffff:"), address[1])


def _executable(pid: int) -> str:
    import psutil

    try:
        path = psutil.Process(pid).exe()
    except psutil.Error:
        return ""
    path = "".join(character for character in path if character.isprintable())
    return path if len(path) <= _LONGEST else f"{path[: _HALF - 1]}…{path[-_HALF:]}"
