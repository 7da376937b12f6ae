"""A refused navigation, and a sign-in through a forwarded port, in a real browser."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect
from yarl import URL

from tests.support.browser import overflowing_elements, violations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from tests.support.browser import Console
    from tests.support.world import World


@contextlib.asynccontextmanager
async def forwarded(port: int) -> AsyncIterator[int]:
    """Forward a free port to ``port``, as ``ssh -L`` does, and yield it."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_server(forward, "localhost", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_refused_navigation_is_a_page(world: World, page: Page, console: Console) -> None:
    """It is accessible, fits on a phone, and leads to the start page."""
    console.expect("404")
    await page.set_viewport_size({"width": 320, "height": 640})
    await page.goto(f"http://localhost:{world.port}/nothing/here")

    await expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
    assert [] == [*await violations(page), *await overflowing_elements(page)]
    await page.get_by_role("link", name="Go to the start page").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("upstash-helper is running")


async def test_sign_in_through_a_forwarded_port(world: World, page: Page) -> None:
    """The user has changed the port in the address bar. The sign-in is completed, and the page says so."""
    started = await world.start()
    address = URL(await world.sign_in(started))

    async with forwarded(world.port) as port:
        await page.goto(str(address.with_port(port)))
        heading = await page.get_by_role("heading", level=1).text_content()
        text = await page.locator("main").text_content() or ""
    ended = await world.settled(started["attempt_id"])

    assert "The sign-in has reached the helper" == heading
    assert f"ssh -L {world.port}:localhost:{world.port}" in text
    assert ("succeeded", []) == (ended["state"], await violations(page))
