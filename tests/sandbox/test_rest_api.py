"""The databases' REST API."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import Caller, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sandbox import Sandbox


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.fixture
def token(database: dict[str, Any]) -> str:
    """The REST token of the database."""
    return str(database["rest_token"])


# --- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_command_in_the_path(caller: Caller, token: str, method: str) -> None:
    """
    The path's segments are the command and its arguments, with any supported method.
    """
    assert (await caller.rest(token, "/set/name/Ada", method=method)).json == {"result": "OK"}
    assert (await caller.rest(token, "/get/name", method=method)).json == {"result": "Ada"}


async def test_path_segments_are_percent_decoded(caller: Caller, token: str) -> None:
    """
    A slash, a space, a plus, UTF-8, a line break, and an empty argument are decoded correctly.
    """
    await caller.rest(token, "/mset/a%2Fb/1/c%20d/2/e+f/3/%C3%A9/4/%0D%0A/5/g/")

    values = await caller.rest(token, method="POST", json=["MGET", "a/b", "c d", "e+f", "é", "\r\n", "g"])

    assert values.json == {"result": ["1", "2", "3", "4", "5", ""]}


async def test_command_in_the_body(caller: Caller, token: str) -> None:
    """
    A JSON array is a command. Numbers keep their text, and booleans become words.
    """
    body = b'["RPUSH", "list", "a\\u00e9", 1.10, 10000000000000000000000, -0, true]'

    pushed = await caller.rest(token, method="POST", data=body)
    values = await caller.rest(token, "/lrange/list/0/-1")

    assert pushed.json == {"result": 5}
    assert values.json == {"result": ["aé", "1.10", "10000000000000000000000", "-0", "true"]}


async def test_body_and_query_are_appended_to_the_command_in_the_path(caller: Caller, token: str) -> None:
    """
    With a command in the path, the raw body is the next argument, followed by the query parameters.
    """
    response = await caller.rest(token, "/set/name?EX=100&NX", method="POST", data=b'{"any": "thing"}')

    assert response.json == {"result": "OK"}
    assert (await caller.rest(token, "/get/name")).json == {"result": '{"any": "thing"}'}
    assert 90 < (await caller.rest(token, "/ttl/name")).json["result"] <= 100
    assert (await caller.rest(token, "/set/name?NX", method="POST", data=b"x")).json == {"result": None}


async def test_token_in_the_query(caller: Caller, token: str) -> None:
    """
    `?_token=` replaces the header and is not passed as an argument.
    """
    response = await send(caller.session, "GET", f"{caller.sandbox.rest_url}/echo/hello?_token={token}")

    assert response.json == {"result": "hello"}


async def test_head_runs_the_command_without_a_body(caller: Caller, token: str) -> None:
    """
    HEAD runs the command like GET.
    """
    response = await caller.rest(token, "/set/name/Ada", method="HEAD")

    assert (200, b"") == (response.status, response.body)
    assert (await caller.rest(token, "/get/name")).json == {"result": "Ada"}


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'[""]',
        b"nonsense",
        b"\xff",
        b'["GET", null]',
        b'["GET", ["a"]]',
        b'["GET", {}]',
        b'["SET", "a", NaN]',
        b"[" * 100_000,
    ],
)
async def test_body_that_is_not_a_command_is_rejected(caller: Caller, token: str, body: bytes) -> None:
    """
    A body other than an array of strings, numbers, and booleans is 400 with the reason.
    """
    response = await caller.rest(token, method="POST", data=body)

    assert response.status == 400
    assert response.json["error"].startswith("ERR ")


# --- responses --------------------------------------------------------------------------------------------------------


async def test_reply_types_are_preserved(caller: Caller, token: str) -> None:
    """
    Integers are numbers, nil is null, arrays can be nested, and everything else is a string.
    """
    script = "return {1, 'two', false, {3, {4}}, redis.status_reply('FINE')}"

    assert (await caller.rest(token, method="POST", json=["EVAL", script, 0])).json == {
        "result": [1, "two", None, [3, [4]], "FINE"]
    }
    assert (await caller.rest(token, "/incr/counter")).json == {"result": 1}
    assert (await caller.rest(token, "/get/counter")).json == {"result": "1"}
    assert (await caller.rest(token, "/get/none")).json == {"result": None}
    assert (await caller.rest(token, "/incrbyfloat/float/0.5")).json == {"result": "0.5"}


async def test_base64_encoding_preserves_bytes(caller: Caller, token: str) -> None:
    """
    With `Upstash-Encoding: base64`, strings are encoded, also in arrays, except OK. Numbers and null are not.
    """
    data = bytes(range(256))
    headers = {"Upstash-Encoding": "base64"}

    stored = await caller.rest(token, "/set/data", method="POST", data=data, headers=headers)
    values = await caller.rest(token, "/mget/data/none", headers=headers)
    length = await caller.rest(token, "/strlen/data", headers=headers)
    pong = await caller.rest(token, "/ping", headers=headers)

    assert stored.json == {"result": "OK"}
    assert values.json == {"result": [base64.b64encode(data).decode(), None]}
    assert length.json == {"result": 256}
    assert pong.json == {"result": base64.b64encode(b"PONG").decode()}


async def test_invalid_utf8_is_replaced_without_base64(caller: Caller, token: str) -> None:
    """
    Without base64, bytes that are not UTF-8 become replacement characters, and the response is valid JSON.
    """
    await caller.rest(token, "/set/data", method="POST", data=b"a\xff\xfeb")

    assert (await caller.rest(token, "/get/data")).json == {"result": "a��b"}


async def test_resp2_returns_the_wire_format(caller: Caller, token: str) -> None:
    """
    With `Upstash-Response-Format: resp2`, the body is the server's reply, byte for byte, including errors.
    """
    headers = {"Upstash-Response-Format": "resp2"}
    await caller.rest(token, "/rpush/list/a/b")

    responses = [
        await caller.rest(token, path, headers=headers)
        for path in ("/set/data/%FF%00", "/get/data", "/lrange/list/0/-1", "/get/none", "/llen/list", "/incr/data")
    ]

    assert [
        b"+OK\r\n",
        b"$2\r\n\xff\x00\r\n",
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
        b"$-1\r\n",
        b":2\r\n",
        b"-ERR value is not an integer or out of range\r\n",
    ] == [response.body for response in responses]
    assert [200, 200, 200, 200, 200, 400] == [response.status for response in responses]


async def test_failed_command_is_400(caller: Caller, token: str) -> None:
    """
    A failed command is 400 with the server's error.
    """
    await caller.rest(token, "/set/name/Ada")

    wrong_type = await caller.rest(token, "/lpush/name/x")
    unknown = await caller.rest(token, "/nonsense/x")
    few = await caller.rest(token, "/get")
    nothing = await caller.rest(token, "/")

    assert [400, 400, 400, 400] == [response.status for response in (wrong_type, unknown, few, nothing)]
    assert wrong_type.json["error"].startswith("WRONGTYPE ")
    assert unknown.json["error"].startswith("ERR Command is not available: 'NONSENSE'. See https://upstash.com/docs/")
    assert few.json["error"] == "ERR wrong number of arguments for 'get' command"
    assert nothing.json["error"] == "ERR empty command"


# --- pipeline and transaction -----------------------------------------------------------------------------------------


async def test_pipeline_returns_a_result_for_each_command(caller: Caller, token: str) -> None:
    """
    Each command has a result, in order. A failed command does not stop the others.
    """
    body = [["SET", "name", "Ada"], ["LPUSH", "name", "x"], ["INCR", "counter"], ["GET", "name"]]

    response = await caller.rest(token, "/pipeline", method="POST", json=body)

    results = response.json
    assert response.status == 200
    assert [{"result": "OK"}, {"result": 1}, {"result": "Ada"}] == [results[0], *results[2:]]
    assert results[1]["error"].startswith("WRONGTYPE ")


async def test_transaction_is_atomic(caller: Caller, token: str) -> None:
    """
    A transaction returns results like a pipeline. If a command cannot be queued, none is run.
    """
    done = await caller.rest(token, "/multi-exec", method="POST", json=[["SET", "a", "1"], ["INCR", "a"], ["GET", "a"]])
    discarded = await caller.rest(token, "/multi-exec", method="POST", json=[["SET", "a", "9"], ["NONSENSE"]])

    assert [{"result": "OK"}, {"result": 2}, {"result": "2"}] == done.json
    assert discarded.status == 400
    assert discarded.json["error"].startswith("ERR Command is not available: 'NONSENSE'. ")
    assert (await caller.rest(token, "/get/a")).json == {"result": "2"}


async def test_concurrent_transactions_are_isolated(caller: Caller, token: str) -> None:
    """
    Concurrent transactions do not see each other's writes.
    """
    bodies = [[["SET", "a", str(number)], ["INCRBY", "a", 1000], ["GET", "a"]] for number in range(40)]

    responses = await asyncio.gather(*(caller.rest(token, "/multi-exec", method="POST", json=body) for body in bodies))

    assert [str(1000 + number) for number in range(40)] == [response.json[2]["result"] for response in responses]


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'["GET", "a"]', b"[[]]", b'[["GET", null]]'])
async def test_malformed_pipeline_is_rejected(caller: Caller, token: str, path: str, body: bytes) -> None:
    """
    A body that is not an array of commands is 400.
    """
    response = await caller.rest(token, path, method="POST", data=body)

    assert response.status == 400
    assert response.json["error"].startswith("ERR ")


@pytest.mark.parametrize(
    "command",
    [
        ["SUBSCRIBE", "c"],
        ["MONITOR"],
        ["MULTI"],
        ["CLIENT", "REPLY", "OFF"],
        ["HELLO", "3"],
        ["auth", "x"],
        ["SELECT", "0"],
        ["BLPOP", "list", "0"],
        ["bzmpop", "0", "1", "set", "MIN"],
        ["XREAD", "COUNT", "2", "BLOCK", "0", "STREAMS", "s", "$"],
        ["XREADGROUP", "GROUP", "block", "c", "NOACK", "block", "0", "STREAMS", "s", ">"],
    ],
)
async def test_commands_that_need_a_lasting_connection_are_rejected(
    caller: Caller, token: str, command: list[str]
) -> None:
    """
    Commands that change the state of a connection, and those that wait, are rejected in Upstash's words.
    """
    response = await caller.rest(token, method="POST", json=command)

    text = f'ERR Command "{command[0].upper()}" is not allowed in REST or it has a special context path'
    assert (400, {"error": text}) == (response.status, response.json)


@pytest.mark.parametrize(
    "command",
    [
        ["XREAD", "STREAMS", "block", "0"],
        ["XREAD", "COUNT", "1", "STREAMS", "s", "0"],
        ["XREADGROUP", "GROUP", "block", "block", "STREAMS", "s", ">"],
    ],
)
async def test_reading_a_stream_without_block_is_not_rejected(caller: Caller, token: str, command: list[str]) -> None:
    """
    Only the option BLOCK is rejected: a key, a group, or a consumer can have this name.
    """
    await caller.rest(token, method="POST", json=["XGROUP", "CREATE", "s", "block", "$", "MKSTREAM"])

    response = await caller.rest(token, method="POST", json=command)

    assert response.status == 200
    assert not response.json["result"]


# --- authorization ----------------------------------------------------------------------------------------------------


async def test_read_only_token_cannot_write(caller: Caller, database: dict[str, Any]) -> None:
    """
    The read-only token can read. The server rejects every write with NOPERM, and, as at Upstash, KEYS and SCAN.
    """
    reader = database["read_only_rest_token"]
    await caller.run(database, "SET", "name", "Ada")

    assert (await caller.rest(reader, "/get/name")).json == {"result": "Ada"}
    assert (await caller.rest(reader, "/exists/name")).json == {"result": 1}
    commands: tuple[list[str | int], ...] = (
        ["SET", "name", "Eve"],
        ["DEL", "name"],
        ["FLUSHALL"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["EVAL", "return 1", 0],
        ["PUBLISH", "c", "m"],
    )
    for command in commands:
        denied = await caller.rest(reader, method="POST", json=command)
        assert denied.status == 400
        assert (
            denied.json["error"]
            == f"NOPERM this user has no permissions to run the '{str(command[0]).lower()}' command"
        )
    assert await caller.run(database, "GET", "name") == "Ada"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Bearer ä", "Basic eDp5", "wrong"])
async def test_wrong_token_is_401(caller: Caller, database: dict[str, Any], authorization: str) -> None:
    """
    Without a valid token, the response is 401 in Upstash's words, and no command is run.
    """
    headers = {"Authorization": authorization}

    response = await send(caller.session, "GET", f"{caller.sandbox.rest_url}/set/name/Eve", headers=headers)

    assert response.status == 401
    assert response.json["error"].startswith("WRONGPASS invalid or missing auth token. See https://docs.upstash.com/")
    assert await caller.run(database, "GET", "name") is None


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "PURGE"])
async def test_unsupported_methods_are_405(caller: Caller, token: str, method: str) -> None:
    """
    Methods other than HEAD, GET, POST, and PUT are 405 with `Allow`.
    """
    response = await caller.rest(token, "/set/name/Ada", method=method)

    assert response.status == 405
    assert {"GET", "HEAD", "POST", "PUT"} == {name.strip() for name in response.headers["Allow"].split(",")}


async def test_cors_allows_any_origin(caller: Caller, token: str) -> None:
    """
    Pages of any origin can call the REST API and read its errors (CORS): the token protects the database.
    """
    preflight_headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,upstash-encoding",
    }

    preflight = await send(caller.session, "OPTIONS", f"{caller.sandbox.rest_url}/pipeline", headers=preflight_headers)
    responses = [await caller.rest(value, "/get/name") for value in (token, "wrong")]

    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,upstash-encoding"
    assert {"*"} == {response.headers["Access-Control-Allow-Origin"] for response in (preflight, *responses)}


async def test_token_is_valid_for_its_own_database_only(sandbox: Sandbox, caller: Caller) -> None:
    """
    A token gives access only to its own database.
    """
    other = await Caller.new(sandbox, caller.session)
    mine, theirs = await caller.create(), await other.create()

    await caller.run(mine, "SET", "name", "Ada")

    assert await other.run(theirs, "GET", "name") is None


@pytest.mark.parametrize("has_length", [True, False])
async def test_oversized_request_is_rejected(caller: Caller, token: str, *, has_length: bool) -> None:
    """
    A body larger than the documented maximum request size is 400 in Upstash's words, with its size if it is known.
    """
    size = 10 * 1024 * 1024 + 1
    data = io.BytesIO(b"x" * size)

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := data.read(1024 * 1024):
            yield chunk

    response = await caller.rest(token, "/set/name", method="POST", data=data if has_length else chunks())

    actual = f", Actual: {size} bytes" if has_length else ""
    start = f"ERR max request size exceeded. Limit: 10485760 bytes{actual}. See https://upstash.com/docs/"
    assert response.status == 400
    assert response.json["error"].startswith(start)
    assert (await caller.rest(token, "/get/name")).json == {"result": None}


async def test_oversized_reply_is_an_error(caller: Caller, token: str) -> None:
    """
    The maximum size applies to replies, too: several large values must be read one by one.
    """
    for name in "ab":
        await caller.rest(token, f"/setrange/{name}/{6 * 1024 * 1024 - 1}/x")

    both = await caller.rest(token, "/mget/a/b")
    pipeline = await caller.rest(token, "/pipeline", method="POST", json=[["STRLEN", "a"], ["MGET", "a", "b"]])

    text = both.json["error"]
    assert both.status == 400
    assert text.startswith("ERR max request size exceeded. Limit: 10485760 bytes, Actual: 12582912 bytes. See https://")
    assert [{"result": 6 * 1024 * 1024}, {"error": text}] == pipeline.json


async def test_large_value_round_trips(caller: Caller, token: str) -> None:
    """
    A value of several megabytes is stored and returned unchanged.

    """
    value = "0123456789" * 500_000

    await caller.rest(token, "/set/large", method="POST", data=io.BytesIO(value.encode()))

    assert (await caller.rest(token, "/get/large")).json == {"result": value}
