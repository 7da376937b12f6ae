"""
Fixtures of the tests with a real browser.

The browser is started once. It belongs to one event loop, so all tests of this folder, and their daemons, run in the
loop of the session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import pytest_asyncio

from tests.support.browser import Console, launch, playing
from tests.support.sandbox import Sandbox
from tests.support.world import World

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Playwright

HERE = Path(__file__).parent
FAILED: pytest.StashKey[bool] = pytest.StashKey()

WAIT_MILLISECONDS = 30_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of this folder in the loop of the session."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember which tests failed, for what is kept of those."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """What drives browsers."""
    async with playing() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """The system's Chromium, without a window."""
    browser = await launch(playwright)
    yield browser
    await browser.close()


@pytest.fixture
def color_scheme() -> Literal["light", "dark"]:
    """What the user prefers. A test that wants both is parametrized with ``color_scheme``."""
    return "light"


@pytest.fixture
def console() -> Console:
    """What pages complain of. A test that wants a complaint says so: ``console.expect("403")``."""
    return Console()


@pytest_asyncio.fixture(loop_scope="session")
async def context(
    browser: Browser,
    color_scheme: Literal["light", "dark"],
    console: Console,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> AsyncIterator[BrowserContext]:
    """
    A browser profile of the test's own. No page in it may complain. When the test fails, a picture of each page that
    is open is kept in its ``tmp_path``.
    """
    context = await browser.new_context(color_scheme=color_scheme, viewport={"width": 1024, "height": 768})
    context.set_default_timeout(WAIT_MILLISECONDS)
    console.follow(context)
    yield context
    failed = request.node.stash.get(FAILED, False)
    if failed:
        for number, page in enumerate(context.pages):
            await page.screenshot(path=tmp_path / f"page-{number}.png", full_page=True)
    await context.close()
    if not failed:
        assert [] == console.unexpected


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    """A page of that profile."""
    return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon that nobody has connected yet, as everywhere in the suite but in the browser's loop."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        yield world
        await sandbox.clear_faults()
        await sandbox.settings()


@pytest.fixture
def home_page(world: World) -> str:
    """The daemon's own origin, as browsers know it."""
    return f"http://localhost:{world.settings.port}"
