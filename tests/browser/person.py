"""What a person does in the browser, and a page of an app that they do it for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.browser import Site
from tests.support.world import PASSWORD, App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

# A button that opens the address in its title, and a list of what other windows have told.
CONNECT_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>An app</title>
<main><h1>An app</h1><button>Connect Upstash</button></main>
<script>
  window.heard = [];
  addEventListener("message", ({ origin, data }) => window.heard.push({ origin, data }));
  document.querySelector("button").addEventListener("click", ({ target }) => {
    window.popup = window.open(target.title, "upstash", "popup,width=520,height=720");
  });
</script>
"""


async def sign_up(page: Page, email: str) -> None:
    """Make an account at the sandbox, on the page that the helper's address leads to."""
    await page.get_by_role("link", name="Sign up").click()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign up").click()


async def cancel(page: Page) -> None:
    """Change one's mind at the sandbox."""
    await page.get_by_role("button", name="Cancel").click()


async def opened_by_system(context: BrowserContext, url: str) -> Page:
    """Open a tab as the operating system does for a program: it has been nowhere before, and no script opened it."""
    assert context.browser is not None
    session = await context.browser.new_browser_cdp_session()
    # The context of this test is the newest.
    contexts = (await session.send("Target.getBrowserContexts"))["browserContextIds"]
    async with context.expect_page() as coming:
        await session.send("Target.createTarget", {"url": url, "browserContextId": contexts[-1]})
    return await coming.value


async def press(page: Page, url: str) -> Page:
    """Press the button of a ``CONNECT_PAGE`` and return the window that opens at ``url``."""
    button = page.get_by_role("button", name="Connect Upstash")
    await button.evaluate("(button, url) => button.title = url", url)
    async with page.expect_popup() as coming:
        await button.click()
    return await coming.value


@dataclass
class WebApp:
    """A web page of another origin that was let in and connects."""

    app: App
    page: Page
    started: dict[str, Any]

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, world: World, page: Page) -> AsyncIterator[WebApp]:
        """Let it in and have it start an attempt."""
        async with Site.serving({"/": CONNECT_PAGE}) as site:
            app = await world.pair("connection:read", "connection:write", origin=site.origin, name="Query Studio")
            started = (await world.as_app(app, "POST", "/v1/connection", {})).json
            await page.goto(site.origin)
            yield cls(app, page, started)

    async def press(self, url: str = "") -> Page:
        """Press the button and return the window that opens: by default with the sign-in."""
        return await press(self.page, url or self.started["authorization_url"])

    async def heard(self) -> list[dict[str, Any]]:
        """Return what other windows have told it."""
        told: list[dict[str, Any]] = await self.page.evaluate("window.heard")
        return told
