"""`@upstash/ratelimit` and `upstash-ratelimit`, used unchanged with the sandbox."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from upstash_ratelimit import FixedWindow, Ratelimit, SlidingWindow, TokenBucket
from upstash_ratelimit.asyncio import Ratelimit as AsyncRatelimit
from upstash_redis import Redis
from upstash_redis.asyncio import Redis as AsyncRedis

from tests.support.npm import run_program

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller

LONG = 1000
"""Days. Such a window does not end while the test runs, except once in three years."""

LIMITERS = {
    "fixed window": FixedWindow(max_requests=3, window=LONG, unit="d"),
    "sliding window": SlidingWindow(max_requests=3, window=LONG, unit="d"),
    "token bucket": TokenBucket(max_tokens=3, refill_rate=1, interval=LONG, unit="d"),
}
USED = {
    "answers": [[True, 3, 2], [True, 3, 1], [True, 3, 0], [False, 3, 0], [True, 3, 2]],
    "left": [0, 3],
    "afterReset": True,
}
"""What each algorithm says to four requests of one user, one of another, and another of the first after a reset."""


@pytest.fixture
async def results(caller: Caller, variables: dict[str, str]) -> Any:
    """What the program for JavaScript prints. The second database takes the place of another region."""
    other = await caller.create()
    return await run_program("ratelimit", **variables, OTHER_TOKEN=other["rest_token"])


async def test_ratelimit_for_javascript(results: Any) -> None:
    """
    Every algorithm counts in the database, in one region and in several, and can be waited for and reset.
    """
    algorithms = "fixedWindow", "slidingWindow", "tokenBucket", "fixedWindow in regions", "slidingWindow in regions"
    for name in algorithms:
        assert USED == results[name], name
    assert [True, True, False] == results["cachedFixedWindow"]
    assert "cacheBlock" == results["ephemeralCache"]
    assert [3, False] == results["rate"]
    assert [True, True] == results["blockUntilReady"]
    assert not results["blockUntilTimeout"]
    assert [100, 5, 5, 100] == results["dynamicLimits"]
    assert [
        [True, None, None],
        [False, "denyList", "203.0.113.9"],
        [False, "denyList", "bad-bot"],
        [True, None, None],
        [False, "denyList", "mallory"],
    ] == results["denyList"]
    analytics = results["analytics"]
    assert {"allowed": [{"identifier": "ada", "count": 2}], "ratelimited": []} == {
        name: analytics["top"][name] for name in ("allowed", "ratelimited")
    }
    denied = {"203.0.113.9", "bad-bot", "mallory"}
    assert denied == {one["identifier"] for one in analytics["top"]["denied"]}
    assert {"ada", *denied} == set(analytics["usage"])
    assert {"success": 2, "blocked": 0} == analytics["usage"]["ada"]
    assert {"true": 2, "denied": 3} == _sums(analytics["hours"])


@pytest.mark.parametrize("name", LIMITERS)
async def test_ratelimit_for_python(caller: Caller, database: dict[str, Any], name: str) -> None:
    """
    Every algorithm of `upstash-ratelimit` counts in the database, with and without asyncio.
    """
    limiter, url, token = LIMITERS[name], caller.sandbox.rest_url, database["rest_token"]

    def use() -> list[Any]:
        with Redis(url=url, token=token) as redis:
            limit = Ratelimit(redis=redis, limiter=limiter, prefix="sync")
            answers = [limit.limit("ada") for _ in range(4)]
            reset = limit.get_reset("ada") > time.time()
            waited = limit.block_until_ready("ada", 0.05).allowed
            return [_brief(answers), limit.get_remaining("ada"), limit.limit("eve", rate=2).remaining, reset, waited]

    async with AsyncRedis(url=url, token=token) as redis:
        limit = AsyncRatelimit(redis=redis, limiter=limiter, prefix="async")
        answers = [await limit.limit("ada") for _ in range(4)]
        reset = await limit.get_reset("ada") > time.time()
        waited = (await limit.block_until_ready("ada", 0.05)).allowed
        other = (await limit.limit("eve", rate=2)).remaining
        async_results = [_brief(answers), await limit.get_remaining("ada"), other, reset, waited]

    expected = [[(True, 2), (True, 1), (True, 0), (False, 0)], 0, 1, True, False]
    assert expected == await asyncio.to_thread(use)
    assert expected == async_results


async def test_ratelimit_for_python_waits(caller: Caller, database: dict[str, Any]) -> None:
    """
    A refused request is allowed in the next window.
    """
    window = FixedWindow(max_requests=1, window=300, unit="ms")
    async with AsyncRedis(url=caller.sandbox.rest_url, token=database["rest_token"]) as redis:
        limit = AsyncRatelimit(redis=redis, limiter=window)
        while (refused := await limit.limit("ada")).allowed:
            pass
        allowed = await limit.block_until_ready("ada", 60)

    assert allowed.allowed
    assert time.time() >= refused.reset


def _sums(hours: list[dict[str, int]]) -> dict[str, int]:
    return dict(sum((Counter(hour) for hour in hours), Counter()))


def _brief(answers: list[Any]) -> list[tuple[bool, int]]:
    return [(answer.allowed, answer.remaining) for answer in answers]
