"""
Screenshots of the pages, for review and for the README.

  python -m tests.browser.screenshots OUTDIR          every page, at three widths, in both color schemes
  python -m tests.browser.screenshots --readme        update tests/browser/pictures
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from playwright.async_api import expect

from tests.browser.connection_states import STATUSES, show_connection
from tests.browser.dashboard import access_request, press
from tests.browser.result_pages import pages, serve_pages
from tests.browser.sample_daemon import AGENT_NAME, SampleDaemon, sample_daemon
from tests.support.browser import launch, playwright_driver
from tests.support.oauth_client import decide, registered
from upstash_helper.api.mcp.tools.command_question import MAX_TEXT
from upstash_helper.broker.apps.display_text import MAX_NAME
from upstash_helper.system.peers import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, Locator, Page

PICTURES = Path(__file__).parent / "pictures"

WIDTHS = {360: 740, 768: 1024, 1440: 900}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

DELETE: Final = ("redis_delete_database", {"database_id": "$rate-limits"})
"""An agent's call that asks the user."""

LONGEST: Final[dict[str, Any]] = {
    "program": Program(
        pid=4711, executable=f"/opt/{'a-very-long-folder/' * 50}agent", warnings=("sandboxed", "deleted", "shared")
    ),
    "name": "W" * MAX_NAME,
}
"""An agent whose program and name are as long as possible."""


@contextlib.asynccontextmanager
async def context_for(
    browser: Browser, scheme: Literal["light", "dark"], *, scale: float = 1
) -> AsyncIterator[BrowserContext]:
    """Open a browser context with a color scheme and without animations."""
    context = await browser.new_context(color_scheme=scheme, reduced_motion="reduce", device_scale_factor=scale)
    yield context
    await context.close()


async def at_all_widths(page: Page, out: Path, name: str, *, live: str = "", whole_page: bool = True) -> None:
    """
    Take a page in the widths of a phone, a tablet, and a desktop.

    Args:
        page: The page.
        out: The folder for the pictures.
        name: The beginning of their names.
        live: Label of a button to wait for: a change of the width disables those that decide something for a moment.
        whole_page: Whether to take the whole page, and not only what fits into the window.
    """
    for width, least in WIDTHS.items():
        height = least
        await page.set_viewport_size({"width": width, "height": height})
        if whole_page:
            # And not with ``full_page``, which resizes the window after the wait, for the time of the screenshot.
            height = max(least, await page.evaluate("document.documentElement.scrollHeight"))
            await page.set_viewport_size({"width": width, "height": height})
        if live:
            await settled(page.get_by_role("button", name=live).last)
        await page.screenshot(path=out / f"{name}-{width}.png")


async def settled(button: Locator) -> None:
    """Wait until a button is enabled after a change of the page's size."""
    await expect(button).to_be_disabled()
    await expect(button).to_be_enabled()


async def every_page(browser: Browser, out: Path) -> None:
    """Take every page in both color schemes."""
    async with serve_pages() as site:
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                page = await context.new_page()
                for name in pages():
                    await page.goto(f"{site.origin}/{name}")
                    await at_all_widths(page, out, f"{name}-{scheme}")
    async with temporary_daemon() as daemon:
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                page = await context.new_page()
                await page.goto(daemon.home)
                await at_all_widths(page, out, f"dashboard-closed-{scheme}")
                page = await daemon.dashboard(context)
                for name, show in daemon.sections.items():
                    await show(page)
                    await at_all_widths(page, out, f"dashboard-{name}-{scheme}")
                await daemon.sections["overview"](page)
                for name in STATUSES:
                    await show_connection(page, name)
                    await at_all_widths(page, out, f"connection-{name}-{scheme}")
        await agents(browser, daemon, out)
        async with context_for(browser, "light") as other, daemon.with_access_request(other):
            for scheme in SCHEMES:
                async with context_for(browser, scheme) as context:
                    page = await daemon.dashboard(context)
                    await at_all_widths(page, out, f"approval-{scheme}", live="Allow")
        await daemon.ask_for_everything()
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                await questions(await daemon.dashboard(context), out, scheme)
        await daemon.ask_for_replacement()
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                page = await daemon.dashboard(context)
                await expect(page.get_by_role("button", name="Replace…")).to_be_visible()
                await at_all_widths(page, out, f"replacement-{scheme}")
                await page.get_by_role("button", name="Replace…").click()
                await at_all_widths(page, out, f"question-replace-{scheme}", live="Replace", whole_page=False)


async def agents(browser: Browser, daemon: SampleDaemon, out: Path) -> None:
    """Take an agent's sign-in page, its access request, and its questions: one, three, and the longest ones."""
    with tempfile.TemporaryDirectory() as folder:
        for name, calls in sample_calls(Path(folder)).items():
            more = LONGEST if name == "longest" else {}
            async with daemon.with_questions(*calls, **more):
                for scheme in SCHEMES:
                    async with context_for(browser, scheme) as context:
                        page = await daemon.dashboard(context)
                        await at_all_widths(page, out, f"agent-asks-{name}-{scheme}", live="Allow")
    client = await registered(daemon.world, name=AGENT_NAME)
    for scheme in SCHEMES:
        async with context_for(browser, scheme) as context:
            page = await context.new_page()
            await page.goto(client.address())
            await at_all_widths(page, out, f"agent-sign-in-{scheme}")
    await decide(daemon.world, "deny")
    async with daemon.with_agent():
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                await at_all_widths(await daemon.dashboard(context), out, f"agent-{scheme}", live="Allow")


def sample_calls(folder: Path) -> dict[str, tuple[tuple[str, dict[str, Any]], ...]]:
    """Return calls that ask the user, and write into ``folder`` at most."""
    deep = folder
    while len(str(deep)) < 950:
        deep /= "a-folder-with-a-long-name"
    deep.mkdir(parents=True)
    (deep / ".env").write_text("UPSTASH_REDIS_REST_URL=old\nUPSTASH_REDIS_REST_TOKEN=old\n")
    write = {"database": "$shop-sessions", "path": str(folder / ".env")}
    run = {"database_id": "$shop-sessions"}
    return {
        "one": (DELETE,),
        "three": (DELETE, ("redis_reset_password", {"database_id": "$leaderboard"}), ("env_write", write)),
        "longest": (
            ("env_write", {**write, "path": str(deep / ".env"), "redis_url": True}),
            ("redis_run_command", {**run, "command": ["EVAL", "redis.call('GET', KEYS[1]) " * 50, "1", "k"]}),
            ("redis_run_command", {**run, "command": ["EVAL", "x" * (MAX_TEXT - 10), "0"]}),
        ),
    }


async def questions(page: Page, out: Path, scheme: str) -> None:
    """Take what the dashboard asks about the request of ``SampleDaemon.ask_for_everything``."""
    card = access_request(page, SampleDaemon.EVERYTHING)
    await expect(card).to_be_visible()
    await at_all_widths(page, out, f"approval-strong-{scheme}", live="Allow")
    for name in ("Allow", "Block"):
        await press(card.get_by_role("button", name=name))
        await at_all_widths(page, out, f"question-{name.lower()}-{scheme}", live=name, whole_page=False)
        await page.keyboard.press("Escape")


async def readme_pictures(browser: Browser, out: Path) -> None:
    """Take the pictures of the README, as with a real account."""
    async with temporary_daemon(shows_sandbox=False) as daemon, serve_pages() as site:
        for scheme in SCHEMES:
            async with context_for(browser, scheme) as context:
                page = await daemon.dashboard(context)
                await page.set_viewport_size({"width": 1200, "height": 470})
                await daemon.sections["databases"](page)
                await page.screenshot(path=out / f"dashboard-{scheme}.png")
                await page.set_viewport_size({"width": 640, "height": 720})
                await page.goto(f"{site.origin}/connected")
                await page.screenshot(path=out / f"connected-{scheme}.png")
        async with daemon.with_questions(DELETE):
            await picture_of_request(browser, daemon, out, "question", height=420)
        async with daemon.with_agent():
            await picture_of_request(browser, daemon, out, "agent", height=640)
        async with context_for(browser, "light") as other, daemon.with_access_request(other):
            await picture_of_request(browser, daemon, out, "approval", height=600)


async def picture_of_request(browser: Browser, daemon: SampleDaemon, out: Path, name: str, *, height: int) -> None:
    """Take the dashboard with what waits for the user's decision."""
    for scheme in SCHEMES:
        async with context_for(browser, scheme) as context:
            page = await daemon.dashboard(context)
            await page.set_viewport_size({"width": 1200, "height": height})
            await settled(page.get_by_role("button", name="Allow"))
            await page.screenshot(path=out / f"{name}-{scheme}.png")


@contextlib.asynccontextmanager
async def temporary_daemon(*, shows_sandbox: bool = True) -> AsyncIterator[SampleDaemon]:
    """Run the sample daemon in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        async with sample_daemon(Path(folder), shows_sandbox=shows_sandbox) as daemon:
            yield daemon


def shrink(folder: Path) -> None:
    """Reduce the pictures to 256 colors to keep the files small: the pages have few colors."""
    from PIL import Image

    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(file, optimize=True)


async def take(out: Path, *, readme: bool) -> None:
    """Take all screenshots, or those of the README."""
    out.mkdir(parents=True, exist_ok=True)
    async with playwright_driver() as playwright:
        browser = await launch(playwright)
        await (readme_pictures if readme else every_page)(browser, out)
        await browser.close()
    if readme:
        shrink(out)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("outdir", nargs="?", type=Path, metavar="OUTDIR", help="folder for all screenshots")
    which.add_argument("--readme", action="store_true", help="take the pictures of the README")
    arguments = parser.parse_args()
    asyncio.run(take(PICTURES if arguments.readme else arguments.outdir, readme=arguments.readme))


if __name__ == "__main__":
    main()
