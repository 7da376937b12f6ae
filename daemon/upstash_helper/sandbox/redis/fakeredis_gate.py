"""
The gate in front of fakeredis, which asks nobody for a password and lets everybody do everything.

It stands inside fakeredis's own connections, so there is no port without it.
"""

from __future__ import annotations

import hmac
import socket
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from fakeredis import FakeRedisConnection
from fakeredis._clients._tcp_server import TCPFakeRequestHandler, TcpFakeServer
from fakeredis._helpers import SimpleError
from fakeredis._socket import FakeSocket
from fakeredis.model._command_info import get_commands_by_category

from upstash_helper.sandbox.redis.servers import Passwords, Role

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
        elif self._may_not(name) or f"{name} {detail}" in commands_in("admin"):
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
        if command in FORBIDDEN or command in commands_in("admin"):
            return True
        return self.role == "default_ro" and command not in commands_in("read") | NOT_WRITING


def _no_permission(role: Role | None, name: str) -> SimpleError:
    return SimpleError(f"NOPERM User {role} has no permissions to run the '{name}' command")


def _without_auth(fields: list[bytes]) -> list[bytes]:
    upper = [field.upper() for field in fields]
    if b"AUTH" not in upper:
        return fields
    start = upper.index(b"AUTH")
    return fields[:start] + fields[start + 3 :]


def commands_in(category: Literal["read", "write", "admin"]) -> frozenset[str]:
    """Return the names of all commands of an ACL category."""
    if category not in _CATEGORIES:
        _CATEGORIES[category] = frozenset(name.decode().lower() for name in get_commands_by_category(category))
    return _CATEGORIES[category]


_CATEGORIES: dict[str, frozenset[str]] = {}
