"""
The state of a loopback address: free, or who listens on it.

This asks the system, and connects only if that does not answer: a connection would start a socket-activated service.
"""

from __future__ import annotations

import socket
import sys
from typing import Final, Literal, NamedTuple

from upstash_helper.cli.doctor.context import own_uid
from upstash_helper.settings.announced import daemon_on
from upstash_helper.system import ports

CONNECT_SECONDS: Final = 1.0
FAMILIES: Final = (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6))


class AddressState(NamedTuple):
    """The state of an address."""

    state: Literal["free", "absent", "taken", "on-demand"]
    """``absent``: this machine has no such address. ``on-demand``: the user's systemd listens for a service."""
    holder: str = ""


def state_of(host: str, port: int) -> AddressState:
    """Return the state of a loopback address."""
    if not _exists(host):
        return AddressState("absent")
    listening = ports.listeners(port)
    if listening is None:
        if not _answers(host, port):
            return AddressState("free")
        holder = ports.holder(host, port, announced=daemon_on)
        return AddressState("taken", "another program" if holder == ports.UNNAMED else holder)
    # The exact address takes precedence over the wildcard address.
    wanted = [one for own in (host, ports.ANY[host]) for one in listening if one[0] == own]
    if not wanted and any(ip == "::" for ip, _ in listening) and _answers(host, port):
        wanted = [one for one in listening if one[0] == "::"]  # which may accept IPv4 connections as well
    if not wanted:
        return AddressState("free")
    ip, pid = wanted[0]
    if pid is None:
        return AddressState("taken", ports.describe_owner(ip, port, announced=daemon_on))
    return AddressState("on-demand" if _is_own_systemd(pid) else "taken", ports.describe_process(pid))


def address(host: str, port: int) -> str:
    """Return an address as in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_own_systemd(pid: int) -> bool:
    import psutil

    if sys.platform == "win32":
        return False
    try:
        process = psutil.Process(pid)
        # Process 1 is the system's, which listens for other services.
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
