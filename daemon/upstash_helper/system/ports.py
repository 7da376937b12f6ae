"""Which program listens on a port of this machine, as far as the operating system reports it."""

from __future__ import annotations

import os
import sys
from typing import Final

from upstash_helper.system.printable import printable

UNNAMED: Final = "an unknown program"
HIDDEN: Final = "a program of yours that others may not inspect, such as another upstash-helper"

ANY: Final = {"127.0.0.1": "0.0.0.0", "::1": "::"}  # noqa: S104 - compared, not bound
"""From a loopback address to the wildcard address of its family."""

_MAX_NAME: Final = 60


def holder(host: str, port: int) -> str:
    """
    Describe the program that listens at an address: its name, and its user if that is another one.

    This takes a few milliseconds, and longer where another user's process has to be looked up.
    """
    wanted = {host, *ANY.values()}
    candidates = [(ip, pid) for ip, pid in listeners(port) or () if ip in wanted]
    if not candidates:
        return UNNAMED
    # The exact address is a better match than a wildcard.
    address, pid = min(candidates, key=lambda candidate: candidate[0] != host)
    return describe_owner(address, port) if pid is None else describe_process(pid)


def listeners(port: int) -> list[tuple[str, int | None]] | None:
    """
    Return the addresses with a listener on ``port``, each with its process id where it is known.

    Returns:
        None if the system does not list them: macOS does so for root only.
    """
    import psutil

    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return None
    return [
        (connection.laddr.ip, connection.pid)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
    ]


def describe_owner(host: str, port: int) -> str:
    """Describe a listener by its user, where the system does not reveal its process."""
    from upstash_helper.system import socket_owners

    try:
        uid = socket_owners.listening((host, port))
    except (OSError, ValueError):
        uid = None
    if uid is None or sys.platform == "win32":
        return "another user's program"
    # A user's own processes can be hidden too: those that hold keys, such as ssh-agent and this daemon.
    return HIDDEN if uid == os.geteuid() else f"another user's program (user {_safe(user_name(uid))})"


def describe_process(pid: int) -> str:
    """Describe a process by its name, and its user if that is another one."""
    import psutil

    try:
        process = psutil.Process(pid)
        name = process.name()
    except psutil.Error:
        return f"process {pid}"
    try:
        user = process.username()
        suffix = "" if user == psutil.Process().username() else f" of user {_safe(user)}"
    except psutil.Error:
        suffix = ""
    return f"{_safe(name)} (process {pid}{suffix})"


def user_name(uid: int) -> str:
    """Return the user's name, or the id if there is none."""
    if sys.platform == "win32":
        return str(uid)
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _safe(name: str) -> str:
    return printable(name)[:_MAX_NAME]
