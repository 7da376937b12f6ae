"""Upstash's published client libraries, used unchanged with the sandbox."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis
from upstash_redis.errors import UpstashError

from tests.support.npm import installed_package

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.callers import Caller

SCRIPT = """
import { Redis } from "@upstash/redis";
const redis = new Redis({ url: process.env.URL, token: process.env.TOKEN });
const out = {};
out.set = await redis.set("name", "Ada", { ex: 100 });
out.get = await redis.get("name");
await redis.set("object", { born: 1815, tags: ["é", "math"] });
out.object = await redis.get("object");
await redis.hset("hash", { a: 1, b: "two" });
out.hash = await redis.hgetall("hash");
out.pipeline = await redis.pipeline().incr("n").incr("n").get("none").exec();
out.multi = await redis.multi().set("m", "1").incrby("m", 41).exec();
out.scan = (await redis.scan(0, { count: 100 }))[1].sort();
const reader = new Redis({ url: process.env.URL, token: process.env.READ_ONLY });
out.reads = await reader.get("name");
try { await reader.set("name", "Eve"); } catch (error) { out.denied = error.message; }
console.log(JSON.stringify(out));
"""


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


async def test_upstash_redis_for_javascript(caller: Caller, tmp_path: Path) -> None:
    """
    `@upstash/redis` from npm can set, read, pipeline, and run transactions, also with objects.
    """
    modules = await installed_package()
    database = await caller.create()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "job.mjs").write_text(SCRIPT)

    process = await asyncio.create_subprocess_exec(
        "node",
        "job.mjs",
        cwd=tmp_path,
        env={
            **os.environ,
            "URL": caller.sandbox.rest_url,
            "TOKEN": database["rest_token"],
            "READ_ONLY": database["read_only_rest_token"],
            "UPSTASH_DISABLE_TELEMETRY": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    results = json.loads(out)
    denied = results.pop("denied")
    assert {
        "set": "OK",
        "get": "Ada",
        "object": {"born": 1815, "tags": ["é", "math"]},
        "hash": {"a": 1, "b": "two"},
        "pipeline": [1, 2, None],
        "multi": ["OK", 42],
        "scan": ["hash", "m", "n", "name", "object"],
        "reads": "Ada",
    } == results
    assert "NOPERM" in denied
