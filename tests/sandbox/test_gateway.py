"""The databases' public ports: servers that start on first use, and what is forwarded to them."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis.asyncio as redis
from redis.exceptions import NoPermissionError, ResponseError

from tests.sandbox.callers import Caller
from tests.sandbox.gateway_clients import Raw, client_of, encode, until_true
from tests.support.sandbox import Sandbox
from upstash_helper.sandbox.folder import Folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no gateway")

MIB = 1024 * 1024


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.fixture
async def owner(database: dict[str, Any]) -> AsyncIterator[redis.Redis]:
    """A client of the database."""
    async with client_of(database) as client:
        yield client


@pytest.fixture
async def raw(database: dict[str, Any]) -> AsyncIterator[Raw]:
    """An authenticated connection to the database."""
    raw = await Raw.open(database)
    yield raw
    await raw.close()


def servers_of(sandbox: Sandbox) -> list[psutil.Process]:
    """Return the sandbox's server processes."""
    return psutil.Process(sandbox.ready.pid).children()


# --- starting ---------------------------------------------------------------------------------------------------------


async def test_server_starts_with_the_first_use(sandbox: Sandbox, caller: Caller) -> None:
    """
    Creating and listing databases, and changing their settings, starts no process. The first client does.
    """
    before = {server.pid for server in servers_of(sandbox)}
    database = await caller.create()
    id_ = database["database_id"]
    await caller.call("POST", f"enable-eviction/{id_}")
    await caller.call("POST", f"{id_}/change-plan", {"plan_name": "fixed_250mb"})
    database = (await caller.call("POST", f"reset-password/{id_}")).json
    await caller.call("GET", "databases")
    assert before == {server.pid for server in servers_of(sandbox)}

    async with client_of(database) as client:
        memory = await client.info("memory")

    assert len({server.pid for server in servers_of(sandbox)} - before) == 1
    assert ("allkeys-lru", 250 * MIB) == (memory["maxmemory_policy"], memory["maxmemory"])


async def test_callers_at_the_same_time_share_one_start(sandbox: Sandbox, caller: Caller) -> None:
    """
    A database that many clients use for the first time at once has one server.
    """
    before = {server.pid for server in servers_of(sandbox)}
    database = await caller.create()
    clients = [client_of(database) for _ in range(10)]

    await asyncio.gather(
        *(client.incr("n") for client in clients), *(caller.run(database, "INCR", "n") for _ in range(10))
    )
    count = await clients[0].get("n")
    await asyncio.gather(*(client.aclose() for client in clients))

    assert count == b"20"
    assert len({server.pid for server in servers_of(sandbox)} - before) == 1


async def test_server_that_was_killed_starts_again(sandbox: Sandbox, caller: Caller) -> None:
    """
    If a server crashes, its clients are disconnected, and the next command starts it with the saved data.
    """
    before = {server.pid for server in servers_of(sandbox)}
    database = await caller.create()
    raw = await Raw.open(database)
    (server,) = (server for server in servers_of(sandbox) if server.pid not in before)

    os.kill(server.pid, signal.SIGKILL)

    assert await raw.rest() == b""
    await raw.close()
    async with client_of(database) as client:
        assert await client.set("name", "Ada")
    assert await caller.run(database, "GET", "name") == "Ada"


async def test_failed_start_is_an_error(sandbox: Sandbox, caller: Caller, database: dict[str, Any]) -> None:
    """
    If a server cannot start, the reason is a RESP error over TCP and 503 over REST. Later it starts.
    """
    folder = sandbox.data / "databases" / database["database_id"]
    (folder / "dump.rdb").write_bytes(b"no snapshot")

    raw = await Raw.open(database, authenticate=False)
    raw.send(encode("AUTH", database["password"]))
    over_tcp = await raw.rest()
    await raw.close()
    over_rest = await caller.rest(database["rest_token"], "/get/name")
    (folder / "dump.rdb").unlink()

    assert over_tcp.startswith(b"-ERR Valkey did not start: ")
    assert over_tcp.count(b"\r\n") == 1
    assert over_rest.status == 503
    assert over_rest.json["error"].startswith("Valkey did not start: ")
    assert await caller.run(database, "SET", "name", "Ada") == "OK"


# --- forwarding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
async def test_clients_work_in_both_versions_of_the_protocol(database: dict[str, Any], protocol: int) -> None:
    """
    Values, transactions, pipelines, scripts, and streams work in RESP2 and RESP3.
    """
    async with client_of(database, protocol=protocol) as client:
        pipeline: Any
        async with client.pipeline(transaction=True) as pipeline:
            replies = await pipeline.set("n", 1).incr("n").get("n").execute()
        async with client.pipeline(transaction=False) as pipeline:
            many = await pipeline.rpush("list", *range(100)).llen("list").lrange("list", 0, 1).execute()
        await client.hset("hash", mapping={"a": "1"})
        script = await client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "v")
        await client.xadd("stream", {"f": "v"}, id="1-1")
        read = await client.xread({"stream": "0"})

        assert [True, 2, b"2"] == replies
        assert [100, 100, [b"0", b"1"]] == many
        assert ({b"a": b"1"}, [b"k", b"v"]) == (await client.hgetall("hash"), script)
        assert b"1-1" in str(read).encode()


async def test_publish_and_subscribe(database: dict[str, Any], owner: redis.Redis) -> None:
    """
    Messages arrive in the order in which they were published, with both kinds of subscription.
    """
    async with client_of(database) as client, client.pubsub(ignore_subscribe_messages=True) as subscriber:
        await subscriber.subscribe("news")
        await subscriber.psubscribe("w*")
        await until_subscribed(owner)
        for number in range(3):
            await owner.publish("news", str(number))
        await owner.publish("weather", "sun")

        received = [await next_message(subscriber) for _ in range(4)]

    assert [b"0", b"1", b"2", b"sun"] == received


async def until_subscribed(owner: redis.Redis) -> None:
    """Wait until a channel and a pattern have a subscriber."""

    async def subscribed() -> bool:
        return bool((await owner.pubsub_numsub("news"))[0][1] and await owner.pubsub_numpat())

    await until_true(subscribed)


async def next_message(subscriber: Any) -> bytes:
    """Return the next message's data."""
    async with asyncio.timeout(20):
        while True:
            message = await subscriber.get_message(timeout=1)
            if message is not None:
                data: bytes = message["data"]
                return data


async def test_large_values_and_replies(owner: redis.Redis) -> None:
    """
    A value just below the maximum size of a request, and a much larger reply, are passed on unchanged.
    """
    value = os.urandom(1024) * (10 * 1024 - 1)
    await owner.set("large", value)
    pipeline: Any
    async with owner.pipeline(transaction=False) as pipeline:
        for _ in range(5):
            pipeline.get("large")
        replies = await pipeline.execute()

    assert all(value == reply for reply in replies)


async def test_deep_pipeline_keeps_the_order(raw: Raw) -> None:
    """
    100,000 commands in one write have their replies in order, also where some are converted or refused.
    """
    count = 100_000
    parts = [encode("INCR", "n")] * count
    for index in range(0, count, 10_000):
        parts[index] = encode("SCRIPT", "LOAD", f"#!lua flags=allow-key-locking\nreturn {index}")
        parts[index + 1] = encode("SHUTDOWN")
    raw.send(b"".join(parts))

    expected = 0
    for index in range(count):
        line = await raw.line()
        if index % 10_000 == 0:
            assert line == b"$40\r\n"
            await raw.line()
        elif index % 10_000 == 1:
            assert line.startswith(b"-NOPERM ")
        else:
            expected += 1
            assert line == b":%d\r\n" % expected


async def test_inline_commands(raw: Raw) -> None:
    """
    A line of text is a command, as in telnet, with quotes and escapes.
    """
    raw.send(b"SET name \"A\\x64a \\n\"\r\n\r\nSTRLEN name\nECHO 'it\\'s'\r\n")

    assert [b"+OK\r\n", b":5\r\n", b"$4\r\n", b"it's\r\n"] == await raw.lines(4)


@pytest.mark.parametrize("size", [1, 2, 7])
async def test_requests_in_small_pieces(raw: Raw, size: int) -> None:
    """
    A request may arrive in pieces of any size.
    """
    data = encode("SET", "name", "\r\n*1\r\n") + encode("MULTI") + encode("STRLEN", "name") + encode("EXEC")
    for start in range(0, len(data), size):
        raw.send(data[start : start + size])
        await raw.writer.drain()
        await asyncio.sleep(0)

    assert [b"+OK\r\n", b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n", b":6\r\n"] == await raw.lines(5)


async def test_half_closed_connection_gets_its_replies(raw: Raw) -> None:
    """
    A client that sends no more still gets the replies to what it has sent, and then the end of the connection.
    """
    raw.send(encode("PING") * 3)
    raw.writer.write_eof()

    assert await raw.rest() == b"+PONG\r\n" * 3


# --- hostile clients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"*1\r\nPING\r\n",
        b"*x\r\n",
        b"*+1\r\n$4\r\nPING\r\n",
        b"* 1\r\n$4\r\nPING\r\n",
        b"*99999999999\r\n",
        b"*2\r\n$-1\r\n",
        b"*1\r\n$1_0\r\n",
        b"*1\r\n$99999999999\r\n",
        b"*1\r\n$" + b"1" * 100,
        b"*" + b"1" * 100,
        b'SET name "not closed\r\n',
        b"x" * 70_000,
    ],
)
async def test_malformed_requests_end_the_connection(raw: Raw, data: bytes) -> None:
    """
    Bytes that are not RESP are answered with an error after all other replies, and end the connection.
    """
    raw.send(encode("PING") + data + encode("PING"))

    replies = await raw.rest()

    assert replies.startswith(b"+PONG\r\n-ERR Protocol error: ")
    assert replies.count(b"\r\n") == 2


async def test_forbidden_command_cannot_be_hidden(database: dict[str, Any], raw: Raw) -> None:
    """
    The gateway and the server agree where a command ends, so that a value cannot become a command.
    """
    hidden = encode("FLUSHALL")
    await caller_sets(database)
    for data in (
        b"*-1\r\n" + encode("ECHO", hidden),
        b"*0\r\n" + encode("ECHO", hidden),
        b"\r\n" + encode("ECHO", b"\r\n" + hidden),
        b"ECHO 'a\\r\\n" + b"'\r\n" + encode("ECHO", hidden),
    ):
        raw.send(data)
    raw.send(encode("PING"))
    lines: list[bytes] = []
    while not lines or lines[-1] != b"+PONG\r\n":
        lines.append(await raw.line())

    raw.send(encode("EXISTS", "name"))

    assert await raw.line() == b":1\r\n"
    assert not [line for line in lines if line.startswith((b"+OK", b"-"))]


async def caller_sets(database: dict[str, Any]) -> None:
    """Set a key."""
    async with client_of(database) as client:
        await client.set("name", "Ada")


async def test_unauthenticated_clients_are_limited(database: dict[str, Any]) -> None:
    """
    Before AUTH, a command with a long argument or many of them ends the connection, as in Redis.
    """
    for data in (b"*1000\r\n", b"*2\r\n$4\r\nAUTH\r\n$1000000\r\n"):
        raw = await Raw.open(database, authenticate=False)
        raw.send(data)

        assert (await raw.rest()).startswith(b"-ERR Protocol error: unauthenticated ")
        await raw.close()


async def test_refusal_before_authentication(database: dict[str, Any]) -> None:
    """
    A refused command has its error also before AUTH, and the connection can be used.
    """
    raw = await Raw.open(database, authenticate=False)
    raw.send(encode("SHUTDOWN") + encode("PING") + encode("AUTH", database["password"]) + encode("PING"))

    lines = await raw.lines(4)
    await raw.close()

    assert lines[0].startswith(b"-NOPERM ")
    assert lines[1].startswith(b"-NOAUTH ")
    assert [b"+OK\r\n", b"+PONG\r\n"] == lines[2:]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("before", [["SUBSCRIBE", "news"], ["MULTI"], ["CLIENT", "REPLY", "OFF"]])
async def test_each_command_before_authentication_has_one_reply(
    database: dict[str, Any], before: list[str], *, reset: bool
) -> None:
    """
    Commands that would change the connection, but are refused, change nothing: the replies after them are in order.
    """
    raw = await Raw.open(database, authenticate=reset)
    if reset:
        raw.send(encode("RESET"))
        assert b"+RESET\r\n" == await raw.line()
    raw.send(encode(*before) + encode("AUTH", "wrong") + encode("AUTH", database["password"]))
    first = await raw.lines(3)
    raw.send(encode("SHUTDOWN") + encode("JSON.SET", "doc", "$", "1") + encode("ECHO", "x" * 20_000) + encode("PING"))
    later = await raw.lines(5)
    await raw.close()

    assert [b"-NOAUTH", b"-WRONGPASS", b"+OK"] == [line.split()[0] for line in first]
    assert [b"-NOPERM", b"+OK", b"$20000", b"x" * 20_000, b"+PONG"] == [line.split()[0] for line in later]


async def test_clients_that_disappear_leave_no_connections(owner: redis.Redis, database: dict[str, Any]) -> None:
    """
    Connections of clients that disappear in the middle of a large reply, or while a command blocks, are closed.
    """
    await owner.set("large", b"x" * (5 * MIB))
    before = await connected(owner)
    for command in (
        encode("GET", "large") * 20,
        encode("BLPOP", "none", "0"),
        encode("SUBSCRIBE", "c"),
        b"*3\r\n$3\r\n",
    ):
        for _ in range(5):
            raw = await Raw.open(database)
            raw.send(command)
            if command.startswith(b"*2\r\n$3"):
                await raw.line()
            raw.writer.transport.abort()

    async def gone() -> bool:
        return await connected(owner) <= before

    await until_true(gone)
    assert await owner.ping()


async def connected(owner: redis.Redis) -> int:
    """Return how many connections the server has."""
    return int((await owner.info("clients"))["connected_clients"])


# --- limits and permissions -------------------------------------------------------------------------------------------


async def test_oversized_request_is_refused(raw: Raw) -> None:
    """
    A request above the documented maximum is refused with Upstash's error, and the connection can be used.
    """
    request = encode("SET", "name", b"x" * (10 * MIB))
    raw.send(encode("PING") + request + encode("EXISTS", "name"))

    error = b"-ERR max request size exceeded. Limit: %d bytes, Actual: %d bytes\r\n" % (10 * MIB, len(request))
    assert [b"+PONG\r\n", error, b":0\r\n"] == await raw.lines(3)


async def test_oversized_request_with_many_arguments_is_refused(raw: Raw) -> None:
    """
    The size is that of the whole request, however many arguments it has. In a transaction it makes EXEC fail.
    """
    request = encode("RPUSH", "list", *["x" * 100] * 110_000)
    raw.send(
        encode("MULTI") + encode("SET", "name", "Ada") + request + encode("EXEC") + encode("EXISTS", "name", "list")
    )

    lines = await raw.lines(5)

    assert [b"+OK\r\n", b"+QUEUED\r\n"] == lines[:2]
    assert lines[2].startswith(b"-ERR max request size exceeded. ")
    assert lines[3].startswith(b"-EXECABORT ")
    assert lines[4] == b":0\r\n"


async def test_administrative_commands_are_refused_by_name(owner: redis.Redis, caller: Caller, raw: Raw) -> None:
    """
    No user can configure or stop the server, over TCP or REST. The connection can be used afterwards.
    """
    for command in (
        "SHUTDOWN NOSAVE",
        "DEBUG SLEEP 0",
        "config set dir /",
        "CONFIG REWRITE",
        "SAVE",
    ):
        with pytest.raises(NoPermissionError, match=r"(?i)command|CONFIG"):
            await owner.execute_command(*command.split())  # type: ignore[no-untyped-call]
    raw.send(encode("MULTI") + encode("DEBUG", "SLEEP", "0") + encode("PING") + encode("EXEC") + encode("PING"))
    lines = await raw.lines(5)

    assert lines[0] == b"+OK\r\n"
    assert lines[1].startswith(b"-NOPERM ")
    assert lines[2] == b"+QUEUED\r\n"
    assert lines[3].startswith(b"-EXECABORT ")
    assert lines[4] == b"+PONG\r\n"


@pytest.mark.parametrize("category", ["all", "write", "keyspace", "WRITE"])
async def test_no_user_can_migrate_in_a_script(owner: redis.Redis, database: dict[str, Any], category: str) -> None:
    """
    MIGRATE, which would connect to another server, is denied also in a script, and to a user with its categories.
    """
    command: Any = owner.execute_command
    token = await command("ACL", "GENTOKEN", "app")
    await command("ACL", "SETUSER", "app", "on", b">" + token, "~*", f"+@{category}", "+eval", "+get")
    await owner.set("name", "Ada")
    script = "return redis.call('MIGRATE', '127.0.0.1', '1', KEYS[1], '0', '1')"

    with pytest.raises(ResponseError, match="has no permissions to run the 'migrate' command"):
        await owner.eval(script, 1, "name")
    app = redis.Redis(port=database["port"], username="app", password=token.decode())
    async with app:
        assert await app.get("name") == b"Ada"
        with pytest.raises(ResponseError, match="has no permissions to run the 'migrate' command"):
            await app.eval(script, 1, "name")


async def test_many_clients(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    A database can have more clients than the default limit of open files.
    """
    async with Sandbox.running(tmp_path / "data", environment=few_files(tmp_path)) as own:
        database = await (await Caller.new(own, session)).create()

        clients = [await Raw.open(database) for _ in range(300)]
        for client in clients:
            client.send(encode("PING"))
        replies = [await client.line() for client in clients]
        await asyncio.gather(*(client.close() for client in clients))

    assert [b"+PONG\r\n"] * 300 == replies


def few_files(folder: Path) -> dict[str, str]:
    """Return the environment of a process that begins with a low soft limit of open files, as on macOS."""
    limit = "from resource import *; setrlimit(RLIMIT_NOFILE, (256, getrlimit(RLIMIT_NOFILE)[1]))"
    (folder / "sitecustomize.py").write_text(limit)
    return {"PYTHONPATH": str(folder)}


async def test_refusal_in_a_transaction_over_rest(caller: Caller, database: dict[str, Any]) -> None:
    """
    A transaction with a refused command runs nothing, and has the refusal's error. A pipeline runs the other commands.
    """
    token = database["rest_token"]
    body = [["SET", "name", "Ada"], ["SHUTDOWN"], ["GET", "name"]]

    transaction = await caller.rest(token, "/multi-exec", method="POST", json=body)
    before = await caller.run(database, "EXISTS", "name")
    pipeline = await caller.rest(token, "/pipeline", method="POST", json=body)

    assert (400, 0) == (transaction.status, before)
    assert transaction.json["error"].startswith("NOPERM ")
    assert [{"result": "OK"}, {"result": "Ada"}] == [pipeline.json[0], pipeline.json[2]]
    assert pipeline.json[1]["error"].startswith("NOPERM ")


async def test_client_reply_off_and_skip(raw: Raw) -> None:
    """
    With CLIENT REPLY OFF or SKIP, refused commands have no reply either, and later replies are not mixed up.
    """
    off = encode("CLIENT", "REPLY", "OFF") + encode("SHUTDOWN") + encode("INCR", "n") + encode("CLIENT", "REPLY", "ON")
    skip = encode("CLIENT", "REPLY", "SKIP") + encode("SHUTDOWN") + encode("SAVE") + encode("INCR", "n")
    raw.send(off + skip)

    lines = await raw.lines(3)

    assert lines[0] == b"+OK\r\n"
    assert lines[1].startswith(b"-NOPERM ")
    assert lines[2] == b":2\r\n"


async def test_client_reply_skip_does_not_end_off(raw: Raw) -> None:
    """
    CLIENT REPLY SKIP has no effect after OFF: MONITOR, which needs replies, is refused without a reply until ON.
    """
    silent = encode("CLIENT", "REPLY", "OFF") + encode("CLIENT", "REPLY", "SKIP") + encode("INCR", "n")
    raw.send(silent + encode("MONITOR") + encode("JSON.SET", "doc", "$", "1") + encode("CLIENT", "REPLY", "ON"))
    raw.send(encode("JSON.GET", "doc") + encode("INCR", "n"))

    assert [b"+OK\r\n", b"$1\r\n", b"1\r\n", b":2\r\n"] == await raw.lines(4)


async def test_what_is_wrong_has_no_reply_after_client_reply_off(raw: Raw) -> None:
    """
    A command that is too large has no reply, also after SKIP, and bytes that are not RESP end the connection.
    """
    large = encode("SET", "large", b"x" * 10 * MIB)
    raw.send(encode("CLIENT", "REPLY", "SKIP") + large + encode("JSON.SET", "doc", "$", "1", "XX"))
    first = await raw.line()
    raw.send(encode("CLIENT", "REPLY", "OFF") + large + encode("SET", "name", "Ada") + b"*x\r\n")

    assert b"$-1\r\n" == first
    assert b"" == await raw.rest()


async def test_refusal_after_a_subscription_in_a_transaction(raw: Raw) -> None:
    """
    A transaction can subscribe as well. Then a refused command has its own error, and one reply.
    """
    raw.send(encode("MULTI") + encode("SUBSCRIBE", "news") + encode("EXEC"))
    await raw.lines(9)
    raw.send(encode("SHUTDOWN") + encode("PING"))

    refused, *pong = await raw.lines(5)

    assert refused.startswith(b"-NOPERM ")
    assert [b"*2\r\n", b"$4\r\n", b"pong\r\n", b"$0\r\n"] == pong


async def test_refusal_while_subscribed(raw: Raw) -> None:
    """
    A refused command has its error also while the connection is subscribed.
    """
    raw.send(encode("SUBSCRIBE", "news") + encode("SHUTDOWN") + encode("PING"))

    lines = await raw.lines(11)

    assert lines[:6] == [b"*3\r\n", b"$9\r\n", b"subscribe\r\n", b"$4\r\n", b"news\r\n", b":1\r\n"]
    assert lines[6].startswith(b"-NOPERM ")
    assert lines[7:] == [b"*2\r\n", b"$4\r\n", b"pong\r\n", b"$0\r\n"]


# --- keyspace notifications -------------------------------------------------------------------------------------------


async def test_keyspace_notifications_survive_a_restart_of_the_server(
    sandbox: Sandbox, caller: Caller, database: dict[str, Any]
) -> None:
    """
    `notify-keyspace-events` can be set over TCP and REST, and is kept when the server starts again.
    """
    async with client_of(database) as client:
        before = await client.config_get("notify-keyspace-events")
        await client.config_set("notify-keyspace-events", "KEA")
        with pytest.raises(ResponseError):
            await client.config_set("notify-keyspace-events", "nonsense")
    await caller.run(database, "CONFIG", "SET", "notify-keyspace-events", "Ex$")
    kill_server(sandbox, database)
    async with client_of(database) as client:
        after = await client.config_get("notify-keyspace-events")

    assert {"notify-keyspace-events": ""} == before
    assert sorted("$xE") == sorted(str(after["notify-keyspace-events"]))


def kill_server(sandbox: Sandbox, database: dict[str, Any]) -> None:
    """Kill the server of a database, and wait until it is gone."""
    (server,) = (it for it in servers_of(sandbox) if database["database_id"] in " ".join(it.cmdline()))
    server.kill()
    psutil.wait_procs([server], timeout=10)


# --- comparison with the server itself --------------------------------------------------------------------------------


def random_commands(chance: random.Random, count: int) -> list[list[bytes]]:
    """Return commands of all kinds, with transactions, errors, and commands whose replies the gateway looks at."""
    kinds: list[Callable[[], list[bytes]]] = [
        lambda: [b"SET", key(), value()],
        lambda: [b"GET", key()],
        lambda: [b"MGET", key(), key()],
        lambda: [b"RPUSH", key(), value(), value()],
        lambda: [b"LRANGE", key(), b"0", b"-1"],
        lambda: [b"DEL", key()],
        lambda: [b"HSET", key(), b"f", value()],
        lambda: [b"HGETALL", key()],
        lambda: [b"ECHO", value()],
        lambda: [b"nonsense", value()],
        lambda: [b"GET"],
        lambda: [b"MULTI"],
        lambda: [b"EXEC"],
        lambda: [b"EXEC"],
        lambda: [b"DISCARD"],
        lambda: [b"WATCH", key()],
        lambda: [b"CONFIG", b"SET", b"notify-keyspace-events", chance.choice((b"KEA", b"", b"nonsense"))],
        lambda: [b"config", b"get", b"Notify-Keyspace-Events"],
        lambda: [b"BLPOP", key(), b"0.001"],
        lambda: [b"EVAL", b"return {1, 'a', {KEYS[1]}, false}", b"1", key()],
        lambda: [b"EVAL", b"return redis.error_reply('MY error')", b"0"],
        lambda: [b"SCRIPT", b"EXISTS", b"0" * 40],
        lambda: [b"CLIENT", b"REPLY", b"SKIP"],
        lambda: [b"CLIENT", b"SETNAME", b"x"],
        lambda: [b"SETRANGE", key(), b"5", value()],
    ]

    def key() -> bytes:
        return chance.choice((b"a", b"b", b"c"))

    def value() -> bytes:
        return chance.choice(
            (b"", b"1", b"\r\n-ERR x\r\n", b"-ERR unknown command '", b"y" * 5000, b"*1\r\n$4\r\nPING\r\n")
        )

    return [chance.choice(kinds)() for _ in range(count)]


async def replies_to(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: list[bytes]) -> bytes:
    """Send the pieces of a stream, and return all that is received until the end of the connection."""
    received = asyncio.create_task(reader.read())
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(60):
        data = await received
    writer.close()
    return data


@pytest.mark.parametrize("protocol", [b"2", b"3"])
@pytest.mark.parametrize("seed", range(3))
async def test_replies_are_the_servers_own(sandbox: Sandbox, caller: Caller, seed: int, protocol: bytes) -> None:
    """
    Whatever a client sends, however it is cut into pieces, it gets the same bytes as from the server itself.
    """
    chance = random.Random(seed)
    databases = [await caller.create(), await caller.create()]
    await caller.run(databases[1], "PING")
    commands = [encode(*command) for command in random_commands(chance, 250)]
    stream = b"".join(commands) + encode("CLIENT", "REPLY", "ON") + encode("QUIT")

    async def ask(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], password: str) -> bytes:
        start = encode("AUTH", password) + encode("HELLO", protocol)
        pieces = [start, *(stream[at : at + 777] for at in range(0, len(stream), 777))]
        return await replies_to(*connection, pieces)

    through = await ask(await asyncio.open_connection("127.0.0.1", databases[0]["port"]), databases[0]["password"])
    socket = Folder(sandbox.data).socket(databases[1]["database_id"])
    direct = await ask(await asyncio.open_unix_connection(socket), databases[1]["password"])

    assert without_id(direct) == without_id(through)


def without_id(replies: bytes) -> bytes:
    """Return replies without the client's ID in the reply to HELLO."""
    return re.sub(rb"(\$2\r\nid\r\n):\d+", rb"\1", replies, count=1)
