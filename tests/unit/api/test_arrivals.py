"""Connections that wait for a place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from upstash_helper.api.server.arrivals import BEGUN_AT_ONCE, Arrival, Arrivals

if TYPE_CHECKING:
    from typing import Any

ANSWER = b"served\n"


async def test_failure_for_one_connection_does_not_affect_the_others() -> None:
    """
    If a connection cannot be given its place because of a bug, it is closed, and those behind it get theirs.
    """
    begun = 0

    def begin(arrival: Arrival) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            raise RuntimeError
        assert arrival.transport is not None
        arrival.transport.write(ANSWER)
        arrival.transport.close()

    arrivals = Arrivals(
        begin=begin, changed=lambda: None, is_other_user=lambda *_: False, limit=64, others=lambda: True,
        idle_seconds=30.0,
    )  # fmt: skip
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    async with await loop.create_server(lambda: Arrival(arrivals), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(_answer(port) for _ in range(2 * BEGUN_AT_ONCE)))

    assert [b"", *(2 * BEGUN_AT_ONCE - 1) * [ANSWER]] == sorted(answers)
    assert ["RuntimeError"] == [type(failure["exception"]).__name__ for failure in failures]
    assert 0 == len(arrivals)


async def _answer(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
