"""redis-py, ioredis, and node-redis, used unchanged with a database of the sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tests.support.npm import run_program

PYTHON_SECONDS = 60


@pytest.mark.parametrize("protocol", [2, 3])
async def test_redis_py(redis_url: str, protocol: int) -> None:
    """
    redis-py can pipeline, watch keys, run scripts, subscribe, block, and lock, in both versions of the protocol.
    """
    async with (
        asyncio.timeout(PYTHON_SECONDS),
        Redis.from_url(redis_url, protocol=protocol, decode_responses=True) as client,
        client.pubsub() as subscription,
        client.lock("lock", timeout=60) as lock,
    ):
        assert await client.set("name", "Ada")
        pipeline: Any = client.pipeline(transaction=True)
        async with pipeline:
            replies = await pipeline.incr("n").incrby("n", 41).execute()
        watching: Any = client.pipeline()
        async with watching:
            await watching.watch("n")
            await client.set("n", "changed")
            watching.multi()
            watching.get("n")
            with pytest.raises(redis.WatchError):
                await watching.execute()
        script = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        sums = await script(keys=["sum"], args=[40]), await script(keys=["sum"], args=[2])
        await subscription.subscribe("news")
        await subscription.psubscribe("new*")
        while (await subscription.get_message(timeout=None) or {})["type"] != "psubscribe":
            pass
        await client.publish("news", "hello")
        messages = [await subscription.get_message(timeout=None) for _ in range(2)]
        await client.rpush("queue", "job")
        popped = await client.blpop(["queue"], timeout=60), await client.blpop(["queue"], timeout=0.05)
        keys = sorted([key async for key in client.scan_iter(match="*", count=1)])
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            await client.lpush("name", "no")
        owned = await lock.owned()

    assert [1, 42] == replies
    assert (40, 42) == sums
    assert [("message", "hello"), ("pmessage", "hello")] == [(one["type"], one["data"]) for one in messages if one]
    assert (["queue", "job"], None) == (list(popped[0] or ()), popped[1])
    assert ["lock", "n", "name", "sum"] == keys
    assert owned


async def test_wrong_password_is_refused(redis_url: str, database: dict[str, Any]) -> None:
    """
    A client with a wrong password gets Redis's own error.
    """
    async with Redis.from_url(redis_url.replace(database["password"], "wrong")) as client:
        with pytest.raises(redis.AuthenticationError):
            await client.ping()


async def test_ioredis(variables: dict[str, str]) -> None:
    """
    The client can pipeline, watch keys, run scripts, scan, subscribe, block, and read streams.
    """
    results = await run_program("ioredis", **variables)

    assert {
        "strings": ["OK", "Ada", 41],
        "hash": {"a": "1", "b": "two"},
        "binary": [0, 255, 10],
        "pipeline": [42, "WRONGTYPE", None],
        "transaction": [[None, "OK"], [None, 42]],
        "watch": None,
        "script": [40, 42],
        "scan": ["scan:1", "scan:2", "scan:3"],
        "publish": [2, ["news", "hello"], ["new*", "news", "hello"]],
        "blocking": [["queue", "job"], None],
        "stream": [["stream", [["1-1", ["field", "value"]]]]],
        "acknowledged": 1,
        "error": "WRONGTYPE Operation against a key holding the wrong kind of value",
        "autoPipelining": ["OK", "1", 2],
        "places": ["Berlin", "Munich"],
        "wrongPassword": "WRONGPASS",
    } == results


async def test_node_redis(variables: dict[str, str]) -> None:
    """
    node-redis works the same in both versions of the protocol, and with a pool of connections.
    """
    results = await run_program("node_redis", **variables)

    pool = results.pop("pool")
    assert ["1", "2", "3", "4", "5"] == pool
    assert {"resp2", "resp3"} == set(results)
    for answers in results.values():
        assert {
            "strings": ["OK", "Ada"],
            "hash": {"a": "1", "b": "two"},
            "sorted": [{"value": "a", "score": 1}, {"value": "b", "score": 2.5}],
            "pipelined": [1, 2, None],
            "transaction": ["OK", 42],
            "script": [40, 42],
            "found": ["scores", "sum"],
            "heard": ["news", "hello"],
            "blocking": {"key": "queue", "element": "job"},
            "streams": [{"name": "stream", "messages": [{"id": "1-1", "message": {"field": "value"}}]}],
            "error": "WRONGTYPE Operation against a key holding the wrong kind of value",
            "typed": True,
        } == answers
