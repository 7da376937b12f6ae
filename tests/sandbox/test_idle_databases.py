"""Servers that nobody uses are stopped."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
import redis.asyncio as redis

from tests.sandbox.gateway_clients import until_true
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.servers import Passwords, ServerConfig, free_ports
from upstash_helper.sandbox.redis.tls import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from upstash_helper.sandbox.redis.gateway.server import GatewayServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no gateway")

CONFIG = ServerConfig(
    host="127.0.0.1",
    port=0,
    passwords=Passwords(default="pw", read_only="pw-read-only"),
    memory_limit=32 * 1024 * 1024,
    eviction=False,
    tls=False,
)
IDLE_SECONDS = 0.2


@pytest.fixture
async def config() -> ServerConfig:
    """A configuration with a free port."""
    return msgspec.structs.replace(CONFIG, port=next(free_ports(CONFIG.host)))


@pytest.fixture
async def server(tmp_path: Path, config: ServerConfig) -> AsyncIterator[GatewayServer]:
    """A running server that is stopped soon after its last use."""
    from upstash_helper.sandbox.redis.backend import find_valkey
    from upstash_helper.sandbox.redis.gateway.server import GatewayServer
    from upstash_helper.sandbox.redis.valkey import ValkeyServer

    folder = Folder(tmp_path / "data")
    valkey = ValkeyServer(binary=find_valkey(), folder=folder.database("idle"), socket=folder.socket("idle"))
    server = GatewayServer(
        database_id="idle",
        server=valkey,
        authority=CertificateAuthority(folder, CONFIG.host),
        starts=asyncio.Semaphore(1),
        idle_seconds=IDLE_SECONDS,
    )
    await server.start(config)
    yield server
    await server.kill()


async def until_stopped(server: GatewayServer) -> None:
    """Wait until the server's process is gone."""

    async def stopped() -> bool:
        return not server.running

    await until_true(stopped)


def client_of(config: ServerConfig) -> redis.Redis:
    """Return a client of the database."""
    return redis.Redis(port=config.port, password=config.passwords.default)


async def test_idle_server_stops_and_starts_again(server: GatewayServer, config: ServerConfig) -> None:
    """
    A server without clients is stopped after a while. The next use starts it with its data.
    """
    async with client_of(config) as client:
        await client.set("name", "Ada")
    await until_stopped(server)
    over_tcp = []

    async with client_of(config) as client:
        over_tcp.append(await client.get("name"))
    await until_stopped(server)
    (over_rest,) = await server.run("default", [[b"GET", b"name"]])
    await until_stopped(server)

    assert ([b"Ada"], b"Ada") == (over_tcp, over_rest)


async def test_server_with_clients_is_not_stopped(server: GatewayServer, config: ServerConfig) -> None:
    """
    A client that is connected keeps the server running, however long it sends nothing. So does a command that blocks,
    and a connection of the sandbox.
    """
    async with client_of(config) as client:
        await client.ping()
        await asyncio.sleep(5 * IDLE_SECONDS)
        assert server.running
    (nothing,) = await server.run("default", [[b"BLPOP", b"none", b"%f" % (5 * IDLE_SECONDS)]])
    assert (None, True) == (nothing, server.running)
    async with await server.connect("default") as connection:
        await connection.call("SUBSCRIBE", "news")
        await asyncio.sleep(5 * IDLE_SECONDS)
        assert server.running

    await until_stopped(server)
    assert server.listening


async def test_changes_of_a_stopped_server_apply_when_it_starts(server: GatewayServer, config: ServerConfig) -> None:
    """
    Passwords and limits that are changed while the server is stopped apply to its next start.
    """
    await until_stopped(server)

    await server.set_passwords(Passwords(default="new", read_only="new-read-only"))
    await server.set_memory_limit(64 * 1024 * 1024)
    await server.set_eviction(enabled=True)

    assert not server.running
    async with redis.Redis(port=config.port, password="new") as client:
        memory = await client.info("memory")
    assert (64 * 1024 * 1024, "allkeys-lru") == (memory["maxmemory"], memory["maxmemory_policy"])
