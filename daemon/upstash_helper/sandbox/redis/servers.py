"""The port for database servers (``DatabaseServer``), and the TCP ports that they listen on."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import msgspec

from upstash_helper.sandbox.redis.dialect.translation import Dialect
from upstash_helper.sandbox.redis.monitor import Monitors
from upstash_helper.sandbox.redis.resp import Connection, Reply

Role = Literal["default", "default_ro"]
"""The ACL users of a database: full access and read-only access. The names are Upstash's."""

Capability = Literal["snapshots", "eviction", "memory-limit", "persistence"]

NO_ADDRESS = b"0.0.0.0:0"
"""For a client whose address is not known."""

# Below the ephemeral port range, so that outgoing connections do not take a database's port while it is stopped.
PORTS = range(20_000, 32_000)


class Passwords(msgspec.Struct, frozen=True):
    """The passwords of the two users."""

    default: str
    read_only: str

    def __repr__(self) -> str:
        return "Passwords(…)"


class User(msgspec.Struct, frozen=True):
    """A user of one database, with the password that the server knows."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"User({self.name}, …)"


class ServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of a database's server."""

    host: str
    port: int
    """The public TCP port."""
    passwords: Passwords
    memory_limit: int
    """In bytes."""
    eviction: bool
    """Whether keys are evicted when memory is full. Otherwise writes are rejected."""
    tls: bool
    """Whether the public port accepts only TLS connections."""


class DatabaseServer(Protocol):
    """The server of one database. Every method may raise ``ServerError``."""

    kind: ClassVar[Literal["valkey", "fakeredis"]]
    capabilities: ClassVar[frozenset[Capability]]

    dialect: Dialect
    """For the translation of commands."""
    monitors: Monitors
    """Those who see each command."""

    @property
    def listening(self) -> bool:
        """Whether clients can connect to the public port."""

    @property
    def running(self) -> bool:
        """Whether the server has been started and has not exited."""

    async def listen(self, config: ServerConfig) -> None:
        """
        Listen on the public port. The server starts with the first use.

        Raises:
            PortInUse: If another program uses the port.
        """

    async def start(self, config: ServerConfig) -> None:
        """
        Listen on the public port, and start the server with the data from the database's folder.

        Raises:
            PortInUse: If another program uses the port.
        """

    async def ensure_running(self) -> None:
        """Start the server if it is not running. Callers at the same time share one start."""

    async def stop(self) -> None:
        """Save the data and stop."""

    async def kill(self) -> None:
        """Stop without saving, for a database that is deleted or has failed to start."""

    async def connect(self, role: Role) -> Connection:
        """Return a new connection, authenticated as one of the users."""

    async def connect_as(self, user: User) -> Connection:
        """Return a new connection, authenticated as any user."""

    async def run(self, user: Role | User, commands: list[list[bytes]], source: bytes = NO_ADDRESS) -> list[Reply]:
        """
        Run commands as clients send them, and return their replies in order.

        They must leave the connection as it was. A transaction (MULTI to EXEC) must begin with the first and end with
        the last command.

        Args:
            user: The user that runs them.
            commands: The commands.
            source: The client's address and port, for MONITOR.
        """

    async def may_monitor(self, user: bytes) -> bool:
        """Return whether a user may use MONITOR."""

    async def set_passwords(self, passwords: Passwords) -> None:
        """Replace the passwords and disconnect all clients."""

    async def set_eviction(self, *, enabled: bool) -> None:
        """Evict keys when memory is full, or reject writes."""

    async def set_memory_limit(self, limit: int) -> None:
        """Set the maximum size of the data, in bytes."""

    async def require_tls(self) -> None:
        """Accept only TLS connections on the public port from now on."""

    async def snapshot(self, target: Path) -> None:
        """Write all data to ``target``."""

    async def restore(self, source: Path) -> None:
        """Replace all data with a snapshot's. Clients are disconnected."""

    async def info(self) -> dict[str, str]:
        """Return the fields of ``INFO``."""

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """Return the names of the commands in an ACL category, in lower case."""


def ports_to_try(host: str, preferred: int | None, *, avoid: frozenset[int] = frozenset()) -> Iterator[int]:
    """Yield the preferred port if there is one, and then free ones. A port is probed only when it is asked for."""
    if preferred:
        yield preferred
    yield from free_ports(host, avoid=avoid)


def free_ports(host: str, *, avoid: frozenset[int] = frozenset()) -> Iterator[int]:
    """Yield free ports, starting at a random one so that two sandboxes rarely try the same port at once."""
    first = random.randrange(len(PORTS))  # noqa: S311 - no secret
    for port in (*PORTS[first:], *PORTS[:first]):
        if port not in avoid and is_free(host, port):
            yield port


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on the port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if sys.platform != "win32":
            # Otherwise connections in TIME_WAIT of a server that has just stopped would count as in use.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
