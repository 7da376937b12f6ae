"""The example extension, loaded unpacked: its worker connects, and its popup lists and creates databases."""

from __future__ import annotations

import shutil
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest_asyncio
from playwright.async_api import expect

from tests.browser.sign_in import sign_up
from tests.support.browser import ARGUMENTS, chromium, violations
from tests.support.web_tool import CLIENTS, approve, connect_js, pending_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page, Playwright, Worker

    from tests.support.world import World

IDENTITY = "chrome-extension://pkmgkoeogdcjgkfdcmlnabgihpnogkfo"

# A debugger cannot reach a module's imports, and a worker cannot import modules later.
FOR_THE_DEBUGGER = "import { resumeUpstash } from './connect.js'; self.modules = { resumeUpstash, storage };"


@pytest_asyncio.fixture(loop_scope="session")
async def profile(world: World, playwright: Playwright, tmp_path: Path) -> AsyncIterator[BrowserContext]:
    """Start a browser with the extension and a copy of connect.js in its folder, as its README describes."""
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
    """Wait until the extension's service worker is running, and return it."""
    return profile.service_workers[0] if profile.service_workers else await profile.wait_for_event("serviceworker")


async def open_extension_popup(profile: BrowserContext) -> Page:
    """Open the extension's popup in a tab."""
    page = await profile.new_page()
    await page.goto(f"{IDENTITY}/popup.html")
    return page


async def new_tab(profile: BrowserContext, *, after: int) -> Page:
    """Return the tab that the extension opens, when there were ``after`` tabs before."""
    if len(profile.pages) <= after:
        await profile.wait_for_event("page")
    return profile.pages[-1]


async def test_popup_connects_lists_and_creates(world: World, profile: BrowserContext) -> None:
    """
    From the popup, the user approves the extension by its ID, signs up in a tab, and creates a database.
    """
    popup = await open_extension_popup(profile)
    tabs = len(profile.pages)
    await popup.get_by_role("button", name="Connect Upstash").click()
    pairing = await approve(world)
    await sign_up(await new_tab(profile, after=tabs), world.email)
    await popup.bring_to_front()
    await popup.get_by_label("New database").fill("orders")
    await popup.get_by_role("button", name="Create").click()
    await popup.get_by_role("button", name="Credentials of orders").click()
    await popup.get_by_text("UPSTASH_REDIS_REST_URL=").wait_for()

    assert ("extension", IDENTITY) == (pairing["identity"]["kind"], pairing["identity"]["name"])
    assert [] == await violations(popup)


async def test_worker_lists_and_creates(world: World, profile: BrowserContext) -> None:
    """
    The extension's worker, which has no window, uses the account with the stored token.
    """
    worker = await worker_of(profile)
    popup = await open_extension_popup(profile)
    tabs = len(profile.pages)
    await popup.get_by_role("button", name="Connect Upstash").click()
    await approve(world)
    await sign_up(await new_tab(profile, after=tabs), world.email)
    await popup.get_by_label("New database").wait_for()

    names = await worker.evaluate(
        """async () => {
            const upstash = await self.modules.resumeUpstash({ storage: self.modules.storage });
            await upstash.databases.create({ name: 'from-the-worker', primary_region: 'us-east-1' });
            return (await upstash.databases.list()).map(({ name }) => name);
        }"""
    )

    assert ["from-the-worker"] == names
    assert "0" == await worker.evaluate("chrome.action.getBadgeText({})")


async def test_denied_extension_shows_the_denial(world: World, profile: BrowserContext) -> None:
    """
    The popup shows that the request was denied, and the button to connect again.
    """
    popup = await open_extension_popup(profile)
    await popup.get_by_role("button", name="Connect Upstash").click()
    pairing = await pending_request(world)
    await popup.get_by_text(pairing["user_code"]).wait_for()

    denied = await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
    await popup.get_by_text("You denied this app's request.").wait_for()

    await expect(popup.get_by_role("button", name="Connect Upstash")).to_be_visible()
    assert denied.status < HTTPStatus.BAD_REQUEST
