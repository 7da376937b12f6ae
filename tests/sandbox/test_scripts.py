"""Lua scripts with the flag that only Upstash knows."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as redis
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

from tests.sandbox.callers import Caller

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: fakeredis knows no flags")

SCRIPT = "#!lua flags=allow-key-locking\nreturn redis.call('INCRBY', KEYS[1], ARGV[1])"
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
async def client(request: pytest.FixtureRequest, database: dict[str, Any]) -> AsyncIterator[redis.Redis]:
    """A client of the database."""
    async with redis.Redis(port=database["port"], password=database["password"], protocol=request.param) as client:
        yield client


async def test_script_is_known_by_the_digest_of_its_own_text(client: redis.Redis) -> None:
    """
    EVAL, EVALSHA, SCRIPT LOAD, and SCRIPT EXISTS use the SHA-1 of the script as the client has it.
    """
    with pytest.raises(NoScriptError):
        await client.evalsha(SHA, 1, "n", "1")
    assert [False] == await client.script_exists(SHA)

    assert await client.eval(SCRIPT, 1, "n", "5") == 5
    assert await client.evalsha(SHA, 1, "n", "5") == 10
    assert await client.evalsha(SHA.upper(), 1, "n", "5") == 15
    assert [True, False] == await client.script_exists(SHA, "0" * 40)
    assert SHA == await client.script_load(SCRIPT)
    assert await client.script_flush()
    with pytest.raises(NoScriptError):
        await client.evalsha(SHA, 1, "n", "5")
    assert SHA == await client.script_load(SCRIPT)
    assert await client.evalsha(SHA, 1, "n", "5") == 20


async def test_user_without_the_right_does_not_flush_scripts(client: redis.Redis, database: dict[str, Any]) -> None:
    """
    SCRIPT FLUSH of the read-only user is denied, and the scripts are still known.
    """
    await client.script_load(SCRIPT)
    reader = redis.Redis(
        port=database["port"], username="default_ro", password=database["read_only_rest_token"], protocol=2
    )

    async with reader:
        with pytest.raises(NoPermissionError):
            await reader.script_flush()

    assert await client.evalsha(SHA, 1, "n", "5") == 5


async def test_missing_script_has_upstashs_text(caller: Caller, database: dict[str, Any]) -> None:
    """
    EVALSHA of an unknown script fails with the text that Upstash's clients know.
    """
    response = await caller.rest(database["rest_token"], f"/evalsha/{SHA}/0")

    assert (400, {"error": "NOSCRIPT No matching script. Please use EVAL."}) == (response.status, response.json)


async def test_other_flags_are_kept(client: redis.Redis) -> None:
    """
    Only `allow-key-locking` is removed: a script with `no-writes` still cannot write, and an unknown flag is an error.
    """
    writes = "#!lua flags=no-writes,allow-key-locking\nreturn redis.call('SET', KEYS[1], 'x')"
    reads = "#!lua flags=allow-key-locking,no-writes\nreturn redis.call('GET', KEYS[1])"
    unknown = "#!lua flags=allow-key-locking,nonsense\nreturn 1"
    await client.set("name", "Ada")

    assert await client.eval_ro(reads, 1, "name") == b"Ada"
    with pytest.raises(ResponseError, match="Write commands are not allowed"):
        await client.eval(writes, 1, "name")
    with pytest.raises(ResponseError, match="nonsense"):
        await client.eval(unknown, 0)


async def test_numbers_of_lines_in_errors_do_not_change(client: redis.Redis) -> None:
    """
    An error in a script names the line that it has in the client's text.
    """
    with pytest.raises(ResponseError, match=r"user_script:3"):
        await client.eval("#!lua flags=allow-key-locking\n\nreturn nonsense()", 0)


async def test_scripts_in_a_transaction(client: redis.Redis) -> None:
    """
    In a transaction, the reply to SCRIPT LOAD is converted inside of EXEC's reply, and the other replies are unchanged.
    """
    pipeline: Any
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.set("n", 1)
        pipeline.script_load(SCRIPT)
        pipeline.evalsha(SHA, 1, "n", "5")
        pipeline.get("none")
        replies = await pipeline.execute()

    assert [True, 6, None] == [replies[0], *replies[2:]]
    assert SHA in {replies[1], replies[1].decode() if isinstance(replies[1], bytes) else ""}


async def test_scripts_over_rest(caller: Caller, database: dict[str, Any]) -> None:
    """
    Over REST, scripts with the flag work alone, in a pipeline, and in a transaction.
    """
    token = database["rest_token"]
    commands = [["SCRIPT", "LOAD", SCRIPT], ["EVALSHA", SHA, 1, "n", 2], ["EVAL", SCRIPT, 1, "n", 2]]

    alone = [(await caller.rest(token, method="POST", json=command)).json["result"] for command in commands]
    pipeline = (await caller.rest(token, "/pipeline", method="POST", json=commands)).json
    transaction = (await caller.rest(token, "/multi-exec", method="POST", json=commands)).json

    assert [SHA, 2, 4] == alone
    assert [SHA, 6, 8] == [reply["result"] for reply in pipeline]
    assert [SHA, 10, 12] == [reply["result"] for reply in transaction]
