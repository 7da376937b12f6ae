"""
A real browser, the system's Chromium driven by Playwright, and web sites of other origins.

The fixtures in ``tests/browser/conftest.py`` provide it to tests.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiohttp import web

from tests.support.npm import installed_packages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Playwright


ARGUMENTS: Final = (
    "--no-sandbox",  # tests may run as root, where Chromium has none
    "--disable-gpu",
    "--disable-quic",
    # No requests of the browser itself.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return the path of the system's Chromium, or skip the test."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


WAIT_MILLISECONDS = 30_000
"""How long pages may take on a busy machine. Playwright gives an expectation five seconds."""


@contextlib.asynccontextmanager
async def playwright_driver() -> AsyncIterator[Playwright]:
    """Start Playwright, or skip the test if it is not installed."""
    async_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    async_api.expect.set_options(timeout=WAIT_MILLISECONDS)
    async with async_api.async_playwright() as playwright:
        yield playwright


async def launch(playwright: Playwright, *more: str) -> Browser:
    """
    Start a headless browser.

    Args:
        playwright: The Playwright driver.
        more: Additional arguments for Chromium.
    """
    return await playwright.chromium.launch(executable_path=chromium(), headless=True, args=[*ARGUMENTS, *more])


@dataclass
class Console:
    """The errors that the pages of a browser context have logged."""

    errors: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        """Record the errors of all pages of ``context``, including pages that are opened later."""
        context.on("console", self._logged)
        context.on("weberror", lambda error: self._uncaught(error.error))

    def expect(self, pattern: str) -> None:
        """Expect errors that contain ``pattern``, a regular expression."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """The errors that were not expected."""
        return [error for error in self.errors if not any(known.search(error) for known in self._expected)]

    def _logged(self, message: ConsoleMessage) -> None:
        # Browsers request an icon from every site, and the test's site may be stopped by then.
        is_icon = "net::ERR_CONNECTION" in message.text and message.location["url"].endswith("/favicon.ico")
        if message.type == "error" and not is_icon:
            self.errors.append(f"{message.text} ({message.location['url']})")

    def _uncaught(self, error: Error) -> None:
        self.errors.append(f"uncaught: {error}")


_TRANSITIONS_ARE_OVER = """() => Promise.allSettled(
    document.getAnimations()
        .filter((animation) => animation.effect.getComputedTiming().endTime !== Infinity)
        .map((animation) => animation.finished))"""

# All rules, but of the elements that passed one, axe-core describes only the first.
_VIOLATIONS = """() => axe.run({ resultTypes: ["violations"] }).then((results) => results.violations)"""


async def violations(page: Page) -> list[str]:
    """
    Return the accessibility violations that axe-core finds in ``page``, one line for each element.

    Transitions are completed first, so that final colors are checked. Endless animations are not waited for.

    Skips the test if axe-core cannot be installed.
    """
    packages = await installed_packages()
    if not await page.evaluate("'axe' in window"):
        # Evaluated by the debugger: the page's Content-Security-Policy forbids a script element.
        await page.evaluate(f"{(packages / 'axe-core' / 'axe.min.js').read_text(encoding='utf-8')}; 0")
    await page.evaluate(_TRANSITIONS_ARE_OVER)
    found: list[dict[str, Any]] = await page.evaluate(_VIOLATIONS)
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['target']} {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"]
    ]


async def overflowing_elements(page: Page) -> list[str]:
    """Return the elements of ``page`` that extend beyond its right edge, if it scrolls horizontally."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((element) => document.documentElement.scrollWidth > innerWidth
                && element.getBoundingClientRect().right > innerWidth + 1)
            .map((element) => element.outerHTML.slice(0, 200))"""
    )
    return found


@dataclass
class Site:
    """A web site on another origin than the daemon's."""

    origin: str
    pages: dict[str, str] = field(default_factory=dict)
    """HTML by path, in addition to the folder's files. Tests may add pages at any time."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every response."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """The requests so far: method, and path with query."""

    @classmethod
    @contextlib.asynccontextmanager
    async def serving(
        cls,
        pages: Mapping[str, str] | None = None,
        *,
        folder: Path | None = None,
        headers: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        address: str = "127.0.0.1",
    ) -> AsyncIterator[Site]:
        """
        Serve the site on a loopback address.

        Args:
            pages: HTML by path: ``{"/": "<!doctype html>…"}``. A path that ends in ``.js`` is JavaScript.
            folder: Folder of files to serve; ``/`` is its ``index.html``.
            headers: Sent with every response.
            host: The host in the origin: ``127.0.0.1``, which is cross-site to the daemon's ``localhost``, or
                ``localhost``, which is same-site on another port.
            port: A free port by default.
            address: The address.
        """
        site = cls("", dict(pages or {}), dict(headers or {}))

        async def respond(request: web.Request) -> web.StreamResponse:
            return site.respond(request, folder)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", respond)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, address, port).start()
            site.origin = f"http://{host}:{runner.addresses[0][1]}"
            yield site
        finally:
            await runner.cleanup()

    def respond(self, request: web.Request, folder: Path | None) -> web.StreamResponse:
        """Record a request, and return its response."""
        self.requests.append((request.method, request.path_qs))
        response = self._response(request.path, folder)
        response.headers.update(self.headers)
        return response

    def _response(self, path: str, folder: Path | None) -> web.StreamResponse:
        if path in self.pages:
            kind = "text/javascript" if path.endswith(".js") else "text/html"
            return web.Response(text=self.pages[path], content_type=kind)
        if folder is not None:
            file = (folder / (path.removeprefix("/") or "index.html")).resolve()
            if file.is_relative_to(folder.resolve()) and file.is_file():
                return web.FileResponse(file)
        if path == "/favicon.ico":  # Browsers request it and would log an error.
            return web.Response(status=204)
        return web.Response(status=404, text="not found")
