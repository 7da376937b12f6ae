"""MONITOR and the CLIENT commands over TCP."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from tests.sandbox.callers import Caller
from tests.sandbox.gateway_clients import Raw, client_of, encode, until_true
from upstash_helper.sandbox.redis.dialect.tokens import UserToken
from upstash_helper.sandbox.redis.monitor import MAX_BYTES, Monitors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no gateway")

LINE = re.compile(rb"\+\d+\.\d{6} \[0 (?:127\.0\.0\.1:\d+|0\.0\.0\.0:0)\] (.*)\r\n")


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.fixture
async def raw(database: dict[str, Any]) -> AsyncIterator[Raw]:
    """An authenticated connection to the database."""
    async with Raw.opened(database) as raw:
        yield raw


async def shown(monitor: Raw) -> bytes:
    """Return the next command that a monitor shows."""
    line = await monitor.line()
    matched = LINE.fullmatch(line)
    assert matched, line
    return matched[1]


# --- MONITOR ----------------------------------------------------------------------------------------------------------


async def test_monitor_shows_commands_as_clients_send_them(caller: Caller, database: dict[str, Any], raw: Raw) -> None:
    """
    MONITOR shows the commands of TCP clients and of the REST API, untranslated, and in Redis's format.
    """
    raw.send(encode("MONITOR"))
    assert await raw.line() == b"+OK\r\n"

    async with Raw.opened(database) as other:
        other.send(
            encode("set", "name", b'A\xffd"a\r\n\\') + encode("EVAL", "#!lua flags=allow-key-locking\nreturn 1", "0")
        )
        await other.lines(2)
        lines = [await shown(raw) for _ in range(2)]
        other.send(encode("PING"))
        address = (await raw.line()).split(b"[0 ")[1].split(b"]")[0].decode()
        own = other.address
    await caller.run(database, "GET", "name")

    assert lines == [
        b'"set" "name" "A\\xffd\\"a\\r\\n\\\\"',
        b'"EVAL" "#!lua flags=allow-key-locking\\nreturn 1" "0"',
    ]
    assert address == own
    over_rest = await raw.line()
    assert over_rest.endswith(b'] "GET" "name"\r\n')
    assert b" [0 127.0.0.1:" in over_rest
    assert b":0]" not in over_rest


async def test_monitor_hides_secrets(database: dict[str, Any], raw: Raw) -> None:
    """
    Passwords in AUTH and HELLO are not shown, and commands before authentication are not shown at all.
    """
    raw.send(encode("MONITOR"))
    assert await raw.line() == b"+OK\r\n"

    other = await Raw.open(database, authenticate=False)
    other.send(encode("GET", "unknown") + encode("AUTH", database["password"]) + encode("PING"))
    await other.lines(3)
    other.send(encode("AUTH", "default", database["password"]))
    other.send(encode("HELLO", "3", "AUTH", "default", database["password"], "SETNAME", "x") + encode("ECHO", "end"))
    lines: list[bytes] = []
    while not lines or lines[-1] != b'"ECHO" "end"':
        lines.append(await shown(raw))
    await other.close()

    assert lines == [
        b'"PING"',
        b'"AUTH" "(redacted)" "(redacted)"',
        b'"HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x"',
        b'"ECHO" "end"',
    ]
    assert database["password"].encode() not in b"".join(lines)


async def test_monitor_shows_nothing_of_clients_with_a_wrong_password(
    caller: Caller, database: dict[str, Any], raw: Raw
) -> None:
    """
    After a failed AUTH, and with a token over REST that the server does not accept, commands are not shown.
    """
    raw.send(encode("MONITOR"))
    assert await raw.line() == b"+OK\r\n"
    token = UserToken(database["database_id"], b"nobody", b"x" * 20).encode().decode()

    other = await Raw.open(database, authenticate=False)
    other.send(encode("AUTH", "wrong") + encode("SET", "forged", "1"))
    await other.lines(2)
    other.send(encode("SET", "forged", "2"))
    await other.line()
    over_rest = await caller.rest(token, "/set/forged/3")
    other.send(encode("AUTH", database["password"]) + encode("GET", "forged"))
    await other.lines(2)
    line = await shown(raw)
    await other.close()

    assert 401 == over_rest.status
    assert b'"GET" "forged"' == line


async def test_monitor_needs_authentication_and_permission(database: dict[str, Any]) -> None:
    """
    MONITOR is refused before AUTH, and for the read-only user. The replies to later commands are in order.
    """
    anonymous = await Raw.open(database, authenticate=False)
    anonymous.send(encode("MONITOR") + encode("PING"))
    refused = await anonymous.lines(2)
    anonymous.send(encode("AUTH", "default_ro", database["read_only_rest_token"]) + encode("MONITOR") + encode("PING"))
    read_only = await anonymous.lines(3)
    await anonymous.close()

    assert [True, True] == [line.startswith(b"-NOAUTH ") for line in refused]
    assert read_only == [b"+OK\r\n", b"-NOPERM User has no permissions to run the 'monitor' command\r\n", b"+PONG\r\n"]


async def test_monitor_ends_with_reset(database: dict[str, Any], raw: Raw) -> None:
    """
    While monitoring, only PING, QUIT, and RESET are available. RESET ends it.
    """
    raw.send(encode("MONITOR") + encode("GET", "name") + encode("RESET"))
    lines = await raw.lines(3)
    while lines[-1] != b"+RESET\r\n":
        lines.append(await raw.line())
    raw.send(encode("AUTH", database["password"]))
    async with client_of(database) as client:
        await client.get("name")
        assert await raw.line() == b"+OK\r\n"
        raw.send(encode("PING"))

    assert await raw.line() == b"+PONG\r\n"
    assert lines[0] == b"+OK\r\n"
    (refused,) = (line for line in lines if line.startswith(b"-"))
    assert refused.startswith(b"-ERR only PING, QUIT, and RESET ")


async def test_reader_that_is_too_slow_misses_the_rest() -> None:
    """
    What waits for a reader is limited by its size, not by the number of commands: each can have megabytes.
    """
    monitors = Monitors()
    lines = monitors.lines()
    first = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    for _ in range(100):
        monitors.show([b"SET", b"a", b"x" * 1024 * 1024], b"127.0.0.1:1")
    received = len(await first)

    async for line in lines:
        received += len(line)

    assert MAX_BYTES < received < MAX_BYTES + 2 * 1024 * 1024
    assert 0 == len(monitors)


# --- CLIENT -----------------------------------------------------------------------------------------------------------


async def test_client_list_shows_the_tcp_clients_only(caller: Caller, database: dict[str, Any], raw: Raw) -> None:
    """
    CLIENT LIST and INFO have the addresses of the TCP connections. The sandbox's own connections are not in the list.
    """
    await caller.run(database, "SET", "name", "Ada")
    raw.send(encode("BLPOP", "none", "0.01"))
    await raw.line()
    raw.send(encode("CLIENT", "SETNAME", "first"))
    await raw.line()
    async with Raw.opened(database) as other:
        other.send(encode("CLIENT", "LIST"))
        listed = (await other.bulk()).decode().splitlines()
        other.send(encode("CLIENT", "INFO"))
        own = (await other.bulk()).decode()

        assert {f"addr={raw.address}", f"addr={other.address}"} == {line.split()[1] for line in listed}
        assert {f"laddr=127.0.0.1:{database['port']}"} == {line.split()[2] for line in listed}
        assert f"addr={other.address} " in own
    assert "name=first" in "".join(listed)
    assert "sandbox" not in "".join(listed)


async def test_client_list_in_resp3_and_in_a_transaction(database: dict[str, Any]) -> None:
    """
    CLIENT LIST has the same content in RESP3, and inside of a transaction.
    """
    async with client_of(database, protocol=3, single_connection_client=True) as client:
        pipeline: Any
        async with client.pipeline(transaction=True) as pipeline:
            replies = await pipeline.client_list().ping().execute()
        alone = await client.client_list()
        inside, pong = replies

    assert pong is True
    assert [it["id"] for it in inside] == [it["id"] for it in alone][: len(inside)]
    assert {True} == {it["addr"].startswith("127.0.0.1:") for it in inside + alone}


@pytest.mark.parametrize("form", ["address", "filter", "id"])
async def test_client_kill(database: dict[str, Any], raw: Raw, form: str) -> None:
    """
    A client can be disconnected by its address, in both forms, and by its ID.
    """
    raw.send(encode("CLIENT", "ID"))
    client_id = (await raw.line()).decode()[1:].strip()
    arguments = {"address": [raw.address], "filter": ["ADDR", raw.address], "id": ["ID", client_id]}[form]
    async with client_of(database) as client:
        killed = await client.execute_command("CLIENT", "KILL", *arguments)  # type: ignore[no-untyped-call]

        assert await raw.rest() == b""
        with pytest.raises(ResponseError, match="No such client"):
            await client.client_kill(raw.address)
        assert 0 == await client.client_kill_filter(addr=raw.address)
    assert killed in (b"OK", 1)


async def test_killing_all_clients_leaves_the_database_usable(
    caller: Caller, database: dict[str, Any], raw: Raw
) -> None:
    """
    CLIENT KILL may also end the sandbox's own connections. It opens new ones: REST and timeouts still work.
    """
    await caller.run(database, "PING")
    raw.send(encode("BLPOP", "none", "0.01"))
    await raw.line()
    async with client_of(database) as client:
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal")  # type: ignore[no-untyped-call]

    assert await raw.rest() == b""
    assert await caller.run(database, "SET", "name", "Ada") == "OK"
    async with Raw.opened(database) as again:
        again.send(encode("BLPOP", "none", "0.01") + encode("GET", "name"))
        assert await again.lines(3) == [b"*-1\r\n", b"$3\r\n", b"Ada\r\n"]


async def test_clients_that_are_gone_are_forgotten(database: dict[str, Any]) -> None:
    """
    CLIENT LIST no longer has a client that has disconnected.
    """
    async with client_of(database, single_connection_client=True) as client:
        async with Raw.opened(database):
            assert len(await client.client_list()) == 2

        async def alone() -> bool:
            return len(await client.client_list()) == 1

        await until_true(alone)


async def test_other_administration_of_clients_is_refused(database: dict[str, Any]) -> None:
    """
    CLIENT PAUSE and CLIENT NO-EVICT are refused: they would affect the sandbox's own connections.
    """
    async with client_of(database) as client:
        with pytest.raises(NoPermissionError):
            await client.client_pause(1000)
        with pytest.raises(NoPermissionError):
            await client.client_no_evict("on")
