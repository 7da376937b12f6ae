"""`@upstash/redis` and `upstash-redis`, used unchanged with the sandbox."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError

from tests.support.npm import run_program

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller


async def test_upstash_redis_for_python(caller: Caller) -> None:
    """
    `upstash-redis` from PyPI can set, read, pipeline, and run transactions, with typed results.
    """
    database = await caller.create()

    async with AsyncRedis(url=caller.sandbox.rest_url, token=database["rest_token"]) as client:
        stored = await client.set("name", "Adaé", ex=100)
        await client.hset("hash", values={"a": 1, "b": "two"})
        values = await client.get("name"), await client.hgetall("hash"), await client.ttl("name") > 90
        pipeline = client.pipeline()
        pipeline.incr("n")
        pipeline.get("none")
        pipelined = await pipeline.exec()
        transaction = client.multi()
        transaction.set("m", "1")
        transaction.incrby("m", 41)
        results = await transaction.exec()

    assert bool(stored)
    assert ("Adaé", {"a": "1", "b": "two"}, True) == values
    assert [1, None] == pipelined
    assert [True, 42] == results


async def test_upstash_redis_for_python_without_asyncio(caller: Caller) -> None:
    """
    The synchronous client works too, and a write with the read-only token raises its own error.
    """
    database = await caller.create()

    def work() -> Any:
        with Redis(url=caller.sandbox.rest_url, token=database["rest_token"]) as owner:
            owner.set("name", "Ada")
        with Redis(url=caller.sandbox.rest_url, token=database["read_only_rest_token"]) as reader:
            with pytest.raises(UpstashError, match="NOPERM"):
                reader.set("name", "Eve")
            return reader.get("name")

    assert await asyncio.to_thread(work) == "Ada"


async def test_upstash_redis_for_javascript(variables: dict[str, str]) -> None:
    """
    `@upstash/redis` from npm can read and write, pipeline, run scripts and transactions, and subscribe, with objects.
    """
    results = await run_program("upstash_redis", **variables)

    assert {
        "set": "OK",
        "get": "Ada",
        "object": {"born": 1815, "tags": ["é", "math"]},
        "hash": {"a": 1, "b": "two"},
        "scores": ["a", 1, "b", 2.5],
        "pipeline": [1, 2, None],
        "failing": [3, "WRONGTYPE"],
        "multi": ["OK", 42],
        "scan": ["hash", "m", "n", "name", "object", "scores"],
        "script": ["key", "argument"],
        "stream": {"1-1": {"field": "value"}},
        "error": "WRONGTYPE",
        "autoPipelining": [[1, 2, 3], 1],
        "plain": '{"born":1815,"tags":["é","math"]}',
        "receivers": 2,
        "messages": [
            {"channel": "news", "message": {"title": "Emma"}},
            {"channel": "news", "message": {"title": "Emma"}, "pattern": "new*"},
        ],
        "reads": "Ada",
        "denied": True,
    } == results
