"""Timeouts of blocking commands: an idle server wakes up only once a second."""

from __future__ import annotations

import asyncio
import statistics
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import Caller
from tests.sandbox.gateway_clients import Raw, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no gateway")

EARLY = 0.6
"""Seconds. Without being woken, the server notices a timeout up to a second later, half a second on average."""
TRIES = 5


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.fixture
async def raw(database: dict[str, Any]) -> AsyncIterator[Raw]:
    """An authenticated connection to the database."""
    async with Raw.opened(database) as raw:
        raw.send(encode("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"))
        await raw.line()
        yield raw


async def elapsed(action: Callable[[], Awaitable[object]]) -> float:
    """Return the median of how long an action takes."""
    loop = asyncio.get_running_loop()
    times = []
    for _ in range(TRIES):
        started = loop.time()
        await action()
        times.append(loop.time() - started)
    return statistics.median(times)


@pytest.mark.parametrize(
    "command",
    [
        "BLPOP none 0.1",
        "BRPOP none other 0.1",
        "BLMOVE none other LEFT RIGHT 0.1",
        "BRPOPLPUSH none other 0.1",
        "BZPOPMIN none 0.1",
        "BZPOPMAX none 0.1",
        "BLMPOP 0.1 1 none LEFT",
        "BZMPOP 0.1 1 none MIN",
        "XREAD BLOCK 100 STREAMS stream $",
        "xread count 1 block 100 streams block 0",
        "XREADGROUP GROUP group me BLOCK 100 STREAMS stream >",
        "WAIT 1 100",
    ],
)
async def test_blocking_command_ends_at_its_timeout(raw: Raw, command: str) -> None:
    """
    A blocking command returns after its timeout, not with the next tick of the server's timer.
    """

    async def block() -> None:
        raw.send(encode(*command.split()))
        assert await raw.line() in {b"*-1\r\n", b"$-1\r\n", b":0\r\n"}

    assert 0.09 < await elapsed(block) < EARLY - 0.2


async def test_blocking_commands_in_a_pipeline(raw: Raw) -> None:
    """
    Each blocking command of a pipeline has its own timeout, which begins when the one before it has ended.
    """

    async def block() -> None:
        raw.send(encode("PING") + encode("BLPOP", "none", "0.1") * 2 + encode("BLPOP", "list", "0.1") + encode("PING"))
        assert await raw.lines(5) == [b"+PONG\r\n", *[b"*-1\r\n"] * 3, b"+PONG\r\n"]

    assert 0.29 < await elapsed(block) < EARLY


async def test_command_behind_one_without_a_timeout(database: dict[str, Any], raw: Raw) -> None:
    """
    A timeout begins when a command before it, which has none, has ended.
    """
    async with Raw.opened(database) as other:

        async def block() -> None:
            raw.send(encode("BLPOP", "list", "0") + encode("BLPOP", "none", "0.1"))
            other.send(encode("RPUSH", "list", "x"))
            await other.line()
            assert (await raw.lines(6))[-1] == b"*-1\r\n"

        assert 0.09 < await elapsed(block) < EARLY


async def test_blocking_commands_over_rest(caller: Caller, database: dict[str, Any]) -> None:
    """
    Over REST, alone and in a pipeline, timeouts of the only command that can block there are as exact.
    """
    token = database["rest_token"]

    async def block() -> None:
        body = [["WAIT", 1, 100], ["PING"], ["WAIT", 1, 100]]
        response = await caller.rest(token, "/pipeline", method="POST", json=body)
        assert [{"result": 0}, {"result": "PONG"}, {"result": 0}] == response.json

    assert 0.19 < await elapsed(block) < EARLY


async def test_element_ends_the_wait(database: dict[str, Any], raw: Raw) -> None:
    """
    A blocking command returns as soon as there is an element, and later commands are in order.
    """
    raw.send(encode("BLPOP", "list", "30") + encode("PING"))
    async with Raw.opened(database) as other:
        other.send(encode("RPUSH", "list", "x"))

        assert await raw.lines(6) == [b"*2\r\n", b"$4\r\n", b"list\r\n", b"$1\r\n", b"x\r\n", b"+PONG\r\n"]


async def test_blocking_commands_in_a_transaction_do_not_block(raw: Raw) -> None:
    """
    In a transaction, a blocking command returns at once, as in Redis.
    """
    raw.send(encode("MULTI") + encode("BLPOP", "none", "30") + encode("EXEC"))

    assert await raw.lines(4) == [b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n", b"*-1\r\n"]


@pytest.mark.parametrize("seconds", ["nan", "-1", "x", ""])
async def test_invalid_timeout_is_the_servers_error(raw: Raw, seconds: str) -> None:
    """
    An invalid timeout has the server's error, and the connection can be used.
    """
    raw.send(encode("BLPOP", "none", seconds) + encode("PING"))

    error, pong = await raw.lines(2)

    assert error.startswith(b"-ERR timeout ")
    assert pong == b"+PONG\r\n"
