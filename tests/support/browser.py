"""
A real browser: the system's Chromium, driven by Playwright; and pages of other origins for it.

Tests in ``tests/browser`` get it by the fixtures of that folder's ``conftest.py``.
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

from tests.support.npm import installed_package

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Playwright

AXE: Final = "axe-core@4"

ARGUMENTS: Final = (
    "--no-sandbox",  # tests may run as root, where Chromium has none
    "--disable-gpu",
    "--disable-quic",
    # It makes no request of its own.
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """Return where the system's Chromium is, or skip."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@contextlib.asynccontextmanager
async def playing() -> AsyncIterator[Playwright]:
    """Start Playwright, or skip."""
    async_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    async with async_api.async_playwright() as playwright:
        yield playwright


async def launch(playwright: Playwright, *more: str) -> Browser:
    """
    Start a browser without a window.

    Args:
        playwright: What drives it.
        more: Chromium's arguments beyond the usual ones.
    """
    return await playwright.chromium.launch(executable_path=chromium(), headless=True, args=[*ARGUMENTS, *more])


@dataclass
class Console:
    """What the pages of a browser context complained of."""

    complaints: list[str] = field(default_factory=list)
    _expected: list[re.Pattern[str]] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        """Listen to all pages of ``context``, those to come included."""
        context.on("console", self._said)
        context.on("weberror", lambda error: self._broke(error.error))

    def expect(self, pattern: str) -> None:
        """Take complaints in which ``pattern`` is found for what the test wants to happen."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """What no test has asked for."""
        return [said for said in self.complaints if not any(known.search(said) for known in self._expected)]

    def _said(self, message: ConsoleMessage) -> None:
        # Browsers ask every site for an icon by themselves, and a test's site may be gone by then.
        gone = "net::ERR_CONNECTION" in message.text and message.location["url"].endswith("/favicon.ico")
        if message.type == "error" and not gone:
            self.complaints.append(f"{message.text} ({message.location['url']})")

    def _broke(self, error: Error) -> None:
        self.complaints.append(f"uncaught: {error}")


_TRANSITIONS_ARE_OVER = """() => Promise.allSettled(
    document.getAnimations()
        .filter((animation) => animation.effect.getComputedTiming().endTime !== Infinity)
        .map((animation) => animation.finished))"""


async def violations(page: Page) -> list[str]:
    """
    Return what axe-core finds wrong with ``page``: one line for each element; none is what tests want.

    Colours are looked at once they are what they will be; a spinner turns for ever, and is not waited for.

    Skips where axe-core cannot be had.
    """
    script = await installed_package(AXE) / "axe-core" / "axe.min.js"
    # By the debugger and not by a script element, which the page's own Content-Security-Policy forbids.
    await page.evaluate(f"{script.read_text(encoding='utf-8')}; 0")
    await page.evaluate(_TRANSITIONS_ARE_OVER)
    found: list[dict[str, Any]] = (await page.evaluate("axe.run()"))["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['target']} {node['html'][:200]}"
        for violation in found
        for node in violation["nodes"]
    ]


async def wider_than_its_window(page: Page) -> list[str]:
    """Return the elements of ``page`` that stick out to the right, so that it would scroll sideways."""
    found: list[str] = await page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter((element) => document.documentElement.scrollWidth > innerWidth
                && element.getBoundingClientRect().right > innerWidth + 1)
            .map((element) => element.outerHTML.slice(0, 200))"""
    )
    return found


@dataclass
class Site:
    """A web site of somebody else, on an origin of its own."""

    origin: str
    pages: dict[str, str] = field(default_factory=dict)
    """HTML by path, beside the folder's files; a test may add more at any time."""
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """What was asked for: method, and path with query."""

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
    ) -> AsyncIterator[Site]:
        """
        Serve it on 127.0.0.1.

        Args:
            pages: HTML by path: ``{"/": "<!doctype html>…"}``. A path that ends in ``.js`` is JavaScript.
            folder: Files, by their path in it; ``/`` is its ``index.html``.
            headers: Sent with every answer.
            host: What the origin is called: ``127.0.0.1``, which is another site than the daemon's ``localhost``, or
                ``localhost``, which is the same site on another port.
            port: By default a free one.
        """
        site = cls("", dict(pages or {}), dict(headers or {}))

        async def answer(request: web.Request) -> web.StreamResponse:
            return site.answer(request, folder)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            site.origin = f"http://{host}:{runner.addresses[0][1]}"
            yield site
        finally:
            await runner.cleanup()

    def answer(self, request: web.Request, folder: Path | None) -> web.StreamResponse:
        """Record a request, and return the response."""
        self.requests.append((request.method, request.path_qs))
        answer = self._found(request.path, folder)
        answer.headers.update(self.headers)
        return answer

    def _found(self, path: str, folder: Path | None) -> web.StreamResponse:
        if path in self.pages:
            kind = "text/javascript" if path.endswith(".js") else "text/html"
            return web.Response(text=self.pages[path], content_type=kind)
        if folder is not None:
            file = (folder / (path.removeprefix("/") or "index.html")).resolve()
            if file.is_relative_to(folder.resolve()) and file.is_file():
                return web.FileResponse(file)
        if path == "/favicon.ico":  # Browsers ask for it, and would complain.
            return web.Response(status=204)
        return web.Response(status=404, text="not found")
