"""
A database on fakeredis, where Valkey has no wheel.

fakeredis has no passwords and no ACLs, so its connection class is replaced by one that authenticates each client and
checks each command: there is no port without that check. Data is in memory, and saved to the folder on a clean stop.
Not supported: eviction, memory limits, and most of ``INFO``.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from io import BufferedIOBase
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from fakeredis import FakeRedis, FakeRedisConnection
from fakeredis._clients._tcp_server import TCPFakeRequestHandler, TcpFakeServer, Writer, encode_reply
from fakeredis._helpers import SimpleError, SimpleString
from fakeredis._socket import FakeSocket
from fakeredis.model._command_info import get_commands_by_category

from upstash_helper.sandbox.errors import PortInUse, ServerError
from upstash_helper.sandbox.redis.dialect.translation import Dialect
from upstash_helper.sandbox.redis.gateway.runner import CommandRunner
from upstash_helper.sandbox.redis.monitor import Monitors
from upstash_helper.sandbox.redis.resp import Connection, Reply
from upstash_helper.sandbox.redis.servers import NO_ADDRESS, Capability, Passwords, Role, ServerConfig, User
from upstash_helper.sandbox.redis.tls import TlsProxy
from upstash_helper.system import open_files, private_files

SHUTDOWN_POLL_SECONDS = 0.1
SEND_SECONDS = 30.0
"""How long a client may take to read what is sent before its connection is closed."""
MAX_NAME_LENGTH = 128
"""The maximum length of a command's name. Longer ones are unknown."""

# fakeredis unpickles the argument of RESTORE, so a client could run code in this process.
FORBIDDEN_COMMANDS = frozenset(
    {"restore", "migrate", "module", "shutdown", "replicaof", "slaveof", "config", "acl", "debug", "monitor"}
)
UNAUTHENTICATED_COMMANDS = frozenset({"auth", "hello", "quit", "reset"})
NON_WRITING_COMMANDS = frozenset(
    {
        *("auth", "hello", "quit", "reset", "ping", "echo", "select", "command", "time", "script"),
        *("multi", "exec", "discard", "watch", "unwatch", "eval_ro", "evalsha_ro", "fcall_ro"),
        *("subscribe", "psubscribe", "unsubscribe", "punsubscribe"),
    }
)
READ_ONLY_DENIED = frozenset({"keys", "scan"})
"""Commands that only read, but that Upstash does not run with the read-only token."""


class FakeredisServer:
    """Runs one fakeredis in threads of this process."""

    kind: ClassVar[Literal["valkey", "fakeredis"]] = "fakeredis"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({"snapshots", "persistence"})

    def __init__(self, *, folder: Path, tls_proxy: TlsProxy) -> None:
        """
        Args:
            folder: The folder that the data is saved to.
            tls_proxy: Accepts the TLS connections of a database with TLS.
        """
        self._folder = folder
        self._tls_proxy = tls_proxy
        self._server: AuthenticatingServer | None = None
        self._thread: threading.Thread | None = None
        self._config: ServerConfig | None = None
        self.dialect = Dialect(functions=False)
        self.monitors = Monitors()
        self._runner = CommandRunner(self)

    @property
    def listening(self) -> bool:
        """See ``DatabaseServer``."""
        return self.running

    @property
    def running(self) -> bool:
        """See ``DatabaseServer``."""
        return self._thread is not None and self._thread.is_alive()

    async def listen(self, config: ServerConfig) -> None:
        """See ``DatabaseServer``. It needs no process, so it starts at once."""
        await self.start(config)

    async def ensure_running(self) -> None:
        """See ``DatabaseServer``. It always runs while it listens."""

    def wake(self) -> None:
        """Do nothing: timeouts are exact."""

    async def start(self, config: ServerConfig) -> None:
        """See ``DatabaseServer``."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._config = config
        self._listen(config)
        if self._data_file.exists():
            await asyncio.to_thread(_load, self._running_server, self._data_file)
        if config.tls:
            try:
                await self._tls_proxy.start(config.host, config.port, self._address)
            except PortInUse:
                await self.kill()
                raise

    async def stop(self) -> None:
        """See ``DatabaseServer``."""
        if self._server is not None:
            await self.snapshot(self._data_file)
        await self.kill()

    async def kill(self) -> None:
        """See ``DatabaseServer``."""
        await self._tls_proxy.stop()
        await self._runner.close()
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.close)

    async def connect(self, role: Role) -> Connection:
        """See ``DatabaseServer``."""
        return await self.connect_as(self._user(role))

    async def connect_as(self, user: User) -> Connection:
        """Return a new connection, authenticated as a user."""
        return await Connection.open(self._address, user=user.name, password=user.password)

    async def run(self, user: Role | User, commands: list[list[bytes]], source: bytes = NO_ADDRESS) -> list[Reply]:
        """See ``DatabaseServer``."""
        return await self._runner.run(user if isinstance(user, User) else self._user(user), commands, source)

    def _user(self, role: Role) -> User:
        passwords = self._running_server.passwords
        return User(role, passwords.default if role == "default" else passwords.read_only)

    async def may_monitor(self, user: bytes) -> bool:  # noqa: ARG002
        """See ``DatabaseServer``. Not supported, since the commands that arrive over TCP are not seen here."""
        return False

    async def set_passwords(self, passwords: Passwords) -> None:
        """See ``DatabaseServer``."""
        self._running_server.passwords = passwords
        await self._tls_proxy.drop_clients()
        await self._runner.close()
        self._running_server.drop_clients()

    async def set_eviction(self, *, enabled: bool) -> None:
        """See ``DatabaseServer``. Not supported: keys are never evicted."""

    async def set_memory_limit(self, limit: int) -> None:
        """See ``DatabaseServer``. Not supported: there is no limit."""

    async def require_tls(self) -> None:
        """See ``DatabaseServer``."""
        if self._config is None:
            raise ServerError("the database's server is not running")
        config = msgspec.structs.replace(self._config, tls=True)
        await self.stop()
        await self.start(config)

    async def snapshot(self, target: Path) -> None:
        """See ``DatabaseServer``."""
        await asyncio.to_thread(_save, self._running_server, target)

    async def restore(self, source: Path) -> None:
        """See ``DatabaseServer``."""
        await self._runner.close()
        self._running_server.drop_clients()
        await asyncio.to_thread(_load, self._running_server, source)

    async def info(self) -> dict[str, str]:
        """See ``DatabaseServer``. Contains only the number of keys, clients, and calls."""
        server = self._running_server
        with FakeRedis(server=server.fake_server) as client:
            keys = await asyncio.to_thread(client.dbsize)
        calls = {f"cmdstat_{name}": f"calls={count},usec=0" for name, count in server.calls.items()}
        return {"db0": f"keys={keys}", "connected_clients": str(len(server.clients) + 1), **calls}

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """See ``DatabaseServer``."""
        return commands_in(category)

    @property
    def _data_file(self) -> Path:
        return self._folder / "dump.msgpack"

    @property
    def _running_server(self) -> AuthenticatingServer:
        if self._server is None:
            raise ServerError("the database's server is not running")
        return self._server

    @property
    def _address(self) -> tuple[str, int]:
        host, port = self._running_server.server_address[:2]
        return str(host), int(port)

    def _listen(self, config: ServerConfig) -> None:
        port = 0 if config.tls else config.port
        try:
            self._server = server = AuthenticatingServer((config.host, port), config.passwords)
        except OSError as error:
            raise PortInUse(f"port {port} is in use") from error
        self._thread = threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True)
        self._thread.start()


class Entry(msgspec.Struct, array_like=True):
    """One key of a snapshot."""

    key: bytes
    expires_at: float
    """Unix time, or 0 if the key does not expire."""
    value: bytes
    """The output of DUMP."""


def _save(server: AuthenticatingServer, target: Path) -> None:
    entries = []
    with FakeRedis(server=server.fake_server) as client:
        for key in client.scan_iter():
            value, remaining = client.dump(key), client.pttl(key)
            if isinstance(value, bytes) and isinstance(remaining, int) and remaining != -2:
                entries.append(Entry(key, time.time() + remaining / 1000 if remaining >= 0 else 0.0, value))
    private_files.write(target, msgspec.msgpack.encode(entries))


def _load(server: AuthenticatingServer, source: Path) -> None:
    entries = msgspec.msgpack.decode(open_files.read_bytes(source), type=list[Entry])
    with FakeRedis(server=server.fake_server) as client:
        client.flushall()
        for entry in entries:
            remaining = round((entry.expires_at - time.time()) * 1000) if entry.expires_at else 0
            if remaining >= 0:
                client.restore(entry.key, remaining, entry.value)


# --- authentication and access control --------------------------------------------------------------------------------


class AuthenticatingServer(TcpFakeServer):
    """fakeredis's TCP server, with authentication and access control on each connection."""

    def __init__(self, address: tuple[str, int], passwords: Passwords) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, bind_and_activate=False)
        self.RequestHandlerClass = AuthenticatingHandler
        self.allow_reuse_address = sys.platform != "win32"  # on Windows it would allow another program to take the port
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
        """Return the role with these credentials, or None."""
        passwords: dict[Role, str] = {"default": self.passwords.default, "default_ro": self.passwords.read_only}
        for role, expected in passwords.items():
            if user == role.encode() and hmac.compare_digest(password, expected.encode()):
                return role
        return None

    def drop_clients(self) -> None:
        """Disconnect all clients."""
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and disconnect all clients."""
        self.shutdown()
        self.drop_clients()
        self.server_close()


class Status(bytes):
    """A reply that is a simple string, such as OK."""


class TypedWriter(Writer):
    """Writes a string as a bulk string unless it is a ``Status``. fakeredis writes both as simple strings."""

    def dump(self, value: Any) -> None:
        """Write a reply, and send it."""
        self.write(self._encoded(value))
        self.writer.flush()

    def _encoded(self, value: Any) -> bytes:
        if isinstance(value, Status):
            return b"+%b\r\n" % value
        if isinstance(value, list):  # a transaction's can have statuses among its replies
            return b"*%d\r\n" % len(value) + b"".join(map(self._encoded, value))
        return encode_reply(value, self.request_handler.protocol_version, nested=True)


class AuthenticatingHandler(TCPFakeRequestHandler):
    """Serves one client."""

    server: AuthenticatingServer
    sending: socket.socket | None = None

    def setup(self) -> None:
        """Replace fakeredis's connection with an ``AuthenticatingConnection``."""
        super().setup()
        self.writer = TypedWriter(self.client_address, self._waiting_file(), self)
        self.server.connections.add(self.connection)
        connection = AuthenticatingConnection(server=self.server.fake_server, protocol=2)
        connection.tcp_server = self.server
        self.current_client = self.server.clients[self.client_address] = connection

    def _waiting_file(self) -> BufferedIOBase:
        """
        Return a file that waits until a client has read enough to write more.

        On systems with ``fcntl``, fakeredis makes its socket non-blocking to read from it, and fails to write large
        replies to it.
        """
        if sys.platform == "win32":
            return self.wfile
        self.sending = self.connection.dup()
        self.sending.settimeout(SEND_SECONDS)
        return self.sending.makefile("wb")

    def finish(self) -> None:
        """Remove the client."""
        if self.sending is not None:
            with suppress(OSError, ValueError):
                self.writer.writer.close()
            self.sending.close()
        self.server.connections.discard(self.connection)
        # It may have disconnected already. Then flushing its socket fails.
        with suppress(OSError, ValueError):
            super().finish()


class AuthenticatingConnection(FakeRedisConnection):
    """A connection whose commands go through an ``AuthenticatingSocket``."""

    tcp_server: AuthenticatingServer

    def _connect(self) -> FakeSocket:
        fake = AuthenticatingSocket(
            self.tcp_server.fake_server, client_class=self._client_class, db=0, client_info=self._client_info
        )
        fake.tcp_server = self.tcp_server
        return fake

    def read_response(self, *_: Any, **__: Any) -> Any:
        """Return the next reply. Error replies are returned, not raised: they must not end the connection."""
        replies = self.get_socket().responses
        if replies is None:
            raise ConnectionError
        return replies.get()


class AuthenticatingSocket(FakeSocket):
    """Runs the commands that the client's role is allowed to run."""

    tcp_server: AuthenticatingServer
    role: Role | None = None

    def _process_command(self, fields: list[bytes]) -> None:
        name = fields[0].decode(errors="replace").lower() if fields else ""
        subcommand = fields[1].decode(errors="replace").lower() if len(fields) > 1 else ""
        if len(name) > MAX_NAME_LENGTH:
            # fakeredis would repeat it in an error, which is one line.
            self.put_response(SimpleError(f"ERR unknown command '{name[:MAX_NAME_LENGTH]}'"))
            return
        if name in {"auth", "hello"} and not self._authenticate(name, fields):
            return
        if self.role is None and name not in UNAUTHENTICATED_COMMANDS:
            self.put_response(SimpleError("NOAUTH Authentication required."))
        elif self._is_denied(name) or f"{name} {subcommand}" in commands_in("admin"):
            if self._in_transaction:
                self._transaction_failed = True
            self.put_response(_no_permission(self.role, name))
        elif name.startswith("json."):
            # fakeredis would need another package for them.
            if self._in_transaction:
                self._transaction_failed = True
            self.put_response(SimpleError(f"ERR The sandbox does not have '{name}' without Valkey"))
        elif name != "auth":
            self.tcp_server.calls[name] += 1
            super()._process_command(_without_auth(fields) if name == "hello" else fields)

    def _run_command(self, func: Callable[[Any], Any] | None, sig: Any, args: list[Any], from_script: bool) -> Any:  # noqa: FBT001
        # Commands called by a script do not go through `_process_command`.
        if self._is_denied(sig.name.lower()):
            raise _no_permission(self.role, sig.name)
        return super()._run_command(func, sig, args, from_script)

    def _decode_result(self, result: Any) -> Any:
        if isinstance(result, list):
            return [self._decode_result(item) for item in result]
        return Status(result.value) if isinstance(result, SimpleString) else super()._decode_result(result)

    def _decode_error(self, error: SimpleError) -> Any:
        return error  # unchanged, so that clients see its prefix, such as WRONGTYPE

    def _authenticate(self, name: str, fields: list[bytes]) -> bool:
        """Check the credentials in AUTH or HELLO. Return False if the command was rejected."""
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
        role = self.tcp_server.role_of(user, password)
        if role is None:
            self.put_response(SimpleError("WRONGPASS invalid username-password pair or user is disabled."))
            return False
        self.role = role
        if name == "auth":
            self.put_response(Status(b"OK"))
        return True

    def _is_denied(self, name: str) -> bool:
        command = name.partition(" ")[0]
        if command in FORBIDDEN_COMMANDS or command in commands_in("admin"):
            return True
        if self.role != "default_ro":
            return False
        return command in READ_ONLY_DENIED or command not in commands_in("read") | NON_WRITING_COMMANDS


def _no_permission(role: Role | None, name: str) -> SimpleError:
    return SimpleError(f"NOPERM User {role} has no permissions to run the '{name}' command")


def _without_auth(fields: list[bytes]) -> list[bytes]:
    upper = [field.upper() for field in fields]
    if b"AUTH" not in upper:
        return fields
    start = upper.index(b"AUTH")
    return fields[:start] + fields[start + 3 :]


@functools.cache
def commands_in(category: Literal["read", "write", "admin"]) -> frozenset[str]:
    """Return the names of all commands in an ACL category, in lower case."""
    return frozenset(name.decode().lower() for name in get_commands_by_category(category))
