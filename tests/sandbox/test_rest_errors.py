"""The REST API's errors: which command and which argument they name, and what is run nevertheless."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller


@pytest.fixture
async def token(caller: Caller, shared_database: dict[str, Any]) -> str:
    """The REST token of an empty database."""
    await caller.run(shared_database, "FLUSHALL")
    return str(shared_database["rest_token"])


INVALID: dict[str, tuple[Any, str]] = {
    "null": (["GET", None], "ERR null args are not supported ({}'GET', argument 1)"),
    "object": (["SET", "a", {"b": 1}], "ERR unsupported arg type: \"{{\": json.Delim ({}'SET', argument 2)"),
    "array": (["del", "a", "b", []], "ERR unsupported arg type: \"[\": json.Delim ({}'DEL', argument 3)"),
    "name": ([None, "a"], "ERR null args are not supported ({}the command's name)"),
    "empty": ([], "ERR empty command{}"),
    "no name": (["", "a"], "ERR empty command{}"),
}


@pytest.mark.parametrize(("command", "text"), INVALID.values(), ids=INVALID.keys())
async def test_invalid_argument_is_named(caller: Caller, token: str, command: Any, text: str) -> None:
    """
    A value that cannot be an argument is 400 with its number; in a pipeline or transaction, with its command's index.
    """
    many = [["SET", "first", "1"], command, ["SET", "last", "1"]]

    single = await caller.rest(token, method="POST", json=command)
    batches = [await caller.rest(token, path, method="POST", json=many) for path in ("/pipeline", "/multi-exec")]

    ends_with_place = text.endswith("{}")
    alone = text.format("")
    among_others = text.format(" (command at index 1)" if ends_with_place else "command at index 1, ")
    assert (400, {"error": alone}) == (single.status, single.json)
    assert [(400, {"error": among_others})] * 2 == [(batch.status, batch.json) for batch in batches]
    assert (await caller.rest(token, "/exists/first/last")).json == {"result": 0}


@pytest.mark.parametrize("element", ["GET", 1, None, {"a": 1}])
async def test_element_that_is_no_command_is_named(caller: Caller, token: str, element: Any) -> None:
    """
    An element of a pipeline that is not an array is 400 with its index.
    """
    response = await caller.rest(token, "/pipeline", method="POST", json=[["PING"], element])

    text = "ERR failed to parse command: expected JSON array (command at index 1)"
    assert (400, {"error": text}) == (response.status, response.json)


async def test_refused_command_does_not_stop_a_pipeline(caller: Caller, token: str) -> None:
    """
    A command that is refused or fails has an error in its place. The others are run.
    """
    body = [["SET", "a", "1"], ["BLPOP", "l", 0], ["MULTI"], ["LPUSH", "a", "x"], ["NONSENSE"], ["INCR", "a"], ["EXEC"]]

    response = await caller.rest(token, "/pipeline", method="POST", json=body)

    texts = [item.get("error", item.get("result")) for item in response.json]
    assert response.status == 200
    assert ["OK", 2] == [texts[0], texts[5]]
    for index, name in {1: "BLPOP", 2: "MULTI", 6: "EXEC"}.items():
        assert texts[index] == f'ERR Command "{name}" is not allowed in REST or it has a special context path'
    assert texts[3].startswith("WRONGTYPE ")
    assert texts[4].startswith("ERR ")


async def test_pipeline_of_refused_commands(caller: Caller, token: str) -> None:
    """
    A pipeline in which nothing can be run still has one error for each command.
    """
    response = await caller.rest(token, "/pipeline", method="POST", json=[["WATCH", "a"], ["HELLO", "3"]])

    assert response.status == 200
    assert ["error", "error"] == [next(iter(item)) for item in response.json]


@pytest.mark.parametrize("command", [["BLPOP", "l", "0"], ["EXEC"], ["WATCH", "a"], ["NONSENSE"], ["GET"]])
async def test_refused_command_discards_a_transaction(caller: Caller, token: str, command: list[str]) -> None:
    """
    If one command is refused or unknown, none is run, and the error says which one it was.
    """
    body = [["SET", "a", "1"], command, ["SET", "a", "2"]]

    response = await caller.rest(token, "/multi-exec", method="POST", json=body)

    assert response.status == 400
    assert response.json["error"].startswith("ERR ")
    assert response.json["error"].endswith(f" (command at index 1, '{command[0]}')")
    assert (await caller.rest(token, "/exists/a")).json == {"result": 0}


async def test_failed_command_does_not_undo_a_transaction(caller: Caller, token: str) -> None:
    """
    As in Redis, a command that fails while a transaction is run has an error, and the others have results.
    """
    body = [["SET", "a", "x"], ["INCR", "a"], ["GET", "a"]]

    response = await caller.rest(token, "/multi-exec", method="POST", json=body)

    expected = [{"result": "OK"}, {"error": "ERR value is not an integer or out of range"}, {"result": "x"}]
    assert (200, expected) == (response.status, response.json)


@pytest.mark.parametrize("body", [b"", b" \n"])
async def test_missing_body_is_named(caller: Caller, token: str, body: bytes) -> None:
    """
    A pipeline without a body is 400.
    """
    response = await caller.rest(token, "/pipeline", method="POST", data=body)

    assert (400, {"error": "ERR failed to parse request body: EOF"}) == (response.status, response.json)


async def test_pipeline_has_a_maximum_length(caller: Caller, token: str) -> None:
    """
    More commands than the maximum are 400, and none is run.
    """
    response = await caller.rest(token, "/pipeline", method="POST", json=[["INCR", "a"]] * 10_001)

    assert response.status == 400
    assert response.json == {"error": "ERR too many commands: 10001, the maximum is 10000"}
    assert (await caller.rest(token, "/get/a")).json == {"result": None}


async def test_script_that_is_not_loaded_is_noscript(caller: Caller, token: str) -> None:
    """
    EVALSHA of an unknown script has the text that clients match to load it.
    """
    response = await caller.rest(token, "/evalsha/" + "0" * 40 + "/0")

    assert (400, {"error": "NOSCRIPT No matching script. Please use EVAL."}) == (response.status, response.json)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no limit")
async def test_record_has_a_maximum_size(caller: Caller, token: str) -> None:
    """
    A string cannot grow beyond the documented maximum, however small the request is.
    """
    largest = await caller.rest(token, f"/setrange/a/{100 * 1024 * 1024 - 1}/x")
    larger = await caller.rest(token, "/append/a/x")
    await caller.rest(token, "/del/a")

    assert largest.json == {"result": 100 * 1024 * 1024}
    assert larger.status == 400
    assert larger.json["error"].startswith("ERR max single record size exceeded. See https://upstash.com/docs/redis/")


@pytest.mark.parametrize("command", [["SETRANGE", "a", "9" * 5000, "x"], ["SETBIT", "a", "9" * 5000, "1"]])
async def test_offset_that_is_no_64_bit_integer_is_an_error(caller: Caller, token: str, command: list[str]) -> None:
    """
    An offset with thousands of digits has the server's own error.
    """
    response = await caller.rest(token, method="POST", json=command)

    assert 400 == response.status
    assert "is not an integer or out of range" in response.json["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no scripts")
@pytest.mark.parametrize("kind", ["status_reply", "error_reply"])
async def test_status_or_error_of_any_length_is_returned(caller: Caller, token: str, kind: str) -> None:
    """
    What a script returns on one line may be longer than the buffer of the connection to the server.
    """
    script = f"return redis.{kind}('ERR ' .. string.rep('x', 300000))"

    (response,) = (await caller.rest(token, "/pipeline", method="POST", json=[["EVAL", script, "0"]])).json

    assert ["ERR " + "x" * 300_000] == list(response.values())


async def test_long_name_is_shortened_in_errors(caller: Caller, token: str) -> None:
    """
    A message does not repeat a whole argument that was sent as the command's name.
    """
    response = await caller.rest(token, method="POST", json=["x" * 100_000, None])

    assert response.status == 400
    assert len(response.json["error"]) < 200
