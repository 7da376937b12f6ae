"""What a database needs of the server behind it."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import msgspec

from upstash_helper.sandbox.redis.resp import Connection

Role = Literal["default", "default_ro"]
"""The ACL users of a database: everything, and reading only. Upstash calls them so, too."""

Capability = Literal["snapshots", "eviction", "memory-limit", "persistence"]

# Below the range from which systems take the ports of outgoing connections, so that a database keeps its port.
PORTS = range(20_000, 32_000)


class Passwords(msgspec.Struct, frozen=True):
    """What lets the two users in."""

    default: str
    read_only: str

    def __repr__(self) -> str:
        return "Passwords(…)"


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How a database's server is to be."""

    host: str
    port: int
    """The public TCP port."""
    passwords: Passwords
    memory_limit: int
    """Bytes."""
    eviction: bool
    """Whether keys are evicted when memory is full; else writes are refused."""
    tls: bool
    """Whether the public port takes TLS connections only."""


class DatabaseServer(Protocol):
    """One running server, for one database. Every method may raise ``ServerFailed``."""

    kind: ClassVar[Literal["valkey", "fakeredis"]]
    capabilities: ClassVar[frozenset[Capability]]

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""

    async def start(self, setup: Setup) -> None:
        """
        Start serving what the folder holds; return once clients can connect.

        Raises:
            PortTaken: If another program holds the port.
        """

    async def stop(self) -> None:
        """Save and stop."""

    async def kill(self) -> None:
        """Stop without saving: the data is going away."""

    async def connect(self, role: Role) -> Connection:
        """Return a fresh connection as one of the users."""

    async def set_passwords(self, passwords: Passwords) -> None:
        """Replace the passwords and drop whoever is connected."""

    async def set_eviction(self, *, enabled: bool) -> None:
        """Evict keys when memory is full, or refuse writes."""

    async def set_memory_limit(self, limit: int) -> None:
        """Set how many bytes the data may take."""

    async def require_tls(self) -> None:
        """Take only TLS connections on the public port from now on."""

    async def snapshot(self, target: Path) -> None:
        """Write all data to ``target``."""

    async def restore(self, source: Path) -> None:
        """Replace all data with what ``snapshot`` wrote. Clients are disconnected."""

    async def info(self) -> dict[str, str]:
        """Return what the server says about itself, as ``INFO`` names it."""

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """Return the names of the commands that only read, or that write."""


def free_ports(host: str, *, avoid: frozenset[int] = frozenset()) -> Iterator[int]:
    """Yield ports that nothing listens on, from a random one on, so that sandboxes side by side rarely meet."""
    first = random.randrange(len(PORTS))  # noqa: S311 - no secret
    for port in (*PORTS[first:], *PORTS[:first]):
        if port not in avoid and is_free(host, port):
            yield port


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            # Else connections of a server that has just stopped would count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
