"""Driving a sign-in in the browser: the sandbox's pages, and an app's page that opens them in a window."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.browser import Site
from tests.support.web_tool import click_and_close
from tests.support.world import PASSWORD, App

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import BrowserContext, Page

    from tests.support.world import World

# A button that opens the address in its title, and a list of the messages that other windows have posted.
APP_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>An app</title>
<main><h1>An app</h1><button>Connect Upstash</button></main>
<script>
  window.messages = [];
  addEventListener("message", ({ origin, data }) => window.messages.push({ origin, data }));
  document.querySelector("button").addEventListener("click", ({ target }) => {
    window.popup = window.open(target.title, "upstash", "popup,width=520,height=720");
  });
</script>
"""


async def sign_up(page: Page, email: str) -> None:
    """Create an account on the sandbox's sign-in page."""
    await page.get_by_role("link", name="Sign up").click()
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await click_and_close(page.get_by_role("button", name="Sign up"))


async def cancel(page: Page) -> None:
    """Cancel on the sandbox's sign-in page."""
    await click_and_close(page.get_by_role("button", name="Cancel"))


async def open_from_system(context: BrowserContext, url: str) -> Page:
    """Open a tab as the operating system does for a program: without history, and not opened by a script."""
    assert context.browser is not None
    session = await context.browser.new_browser_cdp_session()
    # The context of this test is the newest.
    contexts = (await session.send("Target.getBrowserContexts"))["browserContextIds"]
    async with context.expect_page() as opened:
        await session.send("Target.createTarget", {"url": url, "browserContextId": contexts[-1]})
    return await opened.value


async def open_popup(page: Page, url: str) -> Page:
    """Click the button of an ``APP_PAGE`` and return the window that opens at ``url``."""
    button = page.get_by_role("button", name="Connect Upstash")
    await button.evaluate("(button, url) => button.title = url", url)
    async with page.expect_popup() as opened:
        await button.click()
    return await opened.value


@dataclass
class WebApp:
    """A web page of another origin that has access and has started an attempt."""

    app: App
    page: Page
    started: dict[str, Any]

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, world: World, page: Page) -> AsyncIterator[WebApp]:
        """Serve the page, give it access, and start an attempt as that app."""
        async with Site.serving({"/": APP_PAGE}) as site:
            app = await world.pair("connection:read", "connection:write", origin=site.origin, name="Query Studio")
            started = (await world.as_app(app, "POST", "/v1/connection", {})).json
            await page.goto(site.origin)
            yield cls(app, page, started)

    async def open_popup(self, url: str = "") -> Page:
        """Click the button and return the window that opens, by default with the sign-in page."""
        return await open_popup(self.page, url or self.started["authorization_url"])

    async def messages(self) -> list[dict[str, Any]]:
        """Return the messages that other windows have posted to the page."""
        messages: list[dict[str, Any]] = await self.page.evaluate("window.messages")
        return messages
