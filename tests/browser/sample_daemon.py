"""A daemon with sample data for screenshots: an account, databases, apps, and a pending access request."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from playwright.async_api import expect

from tests.mcp.raw_client import Agent
from tests.support.browser import Site
from tests.support.replacement import attack
from tests.support.sandbox import Sandbox
from tests.support.until import until_async
from tests.support.world import World, free_port
from upstash_helper.broker.authorization.requests import DEFAULT_SCOPES
from upstash_helper.broker.identity import SCOPES
from upstash_helper.system.peers import Program, SystemPeers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from upstash_helper.system.socket_owners import Address

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
AGENT_NAME = "Claude Code"


class SamplePeers(SystemPeers):
    """The programs of this computer, or the one that the pictures show, which is the same on every computer."""

    shown: Program | None = None

    async def program(self, local: Address, remote: Address) -> Program | None:
        """Return the program at the other end."""
        return self.shown or await super().program(local, remote)

    async def starter(self, local: Address, remote: Address) -> Program | None:
        """Return the program that started the one at the other end."""
        return self.shown or await super().starter(local, remote)


@dataclass
class SampleDaemon:
    """The daemon, and ways to show its dashboard."""

    EVERYTHING: ClassVar = "https://inventory-and-orders.warehouse-management.example.com"
    """The origin of the request of ``ask_for_everything``."""

    AGENT: ClassVar = Program(pid=4711, executable="/usr/local/bin/claude")
    """The agent in the pictures."""

    world: World
    peers: SamplePeers

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

    @contextlib.contextmanager
    def agent_runs(self, program: Program = AGENT) -> Iterator[None]:
        """Let the requests of native programs come from an agent."""
        self.peers.shown = program
        try:
            yield
        finally:
            self.peers.shown = None

    @contextlib.asynccontextmanager
    async def with_agent(self, *, program: Program = AGENT, name: str = AGENT_NAME) -> AsyncIterator[None]:
        """Request access as an agent, which is denied at the end, so that it has to wait before it does so again."""
        with self.agent_runs(program):
            asked = await self.world.ask(*DEFAULT_SCOPES, name=name, audience="mcp")
        assert asked.status == 202, asked.text
        yield
        await self.world.call("POST", f"/v1/pairings/{asked.json['id']}/deny")

    @contextlib.asynccontextmanager
    async def with_questions(
        self, *calls: tuple[str, Mapping[str, Any]], program: Program = AGENT, name: str = AGENT_NAME
    ) -> AsyncIterator[None]:
        """
        Call tools that ask the user, as an agent with access, until the block ends.

        Args:
            calls: The names and arguments of the tools. The argument ``$name`` is the ID of the database with this
                name.
            program: The agent's program.
            name: What the agent calls itself.
        """
        listed = (await self.world.get("/v1/databases")).json["databases"]
        ids = {f"${it['name']}": it["id"] for it in listed}
        with self.agent_runs(program):
            app = await self.world.pair(*DEFAULT_SCOPES, name=name, audience="mcp", all_databases=True)
        agent = Agent(self.world.session, f"{self.home}mcp", headers=app.headers)
        waiting = self.world.daemon.confirmations()
        async with contextlib.AsyncExitStack() as stack:
            for tool, arguments in calls:
                known = {key: ids.get(str(value), value) for key, value in arguments.items()}
                before = len(waiting.waiting)
                task = asyncio.create_task(self._answered(agent, {"name": tool, "arguments": known}))
                stack.callback(task.cancel)
                await until_async(lambda: task.done() or len(waiting.waiting) > before)  # noqa: B023 - before the next
                assert not task.done(), task.result()
            yield
        await self.world.call("DELETE", f"/v1/apps/{app.id}")

    async def _answered(self, agent: Agent, call: dict[str, Any]) -> Any:
        async with agent.open("tools/call", call) as stream:
            return await stream.response.read()

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
    port, peers = free_port(), SamplePeers()
    async with (
        Sandbox.running(folder / "sandbox", redirect_uris=(f"http://localhost:{port}",)) as sandbox,
        World.running(folder, sandbox, port, peers=peers) as world,
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
        yield SampleDaemon(world, peers)
