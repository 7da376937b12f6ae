"""
A database on fakeredis, where Valkey has no wheel.

fakeredis asks nobody for a password, so each connection goes through a gate of ours first. Data is in memory, and
written to the folder on stopping. What it does not do: evict keys, limit memory, count what INFO would.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from fakeredis import FakeRedis, FakeRedisConnection
from fakeredis._clients._tcp_server import TCPFakeRequestHandler, TcpFakeServer
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.model._command_info import get_commands_by_category

from upstash_helper.sandbox.errors import PortTaken, ServerFailed
from upstash_helper.sandbox.folder import write_private_bytes
from upstash_helper.sandbox.resp import Connection
from upstash_helper.sandbox.servers import Capability, Passwords, Role, Setup
from upstash_helper.sandbox.tls import TlsFront

POLL_SECONDS = 0.1

# RESTORE unpickles what it is given, which would let a client run code in here.
FORBIDDEN = frozenset(
    {"restore", "migrate", "module", "shutdown", "replicaof", "slaveof", "config", "acl", "debug", "monitor"}
)
ANYBODY = frozenset({"auth", "hello", "quit", "reset"})
NOT_WRITING = frozenset(
    {
        *("auth", "hello", "quit", "reset", "ping", "echo", "select", "command", "time", "script"),
        *("multi", "exec", "discard", "watch", "unwatch", "eval_ro", "evalsha_ro", "fcall_ro"),
        *("subscribe", "psubscribe", "unsubscribe", "punsubscribe"),
    }
)


class FakeredisServer:
    """Runs one fakeredis in threads of this process."""

    kind: ClassVar[Literal["valkey", "fakeredis"]] = "fakeredis"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"snapshots", "persistence"})

    def __init__(self, *, folder: Path, front: TlsFront) -> None:
        """
        Args:
            folder: Where the data is written to.
            front: Takes the TLS connections, if the database is to have TLS.
        """
        self._folder = folder
        self._front = front
        self._server: GatedServer | None = None
        self._thread: threading.Thread | None = None
        self._setup: Setup | None = None

    @property
    def running(self) -> bool:
        """See ``DatabaseServer``."""
        return self._thread is not None and self._thread.is_alive()

    async def start(self, setup: Setup) -> None:
        """See ``DatabaseServer``."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._setup = setup
        self._listen(setup)
        if self._data_file.exists():
            await asyncio.to_thread(_load, self._running_server, self._data_file)
        if setup.tls:
            try:
                await self._front.start(setup.host, setup.port, self._address)
            except PortTaken:
                await self.kill()
                raise

    async def stop(self) -> None:
        """See ``DatabaseServer``."""
        if self._server is not None:
            await self.snapshot(self._data_file)
        await self.kill()

    async def kill(self) -> None:
        """See ``DatabaseServer``."""
        await self._front.stop()
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.end)

    async def connect(self, role: Role) -> Connection:
        """See ``DatabaseServer``."""
        passwords = self._running_server.passwords
        password = passwords.default if role == "default" else passwords.read_only
        return await Connection.open(self._address, user=role, password=password)

    async def set_passwords(self, passwords: Passwords) -> None:
        """See ``DatabaseServer``."""
        self._running_server.passwords = passwords
        await self._front.drop()
        self._running_server.drop_clients()

    async def set_eviction(self, *, enabled: bool) -> None:
        """See ``DatabaseServer``. Nothing is ever evicted."""

    async def set_memory_limit(self, limit: int) -> None:
        """See ``DatabaseServer``. There is no limit."""

    async def require_tls(self) -> None:
        """See ``DatabaseServer``."""
        if self._setup is None:
            raise ServerFailed("the database's server is not running")
        setup = msgspec.structs.replace(self._setup, tls=True)
        await self.stop()
        await self.start(setup)

    async def snapshot(self, target: Path) -> None:
        """See ``DatabaseServer``."""
        await asyncio.to_thread(_save, self._running_server, target)

    async def restore(self, source: Path) -> None:
        """See ``DatabaseServer``."""
        self._running_server.drop_clients()
        await asyncio.to_thread(_load, self._running_server, source)

    async def info(self) -> dict[str, str]:
        """See ``DatabaseServer``. Only what can be known is in it."""
        server = self._running_server
        with FakeRedis(server=server.fake_server) as client:
            keys = await asyncio.to_thread(client.dbsize)
        counted = {f"cmdstat_{name}": f"calls={calls},usec=0" for name, calls in server.calls.items()}
        return {"db0": f"keys={keys}", "connected_clients": str(len(server.clients) + 1), **counted}

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """See ``DatabaseServer``."""
        return _commands_in(category)

    @property
    def _data_file(self) -> Path:
        return self._folder / "dump.msgpack"

    @property
    def _running_server(self) -> GatedServer:
        if self._server is None:
            raise ServerFailed("the database's server is not running")
        return self._server

    @property
    def _address(self) -> tuple[str, int]:
        host, port = self._running_server.server_address[:2]
        return str(host), int(port)

    def _listen(self, setup: Setup) -> None:
        port = 0 if setup.tls else setup.port
        try:
            self._server = server = GatedServer((setup.host, port), setup.passwords)
        except OSError as error:
            raise PortTaken(f"port {port} is taken") from error
        self._thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self._thread.start()


class GatedServer(TcpFakeServer):
    """fakeredis's TCP server, with our gate in front of each connection."""

    def __init__(self, address: tuple[str, int], passwords: Passwords) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, bind_and_activate=False)
        self.RequestHandlerClass = GatedHandler
        self.allow_reuse_address = sys.platform != "win32"  # there it would let another program take the port
        self.daemon_threads = True
        self.passwords = passwords
        self.calls: Counter[str] = Counter()
        self.connections: set[socket.socket] = set()
        try:
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def role_of(self, user: bytes, password: bytes) -> Role | None:
        """Return whom these credentials let in, or None."""
        known: dict[Role, str] = {"default": self.passwords.default, "default_ro": self.passwords.read_only}
        for role, expected in known.items():
            if user == role.encode() and hmac.compare_digest(password, expected.encode()):
                return role
        return None

    def drop_clients(self) -> None:
        """Disconnect everybody."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """Disconnect everybody and stop listening."""
        self.shutdown()
        self.drop_clients()
        self.server_close()


class GatedHandler(TCPFakeRequestHandler):
    """Serves one client."""

    server: GatedServer

    def setup(self) -> None:
        """Put our connection in place of fakeredis's own."""
        super().setup()
        self.server.connections.add(self.connection)
        gated = GatedConnection(server=self.server.fake_server, protocol=2)
        gated.gate = self.server
        self.current_client = self.server.clients[self.client_address] = gated

    def finish(self) -> None:
        """Forget the client."""
        self.server.connections.discard(self.connection)
        # It may be gone already, and then there is nothing to flush.
        with suppress(OSError, ValueError):
            super().finish()


class GatedConnection(FakeRedisConnection):
    """Between the client's bytes and fakeredis."""

    gate: GatedServer

    def _connect(self) -> FakeSocket:
        fake = GatedSocket(self.gate.fake_server, client_class=self._client_class, db=0, client_info=self._client_info)
        fake.gate = self.gate
        return fake

    def read_response(self, *_: Any, **__: Any) -> Any:
        """Return replies as they are: an error reply is one too, and does not end the connection."""
        replies = self.get_socket().responses
        if replies is None:
            raise ConnectionError
        return replies.get()


class GatedSocket(FakeSocket):
    """Lets through what the client's role may do."""

    gate: GatedServer
    role: Role | None = None

    def _process_command(self, fields: list[bytes]) -> None:
        name = fields[0].decode(errors="replace").lower() if fields else ""
        detail = fields[1].decode(errors="replace").lower() if len(fields) > 1 else ""
        if name in {"auth", "hello"} and not self._let_in(name, fields):
            return
        if self.role is None and name not in ANYBODY:
            self.put_response(SimpleError("NOAUTH Authentication required."))
        elif self._may_not(name) or f"{name} {detail}" in _commands_in("admin"):
            if self._in_transaction:
                self._transaction_failed = True
            self.put_response(_no_permission(self.role, name))
        elif name != "auth":
            self.gate.calls[name] += 1
            super()._process_command(_without_auth(fields) if name == "hello" else fields)

    def _run_command(self, func: Callable[[Any], Any] | None, sig: Any, args: list[Any], from_script: bool) -> Any:  # noqa: FBT001
        # Commands of a script come here without having been at the gate.
        if self._may_not(sig.name.lower()):
            raise _no_permission(self.role, sig.name)
        return super()._run_command(func, sig, args, from_script)

    def _decode_error(self, error: SimpleError) -> Any:
        return error  # as it is, with the prefix that clients know it by

    def _let_in(self, name: str, fields: list[bytes]) -> bool:
        """Take the credentials of AUTH, or in HELLO. Return whether there is still something to do."""
        credentials = fields[1:]
        if name == "hello":
            upper = [field.upper() for field in fields]
            start = upper.index(b"AUTH") + 1 if b"AUTH" in upper else None
            credentials = fields[start : start + 2] if start else []
            if not credentials and self.role is None:
                message = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
                self.put_response(
                    SimpleError(message + "<proto> AUTH <user> <pass> option can be used to authenticate")
                )
            if not credentials:
                return self.role is not None
        user, password = [b"default", *credentials][-2:] if 1 <= len(credentials) <= 2 else (b"", b"")
        role = self.gate.role_of(user, password)
        if role is None:
            self.put_response(SimpleError("WRONGPASS invalid username-password pair or user is disabled."))
            return False
        self.role = role
        if name == "auth":
            self.put_response(b"OK")
        return True

    def _may_not(self, name: str) -> bool:
        command = name.partition(" ")[0]
        if command in FORBIDDEN or command in _commands_in("admin"):
            return True
        return self.role == "default_ro" and command not in _commands_in("read") | NOT_WRITING


def _no_permission(role: Role | None, name: str) -> SimpleError:
    return SimpleError(f"NOPERM User {role} has no permissions to run the '{name}' command")


def _without_auth(fields: list[bytes]) -> list[bytes]:
    upper = [field.upper() for field in fields]
    if b"AUTH" not in upper:
        return fields
    start = upper.index(b"AUTH")
    return fields[:start] + fields[start + 3 :]


def _commands_in(category: Literal["read", "write", "admin"]) -> frozenset[str]:
    if category not in _CATEGORIES:
        _CATEGORIES[category] = frozenset(name.decode().lower() for name in get_commands_by_category(category))
    return _CATEGORIES[category]


_CATEGORIES: dict[str, frozenset[str]] = {}


class Entry(msgspec.Struct, array_like=True):
    """One key of a snapshot."""

    key: bytes
    expires_at: float
    """Unix time, or 0 if it never does."""
    value: bytes
    """What DUMP gives."""


def _save(server: GatedServer, target: Path) -> None:
    entries = []
    with FakeRedis(server=server.fake_server) as client:
        for key in client.scan_iter():
            value, remaining = client.dump(key), client.pttl(key)
            if isinstance(value, bytes) and isinstance(remaining, int) and remaining != -2:
                entries.append(Entry(key, time.time() + remaining / 1000 if remaining >= 0 else 0.0, value))
    write_private_bytes(target, msgspec.msgpack.encode(entries))


def _load(server: GatedServer, source: Path) -> None:
    entries = msgspec.msgpack.decode(source.read_bytes(), type=list[Entry])
    with FakeRedis(server=server.fake_server) as client:
        client.flushall()
        for entry in entries:
            remaining = round((entry.expires_at - time.time()) * 1000) if entry.expires_at else 0
            if remaining >= 0:
                client.restore(entry.key, remaining, entry.value)
