"""`JSON.*` through the REST API and over TCP, with Upstash's clients and redis-py used unchanged."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as redis
from redis.exceptions import NoPermissionError, ResponseError
from upstash_redis.asyncio import Redis as UpstashRedis
from upstash_redis.errors import UpstashError

from tests.support.npm import run_program
from upstash_helper.sandbox.redis.backend import find_valkey

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller

DOCUMENT: dict[str, Any] = {
    "int": 1,
    "text": "a",
    "flag": True,
    "array": [1, 2, 3, 4],
    "object": {"int": 2, "text": "b", "array": [5, 6, 7], "flag": False},
}


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database, on Valkey."""
    try:
        find_valkey()
    except LookupError as reason:
        pytest.skip(f"platform: {reason}")
    return await caller.create()


async def test_upstash_redis_for_python_has_json(caller: Caller, database: dict[str, Any]) -> None:
    """
    Each method of `.json` in `upstash-redis` works, with the results that it has at Upstash.
    """
    async with UpstashRedis(url=caller.sandbox.rest_url, token=database["rest_token"]) as client:
        made = await client.json.set("k", "$", DOCUMENT), await client.json.set("k", "$", DOCUMENT, nx=True)
        reads = [
            await client.json.get("k"),
            await client.json.get("k", "$.array", "$.int"),
            await client.json.get("k", "$..array"),
            await client.json.get("k", "$.nowhere"),
            await client.json.get("missing"),
            await client.json.mget(["k", "missing"], "$..int"),
            await client.json.type("k", "$..int"),
            await client.json.arrlen("k", "$..array"),
            await client.json.arrindex("k", "$..array", 6),
            await client.json.objlen("k", "$.object"),
            await client.json.objkeys("k", "$.object"),
            await client.json.strlen("k", "$..text"),
            await client.json.resp("k", "$.array"),
        ]
        writes = [
            await client.json.arrappend("k", "$..array", 8, "nine", [10], {"eleven": None}),
            await client.json.arrinsert("k", "$.array", 0, "first"),
            await client.json.arrpop("k", "$..array", 0),
            await client.json.arrtrim("k", "$..array", 0, 1),
            await client.json.numincrby("k", "$..int", 2),
            await client.json.nummultby("k", "$..int", 2),
            await client.json.strappend("k", "$..text", "z"),
            await client.json.toggle("k", "$..flag"),
            await client.json.merge("k", "$", {"text": None, "new": {"a": 1}}),
            await client.json.clear("k", "$.new"),
            await client.json.mset([("k", "$.set", [1]), ("l", "$", "text")]),
            await client.json.delete("k", "$.object.flag"),
            await client.json.forget("k", "$.flag"),
        ]
        with pytest.raises(UpstashError, match="does not exist"):
            await client.json.set("k", "$.nowhere.deeper", 1)
        after = await client.json.get("k", "."), await client.json.get("l", ".")

    assert (True, False) == made
    assert [
        [DOCUMENT],
        {"$.array": [[1, 2, 3, 4]], "$.int": [1]},
        [[5, 6, 7], [1, 2, 3, 4]],
        [],
        None,
        [[2, 1], None],
        ["integer", "integer"],
        [3, 4],
        [1, -1],
        [4],
        [["int", "text", "array", "flag"]],
        [1, 1],
        [["[", 1, 2, 3, 4]],
    ] == reads
    assert [
        [7, 8],
        [9],
        [5, "first"],
        [2, 2],
        [4, 3],
        [8, 6],
        [2, 2],
        [True, False],
        True,
        1,
        True,
        1,
        1,
    ] == writes
    assert (
        {"int": 6, "array": [1, 2], "object": {"int": 8, "text": "bz", "array": [6, 7]}, "new": {}, "set": [1]},
        "text",
    ) == after


async def test_upstash_redis_for_javascript_has_json(caller: Caller, database: dict[str, Any]) -> None:
    """
    Each method of `redis.json` in `@upstash/redis` works, also in pipelines and transactions.
    """
    *results, denied = await run_program(
        "upstash_redis_json",
        REST_URL=caller.sandbox.rest_url,
        REST_TOKEN=database["rest_token"],
        READ_ONLY_TOKEN=database["read_only_rest_token"],
        DOCUMENT=json.dumps(DOCUMENT),
    )

    assert [
        "OK",
        None,
        "OK",
        [DOCUMENT],
        DOCUMENT,
        [[1, 2, 3, 4]],
        {"$..int": [2, 1], "$..text": ["b", "a"]},
        [[2, 1], None],
        ["boolean", "boolean"],
        [6, 7],
        [4, 5],
        [8],
        [6, 8],
        [5, "first"],
        [2, 2],
        [4, 3],
        [8, 6],
        [2, 2],
        [2, 2],
        [1, 0],
        "OK",
        1,
        [["int", "text", "array", "flag"]],
        [4],
        [["[", 1, 2]],
        "OK",
        1,
        1,
        "json",
        ["k", "l"],
        ["OK", [2], [{"a": 2}]],
        ["OK", [2], [{"a": 2}]],
        [6],
    ] == results
    assert "NOPERM" in denied
    assert "'json.set'" in denied


@pytest.mark.parametrize("protocol", [2, 3])
async def test_redis_py_has_json(database: dict[str, Any], protocol: int) -> None:
    """
    Over TCP, `.json()` of redis-py works with both versions of the protocol.
    """
    async with redis.Redis(
        host=database["endpoint"], port=database["port"], password=database["password"], protocol=protocol
    ) as client:
        document = client.json()
        stored = await document.set("k", "$", DOCUMENT)
        values = await document.get("k"), await document.get("k", "$..int", "$..text")
        changed = await document.arrappend("k", "$..array", 8), await document.toggle("k", "$.flag")
        popped = await document.arrpop("k", ".array")
        kind = await client.type("k")

    assert stored
    assert (DOCUMENT, {"$..int": [2, 1], "$..text": ["b", "a"]}) == values
    assert ([4, 5], [0]) == changed
    assert 8 == popped
    assert b"json" == kind


@pytest.mark.parametrize("protocol", [2, 3])
async def test_transaction_over_tcp_has_json(database: dict[str, Any], protocol: int) -> None:
    """
    In a transaction, a command with an invalid value is queued and fails alone, as in Redis.
    """
    connecting: Any = redis.Redis(
        host=database["endpoint"], port=database["port"], password=database["password"], protocol=protocol
    )
    async with connecting as client:
        await client.execute_command("JSON.SET", "k", "$", json.dumps(DOCUMENT))
        async with client.pipeline(transaction=True) as pipeline:
            pipeline.execute_command("JSON.NUMINCRBY", "k", "$.int", "1")
            pipeline.set("text", "x")
            pipeline.execute_command("JSON.ARRAPPEND", "k", "$.array", "{")
            pipeline.execute_command("JSON.GET", "k", "$.int")
            increased, stored, failed, read = await pipeline.execute(raise_on_error=False)
        with pytest.raises(ResponseError, match=r"wrong number of arguments for 'json\.get' command"):
            await client.execute_command("JSON.GET")

    assert (b"[2]", True, b"[2]") == (increased, stored, read)
    assert isinstance(failed, ResponseError)
    assert "double quotes" in str(failed)


async def test_read_only_client_can_only_read(database: dict[str, Any], caller: Caller) -> None:
    """
    Over TCP and over REST, the read-only user is refused by the name of the command that it sent.
    """
    await caller.run(database, "JSON.SET", "k", "$", "[1]")
    connecting: Any = redis.Redis(
        host=database["endpoint"],
        port=database["port"],
        username="default_ro",
        password=database["read_only_rest_token"],
    )
    async with connecting as reader:
        read = await reader.execute_command("JSON.GET", "k")
        with pytest.raises(NoPermissionError, match=r"'json\.arrappend'"):
            await reader.execute_command("JSON.ARRAPPEND", "k", "$", "2")

    assert b"[1]" == read
    denied = await caller.rest(
        database["read_only_rest_token"], "/pipeline", method="POST", json=[["JSON.GET", "k"], ["JSON.DEL", "k"]]
    )
    assert {"result": "[1]"} == denied.json[0]
    assert "'json.del'" in denied.json[1]["error"]


async def test_rest_api_has_json(caller: Caller, database: dict[str, Any]) -> None:
    """
    Commands in a path, a body, a pipeline, and a transaction reply as at Upstash. An invalid value fails on its own.
    """
    token = database["rest_token"]

    single = await caller.rest(token, "/json.set/k/$", method="POST", data=b'{"a": 1}')
    piped = await caller.rest(
        token, "/pipeline", method="POST", json=[["JSON.GET", "k", "$.a"], ["JSON.SET", "k", "$", "{"], ["JSON.GET"]]
    )
    together = await caller.rest(
        token, "/multi-exec", method="POST", json=[["JSON.NUMINCRBY", "k", "$.a", 1], ["JSON.SET", "k", "$.b", "x"]]
    )
    aborted = await caller.rest(token, "/multi-exec", method="POST", json=[["JSON.CLEAR", "k"], ["JSON.GET"]])

    assert {"result": "OK"} == single.json
    assert [
        {"result": "[1]"},
        {"error": "ERR expecting property name enclosed in double quotes at line 1 column 2"},
        {"error": "ERR wrong number of arguments for 'json.get' command"},
    ] == piped.json
    assert [{"result": "[2]"}, {"error": "ERR expecting value at line 1 column 1"}] == together.json
    assert 400 == aborted.status
    assert '{"a":2}' == await caller.run(database, "JSON.GET", "k")


async def test_users_of_the_database_have_json(caller: Caller, database: dict[str, Any]) -> None:
    """
    A user that clients have made may use the commands if it may read, or read and write. ACL does not show how.
    """
    await caller.run(database, "JSON.SET", "k", "$", "[1]")
    token = await caller.run(database, "ACL", "GENTOKEN", "bob")
    await caller.run(database, "ACL", "SETUSER", "bob", "on", f">{token}", "~*", "+@read", "+@connection")
    connecting: Any = redis.Redis(
        host=database["endpoint"], port=database["port"], username="bob", password=token, protocol=2
    )
    async with connecting as bob:
        read = await bob.execute_command("JSON.GET", "k"), await bob.execute_command("TYPE", "k")
        with pytest.raises(NoPermissionError, match=r"'json\.set'"):
            await bob.execute_command("JSON.SET", "k", "$", "2")
        await caller.run(database, "ACL", "SETUSER", "bob", "+@write")
        written = await bob.execute_command("JSON.SET", "k", "$", "2")
        await caller.run(database, "ACL", "SETUSER", "bob", "-@all", "+get")
        with pytest.raises(NoPermissionError, match=r"'json\.get'"):
            await bob.execute_command("JSON.GET", "k")
        with pytest.raises(NoPermissionError, match="'type'"):
            await bob.execute_command("TYPE", "k")

    shown = json.dumps([await caller.run(database, "ACL", "LIST"), await caller.run(database, "ACL", "GETUSER", "bob")])
    assert ((b"[1]", b"json"), b"OK") == (read, written)
    assert "+get" in shown
    assert "upstash_helper" not in shown
    assert "fcall" not in shown


async def test_functions_of_clients_work(caller: Caller, database: dict[str, Any]) -> None:
    """
    Clients load, list, call, and flush functions of their own, and JSON commands work afterwards.
    """
    code = "#!lua name=mine\nserver.register_function('twice', function(keys, args) return args[1] * 2 end)"

    results = [
        await caller.run(database, *command)
        for command in (
            ("FUNCTION", "LOAD", code),
            ("FCALL", "twice", 0, 21),
            ("FUNCTION", "LIST", "LIBRARYNAME", "*"),
            ("FUNCTION", "FLUSH"),
            ("FUNCTION", "LIST"),
            ("JSON.SET", "k", "$", "1"),
            ("BITOP", "ONE", "d", "missing"),
        )
    ]

    loaded, called, listed, *rest = results
    assert ("mine", 42, ["mine"]) == (loaded, called, [library[1] for library in listed])
    assert ["OK", [], "OK", 0] == rest


async def test_parallel_changes_are_not_lost(caller: Caller, database: dict[str, Any]) -> None:
    """
    Changes are atomic: 50 increments at once add up.
    """
    await caller.run(database, "JSON.SET", "k", "$", '{"n":0}')

    await asyncio.gather(*(caller.run(database, "JSON.NUMINCRBY", "k", "$.n", 1) for _ in range(50)))

    assert "[50]" == await caller.run(database, "JSON.GET", "k", "$.n")


async def test_documents_are_in_backups(caller: Caller, database: dict[str, Any]) -> None:
    """
    Restoring a backup brings documents back, and the commands work afterwards.
    """
    await caller.run(database, "JSON.SET", "k", "$", '{"a":1}')
    name = database["database_id"]
    made = await caller.call("POST", f"create-backup/{name}", {"name": "b"})
    assert 200 == made.status, made.body
    backups = (await caller.call("GET", f"list-backup/{name}")).json
    await caller.run(database, "JSON.SET", "k", "$", "2")

    restored = await caller.call("POST", f"restore-backup/{name}", {"backup_id": backups[0]["backup_id"]})

    assert 200 == restored.status, restored.body
    assert '{"a":1}' == await caller.run(database, "JSON.GET", "k")
    assert "[2]" == await caller.run(database, "JSON.NUMINCRBY", "k", "$.a", 1)
