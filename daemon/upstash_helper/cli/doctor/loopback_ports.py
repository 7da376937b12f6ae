"""
How an address of the loopback interface is: free, or who has it.

The system is asked, and nobody is connected to where that can be avoided: a connection would start what a service
manager starts on demand.
"""

from __future__ import annotations

import socket
import sys
from typing import Final, Literal, NamedTuple

from upstash_helper.cli.doctor.context import own_uid
from upstash_helper.system import ports

CONNECT_SECONDS: Final = 1.0
FAMILIES: Final = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))


class Held(NamedTuple):
    """How an address is."""

    state: Literal["free", "absent", "taken", "on-demand"]
    """``absent``: the machine has none such. ``on-demand``: the user's systemd has it, and starts what is behind it."""
    holder: str = ""


def look(host: str, port: int) -> Held:
    """Return how an address of the loopback interface is."""
    if not _exists(host):
        return Held("absent")
    listening = ports.listeners(port)
    if listening is None:
        return Held("taken", "another program") if _answers(host, port) else Held("free")
    # The exact address is a better match than one that stands for all.
    wanted = [one for own in (host, ports.ANY[host]) for one in listening if one[0] == own]
    if not wanted and any(ip == "::" for ip, _ in listening) and _answers(host, port):
        wanted = [one for one in listening if one[0] == "::"]  # which may stand for IPv4 as well
    if not wanted:
        return Held("free")
    ip, pid = wanted[0]
    if pid is None:
        return Held("taken", ports.describe_owner(ip, port))
    return Held("on-demand" if _is_own_systemd(pid) else "taken", ports.describe_process(pid))


def address(host: str, port: int) -> str:
    """Return an address as URLs have it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_own_systemd(pid: int) -> bool:
    import psutil

    if sys.platform == "win32":
        return False
    try:
        process = psutil.Process(pid)
        # That of the whole system, process 1, has sockets for others.
        return process.name() == "systemd" and pid != 1 and process.uids().real == own_uid()
    except psutil.Error:
        return False


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
