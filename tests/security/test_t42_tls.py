"""T42: a client that asks for https on the port, with a real TLS library."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tests.support.rawhttp import connected
from tests.support.tls import tls_hello

if TYPE_CHECKING:
    import pytest

    from tests.support.world import World


async def test_t42_tls_is_closed_at_once(world: World) -> None:
    """A browser that insists on https is not kept waiting; whoever speaks http is served as before."""
    took = await tls_hello(world.settings.port)

    assert took < 1
    assert 200 == (await world.get("/health", token=None)).status


async def test_t42_a_hello_that_comes_in_pieces_is_closed_as_well(world: World) -> None:
    """Its first byte is no HTTP either."""
    async with connected(world.settings.port) as connection:
        await connection.send(b"\x16")
        [answer] = await connection.until_closed()

    assert 400 == answer.status


async def test_t42_the_owner_is_told_how_often_and_what_to_do(world: World) -> None:
    """The status says nothing as long as nothing happened, then what was seen and how to clear it."""
    before = (await world.get("/v1/daemon")).json["hints"]
    for _ in range(2):
        await tls_hello(world.settings.port)

    [hint] = (await world.get("/v1/daemon")).json["hints"]

    assert [] == before
    assert "https_forced" == hint["code"]
    assert "2 times" in hint["detail"]
    assert "HSTS" in hint["detail"]
    assert "chrome://net-internals/#hsts" in hint["detail"]


async def test_t42_the_log_says_it_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """However often a browser tries, the log has one line of it."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await tls_hello(world.settings.port)

    told = [record for record in caplog.records if record.msg == "tls_on_plain_port"]
    assert 1 == len(told)
