"""Which program listens on a port of this machine, as far as the system tells."""

from __future__ import annotations

import os
import sys
from typing import Final

UNNAMED: Final = "a program that the system does not name"

ANY: Final = {"127.0.0.1": "0.0.0.0", "::1": "::"}  # noqa: S104 - compared, not bound
"""The address that stands for all of its family, by the one of the loopback interface."""


def holder(host: str, port: int) -> str:
    """
    Return who listens on an address, in words: the program, and the user if it is another one. Takes some milliseconds,
    and more where the system is secretive.
    """
    wanted = {host, *ANY.values()}
    suspects = [(ip, pid) for ip, pid in listeners(port) or () if ip in wanted]
    if not suspects:
        return UNNAMED
    # The exact address is a better match than one that stands for all.
    address, pid = min(suspects, key=lambda suspect: suspect[0] != host)
    return describe_owner(address, port) if pid is None else describe_process(pid)


def listeners(port: int) -> list[tuple[str, int | None]] | None:
    """
    Return the addresses on which somebody listens, with the processes where the system names them.

    Returns:
        None where it does not tell at all: macOS tells such things to root alone.
    """
    import psutil

    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    return [
        (one.laddr.ip, one.pid)
        for one in found
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
    ]


def describe_owner(host: str, port: int) -> str:
    """Return whose program listens, in words, where the system hides which one it is."""
    from upstash_helper.system import socket_owners

    try:
        uid = socket_owners.listening((host, port))
    except (OSError, ValueError):
        uid = None
    if uid is None or sys.platform == "win32":
        return "another user's program"
    # A user's own program may hide as well, such as one that holds keys.
    return UNNAMED if uid == os.geteuid() else f"another user's program (user {_shown(user_name(uid))})"


def describe_process(pid: int) -> str:
    """Return what a process is called, in words, and whose it is if it is another user's."""
    import psutil

    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return f"process {pid}"
    try:
        user = process.username()
        whose = "" if user == psutil.Process().username() else f" of user {_shown(user)}"
    except psutil.Error:
        whose = ""
    return f"{_shown(name)} (process {pid}{whose})"


def user_name(uid: int) -> str:
    """Return what the user is called, or the id where it has no name."""
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _shown(name: str) -> str:
    """Return a name that somebody else chose."""
    return "".join(character for character in name if character.isprintable())[:60]
