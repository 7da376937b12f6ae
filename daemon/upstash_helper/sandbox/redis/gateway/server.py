"""A database's public port, in front of a server that starts on first use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from upstash_helper.sandbox.errors import PortInUse, ServerError
from upstash_helper.sandbox.redis.dialect.commands import AFTER_START, special_commands
from upstash_helper.sandbox.redis.dialect.translation import Dialect
from upstash_helper.sandbox.redis.gateway.admin import AdminConnection
from upstash_helper.sandbox.redis.gateway.blocking import COMMANDS as BLOCKING_COMMANDS
from upstash_helper.sandbox.redis.gateway.client import CONNECTION_COMMANDS, ClientConnection
from upstash_helper.sandbox.redis.gateway.runner import CommandRunner
from upstash_helper.sandbox.redis.monitor import Monitors
from upstash_helper.sandbox.redis.resp import Connection, Reply, SimpleString
from upstash_helper.sandbox.redis.servers import NO_ADDRESS, Capability, Passwords, Role, ServerConfig, User
from upstash_helper.sandbox.redis.tls import CertificateAuthority
from upstash_helper.sandbox.redis.valkey import ValkeyServer

BACKLOG = 128
IDLE_SECONDS = 600.0
"""A server that nobody has used for this long, and that has no clients, is stopped until its next use."""


class GatewayServer:
    """
    Listens on a database's port. Its server starts when the first client connects, or with any other use.

    The methods that change the server wait until it is running only if they have to. Otherwise the change applies when
    it starts.
    """

    kind: ClassVar[Literal["valkey", "fakeredis"]] = "valkey"
    capabilities: ClassVar[frozenset[Capability]] = ValkeyServer.capabilities

    def __init__(
        self,
        *,
        database_id: str,
        server: ValkeyServer,
        authority: CertificateAuthority,
        starts: asyncio.Semaphore,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """
        Args:
            database_id: The database.
            server: The server, which listens on its Unix socket only.
            authority: The certificate authority for a database with TLS.
            starts: Limits how many servers start at the same time.
            idle_seconds: How long the server runs without being used.
        """
        self.dialect = Dialect()
        self.dialect.database_id = database_id
        self.dialect.keep_notifications = server.keep_notifications
        self.dialect.users_changed = self._users_changed
        self._server = server
        self._authority = authority
        self._starts = starts
        self._idle_seconds = idle_seconds
        self._idle_timer: asyncio.TimerHandle | None = None
        self._stopping_idle: asyncio.Task[None] | None = None
        self._uses = 0
        """How many callers use the server now."""
        self._special = self._special_commands()
        self._listener: asyncio.Server | None = None
        self._config: ServerConfig | None = None
        self._clients: set[ClientConnection] = set()
        self._change = asyncio.Lock()
        """Held while the server starts, stops, or is replaced."""
        self._starting: asyncio.Task[None] | None = None
        self.monitors = Monitors()
        self._admin = AdminConnection(server.connect_as_admin)
        self._keeping: asyncio.Task[None] | None = None
        self._keep_again = False
        self._runner = CommandRunner(self)

    # --- the server ---

    @property
    def listening(self) -> bool:
        """See ``DatabaseServer``."""
        return self._listener is not None

    @property
    def running(self) -> bool:
        """See ``DatabaseServer``."""
        return self._server.running

    @property
    def socket(self) -> Path:
        """The Unix socket of the server."""
        return self._server.socket

    @property
    def special(self) -> frozenset[bytes]:
        """The commands, in lower case, that a client's connection has to look at."""
        return self._special

    async def listen(self, config: ServerConfig) -> None:
        """See ``DatabaseServer``."""
        await self._server.prepare()
        self._config = config
        await self._listen(config)

    async def start(self, config: ServerConfig) -> None:
        """See ``DatabaseServer``."""
        await self.listen(config)
        await self.ensure_running()

    async def ensure_running(self) -> None:
        """See ``DatabaseServer``."""
        if self._server.running and not self._change.locked():
            return
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_server())
            self._starting.add_done_callback(self._started)
        # A caller that waits for the start may be cancelled, but others may still need the server.
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        """See ``DatabaseServer``."""
        await self._close()
        if self._keeping is not None:
            await asyncio.wait([self._keeping])
        async with self._change:
            await self._server.stop()

    async def kill(self) -> None:
        """See ``DatabaseServer``."""
        await self._close()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        async with self._change:
            await self._server.kill()

    async def connect(self, role: Role) -> Connection:
        """See ``DatabaseServer``."""
        return await self.connect_as(self._user(role))

    async def connect_as(self, user: User) -> Connection:
        """See ``DatabaseServer``."""
        with self._using():
            await self.ensure_running()
            return await Connection.open(self._server.socket, user=user.name, password=user.password)

    async def run(self, user: Role | User, commands: list[list[bytes]], source: bytes = NO_ADDRESS) -> list[Reply]:
        """See ``DatabaseServer``."""
        with self._using():
            return await self._runner.run(user if isinstance(user, User) else self._user(user), commands, source)

    # --- changes ---

    async def set_passwords(self, passwords: Passwords) -> None:
        """See ``DatabaseServer``."""
        async with self._changing(passwords=passwords):
            if self._server.running:
                await self._server.set_passwords(passwords)
        await self._drop_clients()

    async def set_eviction(self, *, enabled: bool) -> None:
        """See ``DatabaseServer``."""
        async with self._changing(eviction=enabled):
            if self._server.running:
                await self._server.set_eviction(enabled=enabled)

    async def set_memory_limit(self, limit: int) -> None:
        """See ``DatabaseServer``."""
        async with self._changing(memory_limit=limit):
            if self._server.running:
                await self._server.set_memory_limit(limit)

    async def require_tls(self) -> None:
        """See ``DatabaseServer``."""
        async with self._changing(tls=True):
            await self._stop_listening()
            await self._drop_clients()
            await self._listen(self._current)

    async def snapshot(self, target: Path) -> None:
        """See ``DatabaseServer``."""
        with self._using():
            await self.ensure_running()
            await self._server.snapshot(target)

    async def restore(self, source: Path) -> None:
        """See ``DatabaseServer``."""
        with self._using():
            await self.ensure_running()
            async with self._change:
                await self._drop_clients()
                await self._server.restore(source)
                await self._prepare()

    # --- facts ---

    async def info(self) -> dict[str, str]:
        """See ``DatabaseServer``."""
        with self._using():
            await self.ensure_running()
            # The server also counts the sandbox's own connections, which are kept open.
            return {**await self._server.info(), "connected_clients": str(len(self._clients) + 1)}

    async def commands_in(self, category: Literal["read", "write"]) -> frozenset[str]:
        """See ``DatabaseServer``."""
        with self._using():
            await self.ensure_running()
            return await self._server.commands_in(category)

    # --- for the clients' connections ---

    def opened(self, client: ClientConnection) -> None:
        """Record a new connection."""
        self._clients.add(client)

    def closed(self, client: ClientConnection) -> None:
        """Record that a connection was closed."""
        self._clients.discard(client)
        self._set_idle_timer()

    def wake(self) -> None:
        """Make the server check for expired timeouts."""
        if self._server.running:
            self._admin.wake()

    async def may_monitor(self, user: bytes) -> bool:
        """See ``DatabaseServer``."""
        return await self._admin.call("ACL", "DRYRUN", user, "MONITOR") == SimpleString(b"OK")

    # --- internal ---

    @property
    def _current(self) -> ServerConfig:
        if self._config is None:
            raise ServerError("the database's server has not been started")
        return self._config

    def _user(self, role: Role) -> User:
        passwords = self._current.passwords
        return User(role, passwords.default if role == "default" else passwords.read_only)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Keep the server running during the body."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            self._set_idle_timer()

    @property
    def _in_use(self) -> bool:
        return self._uses > 0 or bool(self._clients)

    def _set_idle_timer(self) -> None:
        """Stop the server later, unless it is used again."""
        self._cancel_idle_timer()
        if not self._in_use and self._server.running and self._listener is not None:
            self._idle_timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._idle)

    def _cancel_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _idle(self) -> None:
        self._idle_timer = None
        if not self._in_use:
            self._stopping_idle = asyncio.create_task(self._stop_idle_server())

    async def _stop_idle_server(self) -> None:
        async with self._change:
            if self._in_use or not self._server.running:
                return
            await self._runner.close()
            await self._admin.close()
            if await self._has_other_connections():
                self._set_idle_timer()
            else:
                await self._server.stop()

    async def _has_other_connections(self) -> bool:
        """Return whether the server has connections of ``connect``, which may be open for a long time."""
        try:
            return int((await self._server.info())["connected_clients"]) > 1  # one asks
        except ServerError:
            return False

    @asynccontextmanager
    async def _changing(self, **changes: object) -> AsyncIterator[None]:
        """Change the configuration for the next start, and run the body before the server can start."""
        async with self._change:
            self._config = msgspec.structs.replace(self._current, **changes)
            yield

    async def _start_server(self) -> None:
        async with self._starts, self._change:
            if self._listener is None:
                raise ServerError("the database is stopped")
            if not self._server.running:
                await self._server.start(self._current)
                try:
                    await self._prepare()
                except BaseException:
                    await self._server.stop()
                    raise
                self._set_idle_timer()

    def _started(self, task: asyncio.Task[None]) -> None:
        self._starting = None
        if not task.cancelled():
            task.exception()  # raised for those that wait for it; without this, asyncio would log it

    async def _prepare(self) -> None:
        """Load the functions and settings that clients expect into a server that has started."""
        await self._admin.close()
        self.dialect.forget_scripts()
        async with await self._server.connect_as_admin() as admin:
            self.dialect.restricted = await _restricted_commands(admin)
            for prepare in (*AFTER_START, *self.dialect.after_start):
                await prepare(admin)
        self._special = self._special_commands()

    def _special_commands(self) -> frozenset[bytes]:
        return special_commands(self.dialect) | CONNECTION_COMMANDS | BLOCKING_COMMANDS

    async def _listen(self, config: ServerConfig) -> None:
        context = await asyncio.to_thread(self._authority.context) if config.tls else None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                lambda: ClientConnection(self), config.host, config.port, ssl=context, backlog=BACKLOG
            )
        except OSError as error:
            raise PortInUse(f"port {config.port} is in use") from error

    async def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    async def _drop_clients(self) -> None:
        await self._runner.close()
        for client in list(self._clients):
            client.close()

    async def _close(self) -> None:
        """Stop listening, and close all connections but the one that stops the server."""
        self._cancel_idle_timer()
        await self._stop_listening()
        await self._drop_clients()
        await self._admin.close()

    def _users_changed(self) -> None:
        """Save the users, and make idle connections authenticate again: a password may no longer be valid."""
        self._runner.expire()
        self._keep_again = True
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_users())

    async def _keep_users(self) -> None:
        try:
            while self._keep_again:
                self._keep_again = False
                await self._server.keep_users()
        except ServerError:
            return  # the server has stopped
        finally:
            self._keeping = None


async def _restricted_commands(admin: Connection) -> frozenset[bytes]:
    """Return the commands that the server lists as administrative or dangerous."""
    names: set[bytes] = set()
    for category in ("admin", "dangerous"):
        reply = await admin.expect("COMMAND", "LIST", "FILTERBY", "ACLCAT", category)
        names.update(name for name in reply if isinstance(name, bytes)) if isinstance(reply, list) else None
    return frozenset(names)
