"""The contract of `DatabaseServer`, run on Valkey and on fakeredis."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from upstash_helper.sandbox.errors import PortInUse
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.backend import choose_backend, find_valkey
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply, Reply, SimpleString
from upstash_helper.sandbox.redis.servers import Capability, DatabaseServer, Passwords, ServerConfig, free_ports
from upstash_helper.sandbox.redis.tls import CertificateAuthority, TlsProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

CONFIG = ServerConfig(
    host="127.0.0.1",
    port=0,
    passwords=Passwords(default="pw-default", read_only="pw-read-only"),
    memory_limit=32 * 1024 * 1024,
    eviction=False,
    tls=False,
)


def make_valkey(folder: Folder) -> DatabaseServer:
    """Return a Valkey server, or skip the test if Valkey is not available."""
    try:
        find_valkey()
    except LookupError as reason:
        pytest.skip(f"platform: {reason}")
    return choose_backend(folder, CertificateAuthority(folder, CONFIG.host)).new_server("0123456789abcdef")


def make_fakeredis(folder: Folder) -> DatabaseServer:
    """Return a fakeredis server."""
    from upstash_helper.sandbox.redis.fakeredis import FakeredisServer

    return FakeredisServer(
        folder=folder.database("fake"), tls_proxy=TlsProxy(CertificateAuthority(folder, CONFIG.host))
    )


@pytest.fixture(params=[make_valkey, make_fakeredis], ids=["valkey", "fakeredis"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DatabaseServer]:
    """A server that has not been started."""
    make: Callable[[Folder], DatabaseServer] = request.param
    server = make(Folder(tmp_path / "data"))
    yield server
    await server.kill()


@pytest.fixture
def config() -> ServerConfig:
    """A configuration with a free port."""
    return msgspec.structs.replace(CONFIG, port=next(free_ports(CONFIG.host)))


def require(server: DatabaseServer, capability: Capability) -> None:
    """Skip the test if the server does not have this capability."""
    if capability not in server.capabilities:
        pytest.skip(f"platform: {server.kind}, the fallback where Valkey has no wheel, does not support {capability}")


def client(config: ServerConfig, role: str = "default", password: str | None = None, **options: Any) -> redis.Redis:
    """Return a Redis client."""
    known = {"default": config.passwords.default, "default_ro": config.passwords.read_only}
    secret = known[role] if password is None else password
    # No retry after a wrong password.
    retry = Retry(NoBackoff(), 0)
    return redis.Redis(host=config.host, port=config.port, username=role, password=secret, retry=retry, **options)


async def test_client_with_the_password_can_write_and_read(server: DatabaseServer, config: ServerConfig) -> None:
    """
    A Redis client with the password can write and read text and bytes.
    """
    await server.start(config)

    async with client(config) as connected:
        await connected.set("name", b"\x00\xff\r\n")
        await connected.hset("hash", mapping={"a": "1"})
        values = await connected.get("name"), await connected.hgetall("hash"), await connected.incr("counter")

    assert (b"\x00\xff\r\n", {b"a": b"1"}, 1) == values


async def test_statuses_and_values_have_their_types(server: DatabaseServer, config: ServerConfig) -> None:
    """
    A status is a simple string, and a value of any length is a bulk string (RESP, "Simple strings"), as clients expect.
    """
    await server.start(config)
    reader, writer = await asyncio.open_connection(config.host, config.port)

    async def reply(*words: str) -> bytes:
        writer.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
        line = await reader.readline()
        return line + (await reader.readexactly(int(line[1:]) + 2) if line.startswith(b"$") else b"")

    long = "x" * 100_000
    replies = [
        await reply("AUTH", "default", config.passwords.default),
        await reply("SET", "name", "Ada"),
        await reply("GET", "name"),
        await reply("ECHO", "OK"),
        await reply("PING"),
        await reply("TYPE", "name"),
        await reply("SET", "long", long),
        await reply("GET", "long"),
    ]
    writer.close()
    await writer.wait_closed()

    assert [b"+OK\r\n", b"+OK\r\n", b"$3\r\nAda\r\n", b"$2\r\nOK\r\n"] == replies[:4]
    assert [b"+PONG\r\n", b"+string\r\n", b"+OK\r\n"] == replies[4:7]
    assert b"$100000\r\n" + long.encode() + b"\r\n" == replies[7]


async def test_wrong_or_missing_password_is_rejected(server: DatabaseServer, config: ServerConfig) -> None:
    """
    Without a password, or with a wrong one or another user's, no command is run.
    """
    await server.start(config)

    for role, password in (
        ("default", "wrong"),
        ("default", config.passwords.read_only),
        ("default_ro", config.passwords.default),
        ("eve", config.passwords.default),
    ):
        async with client(config, role, password) as unauthenticated:
            with pytest.raises(AuthenticationError):
                await unauthenticated.ping()
    retry = Retry(NoBackoff(), 0)
    async with redis.Redis(host=config.host, port=config.port, protocol=2, retry=retry) as unauthenticated:
        with pytest.raises(AuthenticationError):
            await unauthenticated.get("name")


async def test_read_only_user_cannot_write(server: DatabaseServer, config: ServerConfig) -> None:
    """
    The read-only user can read. Writes are rejected with NOPERM, also in a script, and so are KEYS and SCAN.
    """
    await server.start(config)
    async with client(config) as owner:
        await owner.set("name", "Ada")

    async with client(config, "default_ro") as reader:
        value = await reader.get("name")
        with pytest.raises(NoPermissionError):
            await reader.set("name", "Eve")
        with pytest.raises(NoPermissionError):
            await reader.flushall()
        with pytest.raises(NoPermissionError):
            await reader.keys()
        with pytest.raises(NoPermissionError):
            await reader.scan()
        with pytest.raises(ResponseError):
            await reader.eval("return redis.call('SET', KEYS[1], 'Eve')", 1, "name")
    async with client(config) as owner:
        kept = await owner.get("name")

    assert (b"Ada", b"Ada") == (value, kept)


async def test_admin_commands_are_denied(server: DatabaseServer, config: ServerConfig) -> None:
    """
    Commands that configure or stop the server, or connect to other servers, are denied even to the default user.
    """
    await server.start(config)

    async with client(config) as owner:
        for command in ("CONFIG GET *", "SHUTDOWN NOSAVE", "REPLICAOF 127.0.0.1 1", "ACL LOG 1 2", "MIGRATE h 1 k 0 1"):
            with pytest.raises(NoPermissionError):
                await owner.execute_command(*command.split())  # type: ignore[no-untyped-call]


async def test_connection_is_usable_after_an_error(server: DatabaseServer, config: ServerConfig) -> None:
    """
    A failed command returns an error with its usual prefix, and the next command works on the same connection.
    """
    await server.start(config)

    async with client(config, single_connection_client=True) as owner:
        await owner.set("name", "Ada")
        with pytest.raises(ResponseError, match="WRONGTYPE"):
            await owner.lpush("name", "x")
        value = await owner.get("name")

    assert value == b"Ada"


async def test_changing_passwords_disconnects_clients(server: DatabaseServer, config: ServerConfig) -> None:
    """
    After a password change, the old passwords are rejected and open connections are closed.
    """
    await server.start(config)
    old = client(config, single_connection_client=True)
    await old.set("name", "Ada")

    await server.set_passwords(Passwords(default="pw-new", read_only="pw-new-read-only"))

    with pytest.raises((redis.ConnectionError, AuthenticationError)):
        await old.get("name")
    await old.aclose()
    async with client(config) as stale:
        with pytest.raises(AuthenticationError):
            await stale.get("name")
    async with client(config, "default", "pw-new") as fresh:
        assert await fresh.get("name") == b"Ada"


async def test_data_is_kept_across_a_restart(server: DatabaseServer, config: ServerConfig) -> None:
    """
    Data and expiration times are kept when the server is stopped and started again.
    """
    require(server, "persistence")
    await server.start(config)
    async with client(config) as owner:
        await owner.set("name", "Ada")
        await owner.set("soon", "gone", ex=1000)

    await server.stop()
    await server.start(config)

    async with client(config) as owner:
        assert await owner.get("name") == b"Ada"
        assert 900 < await owner.ttl("soon") <= 1000


@pytest.mark.parametrize(
    ("first", "kept"), [("", b"Ada"), ("redis.call('SET', 'other', '1')", None)], ids=["reads", "writes"]
)
async def test_server_stops_while_a_script_runs(tmp_path: Path, config: ServerConfig, first: str, kept: object) -> None:
    """
    A script that does not end is ended, and the data is saved. One that has written cannot be ended, so the server is
    killed: no process is left.
    """
    server = make_valkey(Folder(tmp_path / "data"))
    await server.start(config)
    (process,) = (it for it in psutil.Process().children() if str(tmp_path) in " ".join(it.cmdline()))
    await server.run("default", [[b"SET", b"name", b"Ada"]])
    script = f"{first} while true do end"
    running = asyncio.ensure_future(server.run("default", [[b"EVAL", script.encode(), b"0"]]))
    async with await server.connect("default") as probe:
        while isinstance(await answer_within(probe, 0.2), SimpleString):
            pass

    await server.stop()
    await asyncio.gather(running, return_exceptions=True)
    left = process.is_running()
    await server.start(config)
    (name,) = await server.run("default", [[b"GET", b"name"]])
    await server.kill()

    assert not left
    assert kept == name


async def answer_within(connection: Connection, seconds: float) -> Reply:
    """Return the reply to PING, or None if the server is busy."""
    try:
        return await asyncio.wait_for(connection.call("PING"), seconds)
    except TimeoutError:
        return None


async def test_requests_at_the_same_time_after_connections_are_lost(tmp_path: Path, config: ServerConfig) -> None:
    """
    If the server has closed the connections that are kept for later, each request opens a new one.
    """
    server = make_valkey(Folder(tmp_path / "data"))
    await server.start(config)

    async def ping_all() -> list[list[Reply]]:
        return await asyncio.gather(*(server.run("default", [[b"PING"]]) for _ in range(8)))

    before = await ping_all()
    async with await server.connect("default") as connection:
        killed = await connection.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await asyncio.sleep(0.1)  # the connections end
    after = await ping_all()
    await server.kill()

    assert isinstance(killed, int)
    assert killed >= 8
    assert [[SimpleString(b"PONG")]] * 8 == before == after


async def test_no_connection_is_used_again_once_users_have_changed(tmp_path: Path, config: ServerConfig) -> None:
    """
    The first request after a change authenticates again: the user's password may no longer be valid.
    """
    server = make_valkey(Folder(tmp_path / "data"))
    await server.start(config)
    first, again = [await server.run("default", [[b"CLIENT", b"ID"]]) for _ in range(2)]

    server.dialect.users_changed()
    changed = await server.run("default", [[b"CLIENT", b"ID"]])
    await server.kill()

    assert first == again
    assert first != changed


async def test_cancelled_connection_is_closed() -> None:
    """
    A request that ends while its connection is being authenticated leaves no connection behind.
    """
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: accepted.put_nowait(ends), CONFIG.host, 0)
    host, port = server.sockets[0].getsockname()
    opening = asyncio.ensure_future(Connection.open((host, port), user="default", password="pw-default"))
    reader, writer = await accepted.get()
    await reader.readuntil(b"\r\n")

    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    async with asyncio.timeout(20):
        await reader.read()
    writer.close()
    server.close()

    assert reader.at_eof()


async def test_restoring_a_snapshot_replaces_all_data(
    server: DatabaseServer, config: ServerConfig, tmp_path: Path
) -> None:
    """
    Restoring a snapshot brings back deleted keys and removes keys that were added later.
    """
    require(server, "snapshots")
    await server.start(config)
    async with client(config) as owner:
        await owner.set("name", "Ada")
        await server.snapshot(tmp_path / "snapshot")
        await owner.delete("name")
        await owner.set("later", "1")

    await server.restore(tmp_path / "snapshot")

    async with client(config) as owner:
        assert (b"Ada", None) == (await owner.get("name"), await owner.get("later"))


async def test_full_database_rejects_writes_or_evicts(server: DatabaseServer, config: ServerConfig) -> None:
    """
    When memory is full, writes fail without eviction and succeed with it.
    """
    require(server, "eviction")
    require(server, "memory-limit")
    await server.start(config)
    await server.set_memory_limit(4 * 1024 * 1024)

    async with client(config) as owner:
        with pytest.raises(ResponseError, match="used memory"):
            await fill(owner)
        await server.set_eviction(enabled=True)
        await fill(owner)
        kept = await owner.dbsize()

    assert 0 < kept < 64


async def test_commands_are_translated_outside_of_tcp(server: DatabaseServer, config: ServerConfig) -> None:
    """
    `run` returns the replies in order, and understands scripts with Upstash's flag. A failed command is an error reply.
    """
    await server.start(config)
    script = b"#!lua flags=allow-key-locking\nreturn redis.call('INCR', KEYS[1])"
    sha = hashlib.sha1(script, usedforsecurity=False).hexdigest().encode()

    replies = await server.run("default", [[b"EVAL", script, b"1", b"n"], [b"EVALSHA", sha, b"1", b"n"], [b"GET"]])
    executed = await server.run("default", [[b"MULTI"], [b"SCRIPT", b"LOAD", script], [b"INCR", b"n"], [b"EXEC"]])
    denied = await server.run("default_ro", [[b"INCR", b"n"]])

    assert [1, 2] == replies[:2]
    assert isinstance(replies[2], ErrorReply)
    assert [sha, 3] == executed[-1]
    assert isinstance(denied[0], ErrorReply)
    assert denied[0].text.startswith(b"NOPERM")


async def test_commands_are_shown_while_somebody_monitors(server: DatabaseServer, config: ServerConfig) -> None:
    """
    `monitors` has the commands that are run outside of TCP, with the client's address.
    """
    await server.start(config)
    lines: list[bytes] = []
    server.monitors.add(lines.append)

    await server.run("default", [[b"SET", b"name", b"Ada"]], b"127.0.0.1:1234")
    server.monitors.remove(lines.append)
    await server.run("default", [[b"GET", b"name"]])

    assert [b'[0 127.0.0.1:1234] "SET" "name" "Ada"'] == [line.partition(b" ")[2] for line in lines]


async def fill(owner: redis.Redis) -> None:
    """Write more data than the memory limit allows."""
    for number in range(64):
        await owner.set(f"key-{number}", "x" * 100_000)


async def test_info_counts_keys_and_calls(server: DatabaseServer, config: ServerConfig) -> None:
    """
    `info` contains the number of keys and the calls of each command.
    """
    await server.start(config)
    async with client(config) as owner:
        await owner.mset({"a": "1", "b": "2"})
        await owner.get("a")
        await owner.get("b")

    info = await server.info()

    assert info["db0"].startswith("keys=2")
    assert info["cmdstat_get"].startswith("calls=2,")
    assert "get" in await server.commands_in("read")
    assert "mset" in await server.commands_in("write")


@pytest.mark.parametrize("when", ["from the start", "later"])
async def test_tls_is_required_once_enabled(
    server: DatabaseServer, config: ServerConfig, tmp_path: Path, when: str
) -> None:
    """
    With TLS, the public port has a certificate of the sandbox's authority and rejects connections without TLS.
    """
    at_start = when == "from the start"
    await server.start(msgspec.structs.replace(config, tls=at_start))
    if not at_start:
        async with client(config) as owner:
            await owner.set("name", "Ada")
        await server.require_tls()

    async with client(config, ssl=True, ssl_ca_certs=str(tmp_path / "data" / "ca.pem")) as secure:
        await secure.set("name", "Ada")
        value = await secure.get("name")

    assert value == b"Ada"
    async with client(config, ssl=True) as untrusting:
        with pytest.raises(redis.ConnectionError, match=r"(?i)certificate"):
            await untrusting.ping()
    async with client(config) as plain:
        with pytest.raises((redis.ConnectionError, ssl.SSLError)):
            await plain.ping()


async def test_port_in_use_raises_port_in_use(server: DatabaseServer, config: ServerConfig) -> None:
    """
    If another program uses the port, the error is `PortInUse`.
    """
    other = await asyncio.start_server(lambda _, writer: writer.close(), config.host, config.port)

    async with other:
        with pytest.raises(PortInUse):
            await server.start(config)

    assert not server.running
