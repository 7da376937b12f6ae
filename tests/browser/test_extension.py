"""The example extension, loaded unpacked: its worker connects, and its popup lists and creates databases."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.browser.sign_in import sign_up
from tests.support.browser import ARGUMENTS, chromium, violations
from tests.support.web_tool import CLIENTS, approve, connect_js, pending_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page, Playwright, Worker

    from tests.support.world import World

IDENTITY = "chrome-extension://pkmgkoeogdcjgkfdcmlnabgihpnogkfo"

# What a module imports is out of the debugger's reach, and a worker cannot import later.
FOR_THE_DEBUGGER = "import { resumeUpstash } from './connect.js'; self.parts = { resumeUpstash, storage };"


@pytest_asyncio.fixture(loop_scope="session")
async def profile(world: World, playwright: Playwright, tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """A browser with the extension, and connect.js beside it, as its README says."""
    folder = tmp_path / "extension"
    shutil.copytree(CLIENTS / "extension", folder)
    (folder / "connect.js").write_text(connect_js(world), encoding="utf-8")
    with (folder / "background.js").open("a", encoding="utf-8") as worker:
        worker.write(FOR_THE_DEBUGGER)
    context = await playwright.chromium.launch_persistent_context(
        tmp_path / "profile",
        executable_path=chromium(),
        headless=True,
        args=[*ARGUMENTS, f"--disable-extensions-except={folder}", f"--load-extension={folder}"],
    )
    context.set_default_timeout(30_000)
    yield context
    await context.close()


async def worker_of(profile: BrowserContext) -> Worker:
    """Return the extension's service worker, once it runs."""
    return profile.service_workers[0] if profile.service_workers else await profile.wait_for_event("serviceworker")


async def opened(profile: BrowserContext) -> Page:
    """Return the extension's popup, as a page of its own."""
    page = await profile.new_page()
    await page.goto(f"{IDENTITY}/popup.html")
    return page


async def tab_of(profile: BrowserContext, *, beside: int) -> Page:
    """Return the tab that the extension has opened."""
    if len(profile.pages) <= beside:
        await profile.wait_for_event("page")
    return profile.pages[-1]


async def test_it_connects_lists_and_creates(world: World, profile: BrowserContext) -> None:
    """
    From its popup: the user approves the extension by its id, signs up in a tab, and makes a database.
    """
    popup = await opened(profile)
    tabs = len(profile.pages)
    await popup.get_by_role("button", name="Connect Upstash").click()
    pairing = await approve(world)
    await sign_up(await tab_of(profile, beside=tabs), world.email)
    await popup.bring_to_front()
    await popup.get_by_label("New database").fill("orders")
    await popup.get_by_role("button", name="Create").click()
    await popup.get_by_role("button", name="Credentials of orders").click()
    await popup.get_by_text("UPSTASH_REDIS_REST_URL=").wait_for()

    assert ("extension", IDENTITY) == (pairing["identity"]["kind"], pairing["identity"]["name"])
    assert [] == await violations(popup)


async def test_its_worker_lists_and_creates(world: World, profile: BrowserContext) -> None:
    """
    The worker, to which no window belongs, is let in, connects, and uses the account.
    """
    worker = await worker_of(profile)
    popup = await opened(profile)
    tabs = len(profile.pages)
    await popup.get_by_role("button", name="Connect Upstash").click()
    await approve(world)
    await sign_up(await tab_of(profile, beside=tabs), world.email)
    await popup.get_by_label("New database").wait_for()

    names = await worker.evaluate(
        """async () => {
            const upstash = await self.parts.resumeUpstash({ storage: self.parts.storage });
            await upstash.databases.create({ name: 'from-the-worker', primary_region: 'us-east-1' });
            return (await upstash.databases.list()).map(({ name }) => name);
        }"""
    )

    assert ["from-the-worker"] == names
    assert "0" == await worker.evaluate("chrome.action.getBadgeText({})")


async def test_a_denied_extension_says_so(world: World, profile: BrowserContext) -> None:
    """
    No is said in the popup, and nothing else of it remains.
    """
    popup = await opened(profile)
    await popup.get_by_role("button", name="Connect Upstash").click()
    pairing = await pending_request(world)
    await popup.get_by_text(pairing["user_code"]).wait_for()

    await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
    await popup.get_by_text("You denied this app's request.").wait_for()

    assert await popup.get_by_role("button", name="Connect Upstash").is_visible()
