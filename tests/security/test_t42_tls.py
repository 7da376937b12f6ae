"""T42: a client that uses https on the port, with a real TLS library."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tests.support.rawhttp import connected
from tests.support.tls import tls_hello

if TYPE_CHECKING:
    import pytest

    from tests.support.world import World


async def test_t42_tls_connection_is_closed_immediately(world: World) -> None:
    """A browser that forces https does not have to wait, and http clients are served as before."""
    took = await tls_hello(world.settings.port)

    assert took < 1
    assert 200 == (await world.get("/health", token=None)).status


async def test_t42_fragmented_client_hello_is_closed(world: World) -> None:
    """The first byte is not valid HTTP either."""
    async with connected(world.settings.port) as connection:
        await connection.send(b"\x16")
        [answer] = await connection.until_closed()

    assert 400 == answer.status


async def test_t42_status_has_a_hint_with_the_number_of_attempts(world: World) -> None:
    """The status has no hint at first, and then shows how often it happened and how to fix it."""
    before = (await world.get("/v1/daemon")).json["hints"]
    for _ in range(2):
        await tls_hello(world.settings.port)

    [hint] = (await world.get("/v1/daemon")).json["hints"]

    assert [] == before
    assert "https_forced" == hint["code"]
    assert "2 times" in hint["detail"]
    assert "HSTS" in hint["detail"]
    assert "chrome://net-internals/#hsts" in hint["detail"]


async def test_t42_tls_is_logged_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """However often a browser tries, the log has one line about it."""
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            await tls_hello(world.settings.port)

    logged = [record for record in caplog.records if record.msg == "tls_on_plain_port"]
    assert 1 == len(logged)
