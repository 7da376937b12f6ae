"""The databases' REST API, request by request."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import Caller, ask

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A database, with its token at hand."""
    return await caller.create()


@pytest.fixture
def token(database: dict[str, Any]) -> str:
    """The REST token of the database."""
    return str(database["rest_token"])


# --- how a command is written -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_command_in_the_path(caller: Caller, token: str, method: str) -> None:
    """
    Command and arguments are segments of the path, with any method that is taken.
    """
    assert (await caller.rest(token, "/set/name/Ada", method=method)).json == {"result": "OK"}
    assert (await caller.rest(token, "/get/name", method=method)).json == {"result": "Ada"}


async def test_segments_are_percent_decoded(caller: Caller, token: str) -> None:
    """
    A slash, a space, a plus, UTF-8 and an empty argument arrive as they were meant.
    """
    await caller.rest(token, "/mset/a%2Fb/1/c%20d/2/e+f/3/%C3%A9/4/g/")

    found = await caller.rest(token, method="POST", json=["MGET", "a/b", "c d", "e+f", "é", "g"])

    assert found.json == {"result": ["1", "2", "3", "4", ""]}


async def test_a_command_in_the_body(caller: Caller, token: str) -> None:
    """
    A JSON array is a command; numbers keep their text, booleans become words.
    """
    body = b'["RPUSH", "list", "a\\u00e9", 1.10, 10000000000000000000000, -0, true]'

    pushed = await caller.rest(token, method="POST", data=body)
    found = await caller.rest(token, "/lrange/list/0/-1")

    assert pushed.json == {"result": 5}
    assert found.json == {"result": ["aé", "1.10", "10000000000000000000000", "-0", "true"]}


async def test_the_body_is_the_last_argument(caller: Caller, token: str) -> None:
    """
    With the command in the path, the raw body is its next argument, and the query's parameters come after it.
    """
    answer = await caller.rest(token, "/set/name?EX=100&NX", method="POST", data=b'{"any": "thing"}')

    assert answer.json == {"result": "OK"}
    assert (await caller.rest(token, "/get/name")).json == {"result": '{"any": "thing"}'}
    assert 90 < (await caller.rest(token, "/ttl/name")).json["result"] <= 100
    assert (await caller.rest(token, "/set/name?NX", method="POST", data=b"x")).json == {"result": None}


async def test_the_token_may_be_in_the_query(caller: Caller, token: str) -> None:
    """
    `?_token=` stands for the header, and is no argument.
    """
    answer = await ask(caller.session, "GET", f"{caller.sandbox.rest_url}/echo/hello?_token={token}")

    assert answer.json == {"result": "hello"}


async def test_a_head_request_runs_and_answers_no_body(caller: Caller, token: str) -> None:
    """
    HEAD is taken like GET.
    """
    answer = await caller.rest(token, "/set/name/Ada", method="HEAD")

    assert (200, b"") == (answer.status, answer.body)
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
async def test_a_body_that_is_no_command_is_refused(caller: Caller, token: str, body: bytes) -> None:
    """
    Anything but an array of strings, numbers and booleans is 400 with the reason.
    """
    answer = await caller.rest(token, method="POST", data=body)

    assert answer.status == 400
    assert answer.json["error"].startswith("ERR ")


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_types_are_kept(caller: Caller, token: str) -> None:
    """
    Integers are numbers, nothing is null, lists are arrays however deep, and everything else is a string.
    """
    script = "return {1, 'two', false, {3, {4}}, redis.status_reply('FINE')}"

    assert (await caller.rest(token, method="POST", json=["EVAL", script, 0])).json == {
        "result": [1, "two", None, [3, [4]], "FINE"]
    }
    assert (await caller.rest(token, "/incr/counter")).json == {"result": 1}
    assert (await caller.rest(token, "/get/counter")).json == {"result": "1"}
    assert (await caller.rest(token, "/get/none")).json == {"result": None}
    assert (await caller.rest(token, "/incrbyfloat/float/0.5")).json == {"result": "0.5"}


async def test_base64_carries_bytes_through(caller: Caller, token: str) -> None:
    """
    With `Upstash-Encoding: base64` strings are encoded, in arrays too, but for OK; numbers and null stay.
    """
    data = bytes(range(256))
    headers = {"Upstash-Encoding": "base64"}

    stored = await caller.rest(token, "/set/data", method="POST", data=data, headers=headers)
    found = await caller.rest(token, "/mget/data/none", headers=headers)
    length = await caller.rest(token, "/strlen/data", headers=headers)
    pong = await caller.rest(token, "/ping", headers=headers)

    assert stored.json == {"result": "OK"}
    assert found.json == {"result": [base64.b64encode(data).decode(), None]}
    assert length.json == {"result": 256}
    assert pong.json == {"result": base64.b64encode(b"PONG").decode()}


async def test_without_base64_bytes_that_are_no_text_are_marked(caller: Caller, token: str) -> None:
    """
    Plain JSON cannot carry bytes: what is not UTF-8 is replaced, and the answer is still JSON.
    """
    await caller.rest(token, "/set/data", method="POST", data=b"a\xff\xfeb")

    assert (await caller.rest(token, "/get/data")).json == {"result": "a��b"}


async def test_resp2_answers_the_wire_format(caller: Caller, token: str) -> None:
    """
    With `Upstash-Response-Format: resp2` the body is what the server said, byte for byte, errors included.
    """
    headers = {"Upstash-Response-Format": "resp2"}
    await caller.rest(token, "/rpush/list/a/b")

    answers = [
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
    ] == [answer.body for answer in answers]
    assert [200, 200, 200, 200, 200, 400] == [answer.status for answer in answers]


async def test_a_failed_command_is_400(caller: Caller, token: str) -> None:
    """
    A command that fails is answered with the server's own words.
    """
    await caller.rest(token, "/set/name/Ada")

    wrong_type = await caller.rest(token, "/lpush/name/x")
    unknown = await caller.rest(token, "/nonsense/x")
    few = await caller.rest(token, "/get")
    nothing = await caller.rest(token, "/")

    assert [400, 400, 400, 400] == [answer.status for answer in (wrong_type, unknown, few, nothing)]
    assert wrong_type.json["error"].startswith("WRONGTYPE ")
    assert unknown.json["error"].startswith("ERR unknown command")
    assert few.json["error"] == "ERR wrong number of arguments for 'get' command"
    assert nothing.json["error"] == "ERR empty command"


# --- pipeline and transaction -----------------------------------------------------------------------------------------


async def test_a_pipeline_answers_each_command(caller: Caller, token: str) -> None:
    """
    Each command has its own answer, in order; one that fails does not stop the others.
    """
    body = [["SET", "name", "Ada"], ["LPUSH", "name", "x"], ["INCR", "counter"], ["GET", "name"]]

    answer = await caller.rest(token, "/pipeline", method="POST", json=body)

    results = answer.json
    assert answer.status == 200
    assert [{"result": "OK"}, {"result": 1}, {"result": "Ada"}] == [results[0], *results[2:]]
    assert results[1]["error"].startswith("WRONGTYPE ")


async def test_a_transaction_is_all_or_nothing(caller: Caller, token: str) -> None:
    """
    A transaction answers like a pipeline; if one command cannot even be queued, none is run.
    """
    done = await caller.rest(token, "/multi-exec", method="POST", json=[["SET", "a", "1"], ["INCR", "a"], ["GET", "a"]])
    discarded = await caller.rest(token, "/multi-exec", method="POST", json=[["SET", "a", "9"], ["NONSENSE"]])

    assert [{"result": "OK"}, {"result": 2}, {"result": "2"}] == done.json
    assert discarded.status == 400
    assert discarded.json["error"].startswith("ERR unknown command")
    assert (await caller.rest(token, "/get/a")).json == {"result": "2"}


async def test_transactions_do_not_mix(caller: Caller, token: str) -> None:
    """
    Of many transactions at once, each sees what it has written itself.
    """
    bodies = [[["SET", "a", str(number)], ["INCRBY", "a", 1000], ["GET", "a"]] for number in range(40)]

    answers = await asyncio.gather(*(caller.rest(token, "/multi-exec", method="POST", json=body) for body in bodies))

    assert [str(1000 + number) for number in range(40)] == [answer.json[2]["result"] for answer in answers]


@pytest.mark.parametrize("path", ["/pipeline", "/multi-exec"])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'["GET", "a"]', b"[[]]", b'[["GET", null]]'])
async def test_a_broken_pipeline_runs_nothing(caller: Caller, token: str, path: str, body: bytes) -> None:
    """
    A body that is no array of commands is 400.
    """
    answer = await caller.rest(token, path, method="POST", data=body)

    assert answer.status == 400
    assert answer.json["error"].startswith("ERR ")


@pytest.mark.parametrize(
    "command", [["SUBSCRIBE", "c"], ["MONITOR"], ["MULTI"], ["CLIENT", "REPLY", "OFF"], ["HELLO", "3"], ["auth", "x"]]
)
async def test_commands_about_a_connection_are_refused(caller: Caller, token: str, command: list[str]) -> None:
    """
    An HTTP request has no connection that lasts, so such commands are refused instead of hanging.
    """
    answer = await caller.rest(token, method="POST", json=command)

    assert answer.status == 400
    assert "not available over REST" in answer.json["error"]


# --- who may ----------------------------------------------------------------------------------------------------------


async def test_the_read_only_token_reads_and_cannot_write(caller: Caller, database: dict[str, Any]) -> None:
    """
    The read-only token reads; each write is refused by the server itself, with NOPERM.
    """
    reader = database["read_only_rest_token"]
    await caller.run(database, "SET", "name", "Ada")

    assert (await caller.rest(reader, "/get/name")).json == {"result": "Ada"}
    assert (await caller.rest(reader, "/keys/*")).json == {"result": ["name"]}
    for command in (
        ["SET", "name", "Eve"],
        ["DEL", "name"],
        ["FLUSHALL"],
        ["EVAL", "return 1", 0],
        ["PUBLISH", "c", "m"],
    ):
        refused = await caller.rest(reader, method="POST", json=command)
        assert refused.status == 400
        assert refused.json["error"].startswith("NOPERM ")
    assert await caller.run(database, "GET", "name") == "Ada"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer wrong", "Bearer ä", "Basic eDp5", "wrong"])
async def test_a_wrong_token_is_401(caller: Caller, database: dict[str, Any], authorization: str) -> None:
    """
    Without a database's token nothing is run.
    """
    headers = {"Authorization": authorization}

    answer = await ask(caller.session, "GET", f"{caller.sandbox.rest_url}/set/name/Eve", headers=headers)

    assert (401, {"error": "Unauthorized"}) == (answer.status, answer.json)
    assert await caller.run(database, "GET", "name") is None


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS", "PURGE"])
async def test_other_methods_are_405(caller: Caller, token: str, method: str) -> None:
    """
    Only HEAD, GET, POST and PUT are taken.
    """
    answer = await caller.rest(token, "/set/name/Ada", method=method)

    assert answer.status == 405
    assert {"GET", "HEAD", "POST", "PUT"} == {name.strip() for name in answer.headers["Allow"].split(",")}


async def test_pages_of_any_origin_may_call(caller: Caller, token: str) -> None:
    """
    The token is what counts, so browsers are let through, with preflight and also when it is an error.
    """
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,upstash-encoding",
    }

    preflight = await ask(caller.session, "OPTIONS", f"{caller.sandbox.rest_url}/pipeline", headers=asked)
    answers = [await caller.rest(shown, "/get/name") for shown in (token, "wrong")]

    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Headers"] == "authorization,upstash-encoding"
    assert {"*"} == {answer.headers["Access-Control-Allow-Origin"] for answer in (preflight, *answers)}


async def test_tokens_of_two_databases_do_not_meet(sandbox: Sandbox, caller: Caller) -> None:
    """
    Each token reaches its own database alone.
    """
    other = await Caller.new(sandbox, caller.session)
    mine, theirs = await caller.create(), await other.create()

    await caller.run(mine, "SET", "name", "Ada")

    assert await other.run(theirs, "GET", "name") is None


async def test_a_request_that_is_too_large_is_413(caller: Caller, token: str) -> None:
    """
    A body over the documented request size is refused.
    """
    body = io.BytesIO(b"x" * (10 * 1024 * 1024 + 1))

    answer = await caller.rest(token, "/set/name", method="POST", data=body)

    assert answer.status == 413
    assert (await caller.rest(token, "/get/name")).json == {"result": None}


async def test_a_large_value_comes_back_whole(caller: Caller, token: str) -> None:
    """
    A value of several megabytes is stored and read as it was.
    """
    value = "0123456789" * 500_000

    await caller.rest(token, "/set/large", method="POST", data=io.BytesIO(value.encode()))

    assert (await caller.rest(token, "/get/large")).json == {"result": value}
