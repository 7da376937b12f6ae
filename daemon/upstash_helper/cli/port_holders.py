"""
Who listens on an address of this machine.

The system is asked, and nobody is connected to where that can be avoided: a connection would start what a service
manager starts on demand.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from upstash_helper.cli.facts import own_uid

if TYPE_CHECKING:
    import psutil

CONNECT_SECONDS: Final = 1.0
FAMILIES: Final = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))
_ALL: Final = {"127.0.0.1": "0.0.0.0", "::1": "::"}  # noqa: S104 - compared, not bound


class Held(NamedTuple):
    """How an address is."""

    state: Literal["free", "absent", "taken", "on-demand"]
    """``absent``: the machine has none such. ``on-demand``: the user's systemd has it, and starts what is behind it."""
    holder: str = ""


def look(host: str, port: int) -> Held:
    """Return how an address of the loopback interface is."""
    if not _exists(host):
        return Held("absent")
    listening = _listening(port)
    if listening is None:
        # macOS tells such things to root alone.
        return Held("taken", "another program") if _answers(host, port) else Held("free")
    # The exact address is a better match than one that stands for all.
    wanted = [pid for address in (host, _ALL[host]) for ip, pid in listening if ip == address]
    if not wanted and any(ip == "::" for ip, _ in listening) and _answers(host, port):
        wanted = [pid for ip, pid in listening if ip == "::"]  # which may stand for IPv4 as well
    return _held(wanted[0]) if wanted else Held("free")


def address(host: str, port: int) -> str:
    """Return an address as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _held(pid: int | None) -> Held:
    import psutil

    if pid is None:
        return Held("taken", "another user's program")
    try:
        process = psutil.Process(pid)
        holder = f"{process.name()} (process {pid})"
        return Held("on-demand" if _is_own_systemd(process) else "taken", holder)
    except psutil.Error:
        return Held("taken", f"process {pid}")


def _is_own_systemd(process: psutil.Process) -> bool:
    if sys.platform == "win32":
        return False
    # That of the whole system, process 1, has sockets for others.
    return process.name() == "systemd" and process.pid != 1 and process.uids().real == own_uid()


def _listening(port: int) -> list[tuple[str, int | None]] | None:
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


def _exists(host: str) -> bool:
    family = dict(FAMILIES)[host]
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
