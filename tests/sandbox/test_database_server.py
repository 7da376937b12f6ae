"""What every kind of database server must do: one contract, run on each."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from upstash_helper.sandbox.errors import PortTaken
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.backend import choose_backend, find_valkey
from upstash_helper.sandbox.redis.servers import Capability, DatabaseServer, Passwords, Setup, free_ports
from upstash_helper.sandbox.redis.tls import Authority, TlsFront

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

SETUP = Setup(
    host="127.0.0.1",
    port=0,
    passwords=Passwords(default="pw-default", read_only="pw-read-only"),
    memory_limit=32 * 1024 * 1024,
    eviction=False,
    tls=False,
)


def make_valkey(folder: Folder) -> DatabaseServer:
    """Return a Valkey, or skip where there is none."""
    try:
        find_valkey()
    except LookupError as reason:
        pytest.skip(f"platform: {reason}")
    return choose_backend(folder, Authority(folder, SETUP.host)).new_server("0123456789abcdef")


def make_fakeredis(folder: Folder) -> DatabaseServer:
    """Return a fakeredis."""
    from upstash_helper.sandbox.redis.fakeredis_server import FakeredisServer

    return FakeredisServer(folder=folder.database("fake"), front=TlsFront(Authority(folder, SETUP.host)))


@pytest.fixture(params=[make_valkey, make_fakeredis], ids=["valkey", "fakeredis"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseServer]:
    """A server that is not started yet."""
    make: Callable[[Folder], DatabaseServer] = request.param
    server = make(Folder(tmp_path / "data"))
    yield server
    await server.kill()


@pytest.fixture
def setup() -> Setup:
    """How it is to be started, on a port that is free."""
    return msgspec.structs.replace(SETUP, port=next(free_ports(SETUP.host)))


def require(server: DatabaseServer, capability: Capability) -> None:
    """Skip where the server cannot do this."""
    if capability not in server.capabilities:
        pytest.skip(f"platform: {server.kind}, which stands in where Valkey has no wheel, has no {capability}")


def client(setup: Setup, role: str = "default", password: str | None = None, **options: Any) -> redis.Redis:
    """Return an ordinary Redis client."""
    known = {"default": setup.passwords.default, "default_ro": setup.passwords.read_only}
    secret = known[role] if password is None else password
    # A refused password is not tried again.
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host=setup.host, port=setup.port, username=role, password=secret, retry=retry, **options)


async def test_a_client_with_the_password_writes_and_reads(server: DatabaseServer, setup: Setup) -> None:
    """
    An ordinary Redis client with the password writes and reads, text and bytes alike.
    """
    await server.start(setup)

    async with client(setup) as connected:
        await connected.set("name", b"\x00\xff\r\n")
        await connected.hset("hash", mapping={"a": "1"})
        found = await connected.get("name"), await connected.hgetall("hash"), await connected.incr("counter")

    assert (b"\x00\xff\r\n", {b"a": b"1"}, 1) == found


async def test_without_the_password_nobody_gets_in(server: DatabaseServer, setup: Setup) -> None:
    """
    Neither no password, nor a wrong one, nor another user's lets anybody run a command.
    """
    await server.start(setup)

    for role, password in (
        ("default", "wrong"),
        ("default", setup.passwords.read_only),
        ("default_ro", setup.passwords.default),
        ("eve", setup.passwords.default),
    ):
        async with client(setup, role, password) as stranger:
            with pytest.raises(AuthenticationError):
                await stranger.ping()
    retry = Retry(NoBackoff(), 0)
    async with redis.Redis(host=setup.host, port=setup.port, protocol=2, retry=retry) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.get("name")


async def test_the_read_only_user_reads_and_cannot_write(server: DatabaseServer, setup: Setup) -> None:
    """
    The read-only user reads; every write, also one inside a script or transaction, is refused with NOPERM.
    """
    await server.start(setup)
    async with client(setup) as owner:
        await owner.set("name", "Ada")

    async with client(setup, "default_ro") as reader:
        value = await reader.get("name")
        with pytest.raises(NoPermissionError):
            await reader.set("name", "Eve")
        with pytest.raises(NoPermissionError):
            await reader.flushall()
        with pytest.raises(ResponseError):
            await reader.eval("return redis.call('SET', KEYS[1], 'Eve')", 1, "name")
    async with client(setup) as owner:
        kept = await owner.get("name")

    assert (b"Ada", b"Ada") == (value, kept)


async def test_nobody_administers_the_server(server: DatabaseServer, setup: Setup) -> None:
    """
    Commands that would configure, stop or reach out of the server are refused to the owner, too.
    """
    await server.start(setup)

    async with client(setup) as owner:
        for command in ("CONFIG GET *", "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "ACL LIST", "MIGRATE h 1 k 0 1"):
            with pytest.raises(NoPermissionError):
                await owner.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_an_error_leaves_the_connection_usable(server: DatabaseServer, setup: Setup) -> None:
    """
    A failed command answers an error with its usual prefix, and the next one works on the same connection.
    """
    await server.start(setup)

    async with client(setup, single_connection_client=True) as owner:
        await owner.set("name", "Ada")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await owner.lpush("name", "x")
        value = await owner.get("name")

    assert value == b"Ada"


async def test_new_passwords_replace_the_old_and_drop_whoever_is_connected(
    server: DatabaseServer, setup: Setup
) -> None:
    """
    After new passwords the old ones let nobody in, and open connections are closed.
    """
    await server.start(setup)
    old = client(setup, single_connection_client=True)
    await old.set("name", "Ada")

    await server.set_passwords(Passwords(default="pw-new", read_only="pw-new-read-only"))

    with pytest.raises((redis.ConnectionError, AuthenticationError)):
        await old.get("name")
    await old.aclose()
    async with client(setup) as stale:
        with pytest.raises(AuthenticationError):
            await stale.get("name")
    async with client(setup, "default", "pw-new") as fresh:
        assert await fresh.get("name") == b"Ada"


async def test_data_is_there_after_a_restart(server: DatabaseServer, setup: Setup) -> None:
    """
    What was written is read after the server was stopped and started again, expiries included.
    """
    require(server, "persistence")
    await server.start(setup)
    async with client(setup) as owner:
        await owner.set("name", "Ada")
        await owner.set("soon", "gone", ex=1000)

    await server.stop()
    await server.start(setup)

    async with client(setup) as owner:
        assert await owner.get("name") == b"Ada"
        assert 900 < await owner.ttl("soon") <= 1000


async def test_a_snapshot_restores_what_was_there(server: DatabaseServer, setup: Setup, tmp_path: Path) -> None:
    """
    Restoring a snapshot brings deleted keys back, and takes away what came later.
    """
    require(server, "snapshots")
    await server.start(setup)
    async with client(setup) as owner:
        await owner.set("name", "Ada")
        await server.snapshot(tmp_path / "snapshot")
        await owner.delete("name")
        await owner.set("later", "1")

    await server.restore(tmp_path / "snapshot")

    async with client(setup) as owner:
        assert (b"Ada", None) == (await owner.get("name"), await owner.get("later"))


async def test_a_full_database_refuses_writes_or_evicts(server: DatabaseServer, setup: Setup) -> None:
    """
    When memory is full, writes fail without eviction, and succeed with it.
    """
    require(server, "eviction")
    require(server, "memory-limit")
    await server.start(setup)
    await server.set_memory_limit(4 * 1024 * 1024)

    async with client(setup) as owner:
        with pytest.raises(ResponseError, match="used memory"):
            await fill(owner)
        await server.set_eviction(enabled=True)
        await fill(owner)
        kept = await owner.dbsize()

    assert 0 < kept < 64


async def fill(owner: redis.Redis) -> None:
    """Write more than the memory holds."""
    for number in range(64):
        await owner.set(f"key-{number}", "x" * 100_000)


async def test_the_server_counts_what_is_called(server: DatabaseServer, setup: Setup) -> None:
    """
    The number of keys and the calls of each command are in what the server says about itself.
    """
    await server.start(setup)
    async with client(setup) as owner:
        await owner.mset({"a": "1", "b": "2"})
        await owner.get("a")
        await owner.get("b")

    info = await server.info()

    assert info["db0"].startswith("keys=2")
    assert info["cmdstat_get"].startswith("calls=2,")
    assert "get" in await server.commands_in("read")
    assert "mset" in await server.commands_in("write")


@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_tls_is_required_once_it_is_on(server: DatabaseServer, setup: Setup, tmp_path: Path, when: str) -> None:
    """
    With TLS the public port proves itself with the sandbox's own authority, and takes no plain connection any more.
    """
    at_start = when == "from the start"
    await server.start(msgspec.structs.replace(setup, tls=at_start))
    if not at_start:
        async with client(setup) as owner:
            await owner.set("name", "Ada")
        await server.require_tls()

    async with client(setup, ssl=True, ssl_ca_certs=str(tmp_path / "data" / "ca.pem")) as secure:
        await secure.set("name", "Ada")
        value = await secure.get("name")

    assert value == b"Ada"
    async with client(setup, ssl=True) as untrusting:
        with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
            await untrusting.ping()
    async with client(setup) as plain:
        with pytest.raises((redis.ConnectionError, ssl.SSLError)):
            await plain.ping()


async def test_a_taken_port_is_said(server: DatabaseServer, setup: Setup) -> None:
    """
    A port that another program holds is told apart from every other failure.
    """
    other = await asyncio.start_server(lambda _, writer: writer.close(), setup.host, setup.port)

    async with other:
        with pytest.raises(PortTaken):
            await server.start(setup)

    assert not server.running
