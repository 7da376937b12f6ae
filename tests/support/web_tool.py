"""The example web tool of ``tests/clients/web`` in a browser, and the approval of its access request."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.async_api import Error

from tests.support.browser import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Locator, Page

    from tests.support.world import World

CLIENTS = Path(__file__).parents[1] / "clients"
PORTS = "const PORTS = [3000, 26300, 26301, 26302];"
BUTTON = "upstash-connect >> button.primary"


def connect_js(world: World) -> str:
    """Return connect.js as integrators copy it, but with the port of ``world``."""
    return with_ports(connect_module(), world.port)


def connect_module() -> str:
    """Return connect.js unchanged."""
    return files("upstash_helper.web").joinpath("connect.js").read_text(encoding="utf-8")


def with_ports(text: str, *ports: int) -> str:
    """Return connect.js with ``ports`` as the ports on which it looks for a helper."""
    assert text.count(PORTS) == 1, "connect.js has no such list of ports"
    return text.replace(PORTS, f"const PORTS = {list(ports)};")


@contextlib.asynccontextmanager
async def example_tool(world: World, *, host: str = "127.0.0.1") -> AsyncIterator[Site]:
    """Serve the example web tool on another origin than the daemon's."""
    pages = {"/connect.js": connect_js(world)}
    async with Site.serving(pages, folder=CLIENTS / "web", host=host) as site:
        yield site


async def pending_request(world: World) -> dict[str, Any]:
    """Wait for an access request and return it."""
    async with asyncio.timeout(10):
        while True:
            pairings = (await world.get("/v1/pairings")).json["pairings"]
            if pairings:
                pairing: dict[str, Any] = pairings[0]
                return pairing
            await asyncio.sleep(0.05)


async def approve(world: World, **granted: Any) -> dict[str, Any]:
    """Wait for an access request, approve it, and return it."""
    pairing = await pending_request(world)
    approved = await world.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
    assert approved.status == 200, approved.text
    return pairing


async def popup_of(context: BrowserContext, page: Page, *, count: int = 2) -> Page:
    """Return the window that ``page`` opens, the last one of ``count``; wait until it is open."""
    if len(context.pages) < count:
        await context.wait_for_event("page")
    assert context.pages[-1] is not page
    return context.pages[-1]


async def wait_until_closed(popup: Page) -> None:
    """Wait until a window is closed."""
    if not popup.is_closed():
        await popup.wait_for_event("close")


async def wait_for_state(page: Page, state: str) -> None:
    """Wait until the Connect button is in ``state``."""
    await page.locator(f"upstash-connect[state={state}]").wait_for()


async def button_text(page: Page) -> str:
    """Return the text that the Connect button shows."""
    return await page.locator("upstash-connect > div, upstash-connect .card, upstash-connect .chip").first.inner_text()


async def click_and_close(button: Locator) -> None:
    """Click a button after which its window may close: the window can be gone before the click is acknowledged."""
    try:
        await button.click()
    except Error:
        if not button.page.is_closed():
            raise
