"""The formats and headers of the REST API's responses."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller

RESP2 = {"Upstash-Response-Format": "resp2"}
BASE64 = {"Upstash-Encoding": "base64"}
SYNC = "Upstash-Sync-Token"


@pytest.fixture
async def token(caller: Caller, shared_database: dict[str, Any]) -> str:
    """The REST token of an empty database."""
    await caller.run(shared_database, "FLUSHALL")
    return str(shared_database["rest_token"])


def encoded(text: str) -> str:
    """Return a string as the API returns it in base64."""
    return base64.b64encode(text.encode()).decode()


async def test_content_type_is_that_of_the_format(caller: Caller, token: str) -> None:
    """
    JSON is `application/json`, also if it is requested by name, and RESP2 is `application/octet-stream`.
    """
    responses = [
        await caller.rest(token, "/ping", headers=headers)
        for headers in ({}, {"Upstash-Response-Format": "JSON"}, BASE64, RESP2)
    ]

    types = [response.headers["Content-Type"] for response in responses]
    assert [*["application/json"] * 3, "application/octet-stream"] == types
    assert {"no-store"} == {response.headers["Cache-Control"] for response in responses}


@pytest.mark.parametrize("path", ["/set/name/Ada", "/pipeline", "/multi-exec"])
@pytest.mark.parametrize("name", ["resp3", "", "xml"])
async def test_unknown_format_is_400(caller: Caller, token: str, path: str, name: str) -> None:
    """
    A format other than json and resp2 is 400, and nothing is run.
    """
    headers = {"Upstash-Response-Format": name}

    response = await caller.rest(token, path, method="POST", json=[["SET", "name", "Eve"]], headers=headers)

    assert response.status == 400
    assert response.json == {"error": "ERR unsupported Upstash-Response-Format: it must be json or resp2"}
    assert (await caller.rest(token, "/get/name")).json == {"result": None}


async def test_resp2_cannot_be_base64(caller: Caller, token: str) -> None:
    """
    RESP2 in base64 is 400, and nothing is run.
    """
    response = await caller.rest(token, "/set/name/Ada", headers={**RESP2, **BASE64})

    assert response.status == 400
    assert response.json["error"].startswith("ERR Upstash-Encoding: base64 cannot be combined")
    assert (await caller.rest(token, "/get/name")).json == {"result": None}


async def test_transaction_is_always_json(caller: Caller, token: str) -> None:
    """
    A transaction ignores a request for RESP2, in its results and its errors. Base64 applies to it.
    """
    body = [["SET", "name", "Ada"], ["GET", "name"]]

    done = await caller.rest(token, "/multi-exec", method="POST", json=body, headers=RESP2)
    both = await caller.rest(token, "/multi-exec", method="POST", json=body, headers={**RESP2, **BASE64})
    failed = await caller.rest(token, "/multi-exec", method="POST", json=[["GET"]], headers=RESP2)

    assert [{"result": "OK"}, {"result": "Ada"}] == done.json
    assert [{"result": "OK"}, {"result": encoded("Ada")}] == both.json
    assert (400, "application/json") == (failed.status, failed.headers["Content-Type"])
    assert failed.json["error"].startswith("ERR wrong number of arguments for 'get' command")


async def test_pipeline_in_resp2_is_what_a_tcp_client_receives(caller: Caller, token: str) -> None:
    """
    The replies follow one another, and the errors are among them.
    """
    body = [["SET", "name", "Ada"], ["INCR", "name"], ["MGET", "name", "none"], ["SUBSCRIBE", "c"]]

    response = await caller.rest(token, "/pipeline", method="POST", json=body, headers=RESP2)

    refused = b'-ERR Command "SUBSCRIBE" is not allowed in REST or it has a special context path\r\n'
    wrong = b"-ERR value is not an integer or out of range\r\n"
    assert response.status == 200
    assert b"+OK\r\n" + wrong + b"*2\r\n$3\r\nAda\r\n$-1\r\n" + refused == response.body


async def test_base64_encodes_strings_only(caller: Caller, token: str) -> None:
    """
    Strings are encoded at every depth. OK as a status, numbers, nulls, and errors are not; OK as a value is.
    """
    script = "return {1, 'two', false, {3, {'four', redis.status_reply('FINE')}}}"
    body = [
        ["SET", "ok", "OK"],
        ["GET", "ok"],
        ["GET", "none"],
        ["EVAL", script, 0],
        ["INCR", "ok"],
        ["SET", "ok", "x", "GET"],
        ["HGETALL", "none"],
        ["ZADD", "set", "1.5", "a"],
        ["ZRANGE", "set", 0, -1, "WITHSCORES"],
    ]

    response = await caller.rest(token, "/pipeline", method="POST", json=body, headers=BASE64)

    assert [
        {"result": "OK"},
        {"result": encoded("OK")},
        {"result": None},
        {"result": [1, encoded("two"), None, [3, [encoded("four"), encoded("FINE")]]]},
        {"error": "ERR value is not an integer or out of range"},
        {"result": encoded("OK")},
        {"result": []},
        {"result": 1},
        {"result": [encoded("a"), encoded("1.5")]},
    ] == response.json


async def test_numbers_keep_their_value(caller: Caller, token: str) -> None:
    """
    Integers of 64 bits are exact, and doubles are strings, in JSON and in RESP2.
    """
    largest = 2**63 - 1
    body: list[list[str | int]] = [
        ["SET", "n", largest - 1],
        ["INCR", "n"],
        ["INCRBYFLOAT", "f", "0.25"],
        ["ZADD", "z", "1.50", "m"],
    ]
    await caller.rest(token, "/pipeline", method="POST", json=body)

    integer = await caller.rest(token, "/incrby/n/0")
    score = await caller.rest(token, "/zscore/z/m")
    raw = [await caller.rest(token, path, headers=RESP2) for path in ("/incrby/n/0", "/incrbyfloat/f/0.5")]

    assert integer.body == b'{"result":%d}' % largest
    assert score.json == {"result": "1.5"}
    assert [b":%d\r\n" % largest, b"$4\r\n0.75\r\n"] == [response.body for response in raw]


async def test_every_answer_has_a_new_sync_token(caller: Caller, token: str) -> None:
    """
    Successes and failures of every kind have one, each is different, and any value may be sent back.
    """
    requests: list[tuple[str, dict[str, Any]]] = [
        ("/set/name/Ada", {}),
        ("/get/name", {"headers": RESP2}),
        ("/pipeline", {"method": "POST", "json": [["GET", "name"]]}),
        ("/multi-exec", {"method": "POST", "json": [["GET", "name"]]}),
        ("/nonsense", {}),
        ("/", {"method": "POST", "data": b"{"}),
        ("/subscribe/chat", {}),
        ("/set/name", {"method": "POST", "data": io.BytesIO(b"x" * (10 * 1024 * 1024 + 1))}),
    ]
    tokens = [""]

    for path, options in requests:
        headers = {**options.pop("headers", {}), SYNC: tokens[-1]}
        tokens.append((await caller.rest(token, path, headers=headers, **options)).headers[SYNC])
    strange = await caller.rest(token, "/get/name", headers={SYNC: "not from here; ,é".encode().decode("latin-1")})

    assert len(tokens) == len(set(tokens)) == len(requests) + 1
    assert strange.json == {"result": "Ada"}
    assert SYNC not in (await caller.rest("wrong", "/get/name")).headers


async def test_client_reads_what_it_wrote(caller: Caller, token: str) -> None:
    """
    A request with the last answer's token sees all writes that were answered, whichever connection it uses.
    """

    async def count(name: int) -> list[int]:
        seen, sync = [], ""
        for number in range(20):
            written = await caller.rest(token, f"/set/{name}/{number}", headers={SYNC: sync})
            read = await caller.rest(token, f"/get/{name}", headers={SYNC: written.headers[SYNC]})
            sync = read.headers[SYNC]
            seen.append(int(read.json["result"]))
        return seen

    seen = await asyncio.gather(*map(count, range(5)))

    assert [list(range(20))] * 5 == seen
