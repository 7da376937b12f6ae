"""A daemon with sample data for screenshots: an account, databases, apps, and a pending access request."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from playwright.async_api import expect

from tests.support.browser import Site
from tests.support.replacement import attack
from tests.support.sandbox import Sandbox
from tests.support.world import World, free_port
from upstash_helper.broker.identity import SCOPES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

LOADING = "[aria-busy=true], .skeleton, .spinner"
EMAIL = "ada@example.com"
SECTIONS = ("overview", "databases", "apps", "activity", "settings")

REQUEST_ACCESS = """(url) => fetch(url, {
  method: "POST", headers: { "Content-Type": "application/json" },
  body: JSON.stringify({
    name: "Inventory", scopes: ["connection:read", "databases:read", "databases:write"],
    reason: "Stores its inventory in your database.",
  }),
}).then(({ status }) => status)"""

DATABASES: tuple[dict[str, Any], ...] = (
    {"name": "shop-sessions", "primary_region": "us-east-1", "read_regions": ["eu-west-1"]},
    {"name": "rate-limits", "primary_region": "eu-central-1", "eviction": True},
    {"name": "leaderboard", "primary_region": "ap-southeast-1"},
)


@dataclass
class SampleDaemon:
    """The daemon, and ways to show its dashboard."""

    EVERYTHING: ClassVar = "https://inventory-and-orders.warehouse-management.example.com"
    """The origin of the request of ``ask_for_everything``."""

    world: World

    @property
    def home(self) -> str:
        """Address of the dashboard."""
        return f"http://localhost:{self.world.settings.port}/"

    async def dashboard(self, context: BrowserContext) -> Page:
        """Open the dashboard as ``upstash-helper open`` does."""
        ticket = (await self.world.call("POST", "/v1/dashboard/tickets")).json
        page = await context.new_page()
        await page.goto(ticket["url"])
        await expect(page.get_by_role("navigation", name="Sections")).to_be_visible()
        return page

    @contextlib.asynccontextmanager
    async def with_access_request(self, context: BrowserContext) -> AsyncIterator[None]:
        """Request access from a web page that a local dev server serves."""
        async with Site.serving({"/": "<!doctype html><title>Inventory</title>"}, host="localhost", port=5173) as site:
            page = await context.new_page()
            await page.goto(site.origin)
            status = await page.evaluate(REQUEST_ACCESS, f"{self.home}v1/pairings")
            assert status == 202, status
            yield

    async def ask_for_everything(self) -> None:
        """Request every scope, as a page with a long address."""
        await self.world.ask(*SCOPES, origin=self.EVERYTHING, name="Inventory and orders", reason="To keep all orders.")

    async def ask_for_replacement(self) -> None:
        """Connect another account, and let an app sign in to a third one."""
        await self.world.call("DELETE", "/v1/connection")
        self.world.email = "grace@example.com"
        await attack(self.world, "https://orders.example")

    @property
    def sections(self) -> Mapping[str, Callable[[Page], Awaitable[None]]]:
        """Functions that show a section of the dashboard, by name."""
        return {name: partial(_show, name=name) for name in SECTIONS}


async def _show(page: Page, *, name: str) -> None:
    await page.get_by_role("navigation", name="Sections").locator(f'[data-view="{name}"]').click()
    await expect(page.locator(f'[data-view="{name}"]')).to_have_attribute("aria-current", "page")
    await expect(page.locator(LOADING)).to_have_count(0)


@contextlib.asynccontextmanager
async def sample_daemon(folder: Path, *, shows_sandbox: bool = True) -> AsyncIterator[SampleDaemon]:
    """
    Run the daemon and its sandbox with their data in ``folder``.

    Args:
        folder: The folder.
        shows_sandbox: Whether the dashboard shows that it is one.
    """
    port = free_port()
    async with (
        Sandbox.running(folder / "sandbox", redirect_uris=(f"http://localhost:{port}",)) as sandbox,
        World.running(folder, sandbox, port) as world,
    ):
        await sandbox.settings(identity=shows_sandbox)
        world.email = EMAIL
        await world.connect()
        for wanted in DATABASES:
            await world.create(**wanted)
        read = ("connection:read", "databases:read")
        studio = await world.pair(
            *read, "databases:write", "databases:credentials", origin="https://studio.example.com", name="Query Studio"
        )
        deploy = await world.pair(*read, name="deploy")
        for app in (studio, deploy):
            await world.as_app(app, "GET", "/v1/databases")
        yield SampleDaemon(world)
