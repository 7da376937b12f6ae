"""
A database on fakeredis, where Valkey has no wheel.

fakeredis asks nobody for a password, so each connection goes through a gate of ours first. Data is in memory, and
written to the folder on stopping. What it does not do: evict keys, limit memory, count what INFO would.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import ClassVar, Literal

import msgspec
from fakeredis import FakeRedis

from upstash_helper.sandbox.errors import PortTaken, ServerFailed
from upstash_helper.sandbox.redis.fakeredis_gate import GatedServer, commands_in
from upstash_helper.sandbox.redis.resp import Connection
from upstash_helper.sandbox.redis.servers import Capability, Passwords, Role, Setup
from upstash_helper.sandbox.redis.tls import TlsFront
from upstash_helper.system import private_files

POLL_SECONDS = 0.1


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
        return commands_in(category)

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
    private_files.write(target, msgspec.msgpack.encode(entries))


def _load(server: GatedServer, source: Path) -> None:
    entries = msgspec.msgpack.decode(source.read_bytes(), type=list[Entry])
    with FakeRedis(server=server.fake_server) as client:
        client.flushall()
        for entry in entries:
            remaining = round((entry.expires_at - time.time()) * 1000) if entry.expires_at else 0
            if remaining >= 0:
                client.restore(entry.key, remaining, entry.value)
