"""A web tool in a browser, and its user: the example of ``tests/clients/web``, and who approves and signs in."""

from __future__ import annotations

import asyncio
import contextlib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.browser import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

CLIENTS = Path(__file__).parents[1] / "clients"
PORTS = "const PORTS = [3000, 26300, 26301, 26302];"
BUTTON = "upstash-connect >> button.primary"


def connect_js(world: World) -> str:
    """Return the module as integrators copy it, but for the port: the helpers of tests have another one."""
    return looking_at(module(), world.port)


def module() -> str:
    """Return the module."""
    return files("upstash_helper.web").joinpath("connect.js").read_text(encoding="utf-8")


def looking_at(text: str, *ports: int) -> str:
    """Return the module with ``ports`` in place of those where helpers are."""
    assert text.count(PORTS) == 1, "connect.js says otherwise where it looks"
    return text.replace(PORTS, f"const PORTS = {list(ports)};")


@contextlib.asynccontextmanager
async def example(world: World, *, host: str = "127.0.0.1") -> AsyncIterator[Site]:
    """Serve the example web tool on an origin of its own."""
    pages = {"/connect.js": connect_js(world)}
    async with Site.serving(pages, folder=CLIENTS / "web", host=host) as site:
        yield site


async def waiting(world: World) -> dict[str, Any]:
    """Return the pairing that waits for the user, once one does."""
    async with asyncio.timeout(10):
        while True:
            pairings = (await world.get("/v1/pairings")).json["pairings"]
            if pairings:
                pairing: dict[str, Any] = pairings[0]
                return pairing
            await asyncio.sleep(0.05)


async def approve(world: World, **granted: Any) -> dict[str, Any]:
    """Say yes to the request that comes, and return it."""
    pairing = await waiting(world)
    approved = await world.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
    assert approved.status == 200, approved.text
    return pairing


async def popup_of(context: BrowserContext, page: Page, *, count: int = 2) -> Page:
    """Return the window that ``page`` has opened, or opens, as the last one of ``count``."""
    if len(context.pages) < count:
        await context.wait_for_event("page")
    assert context.pages[-1] is not page
    return context.pages[-1]


async def gone(popup: Page) -> None:
    """Wait until a window has closed."""
    if not popup.is_closed():
        await popup.wait_for_event("close")


async def in_state(page: Page, state: str) -> None:
    """Wait until the button is in ``state``."""
    await page.locator(f"upstash-connect[state={state}]").wait_for()


async def shown_by(page: Page) -> str:
    """Return what the button shows."""
    return await page.locator("upstash-connect > div, upstash-connect .card, upstash-connect .chip").first.inner_text()
