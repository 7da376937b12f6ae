"""
Fixtures of the tests with a real browser.

The browser is started once and belongs to one event loop, so all tests in this folder, and their daemons, run in the
event loop of the session.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import pytest_asyncio

from tests.support.browser import WAIT_MILLISECONDS, Console, launch, playwright_driver
from tests.support.sandbox import Sandbox
from tests.support.world import World

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Playwright

HERE = Path(__file__).parent
FAILED: pytest.StashKey[bool] = pytest.StashKey()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests in this folder in the event loop of the session."""
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record which tests failed: screenshots of those are kept."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    """Return the Playwright driver."""
    async with playwright_driver() as playwright:
        yield playwright


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(playwright: Playwright) -> AsyncIterator[Browser]:
    """Return the system's Chromium, running headless."""
    browser = await launch(playwright)
    yield browser
    await browser.close()


@pytest.fixture
def color_scheme() -> Literal["light", "dark"]:
    """Return the preferred color scheme. To test both, parametrize ``color_scheme``."""
    return "light"


@pytest.fixture
def console() -> Console:
    """Return the errors that pages log. A test declares errors that it causes: ``console.expect("403")``."""
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
    Return a browser profile for one test. Unexpected errors in its pages fail the test. After a failure, a screenshot
    of each open page is in the test's ``tmp_path``.
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
    """Return a page in the test's profile."""
    return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """Run a daemon without a connected account, as in the rest of the suite, but in the browser's event loop."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        yield world
        await sandbox.clear_faults()
        await sandbox.settings()


@pytest_asyncio.fixture(loop_scope="session")
async def open_world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """Run a daemon without a client ID, which uses the open sign-in."""
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None) as world:
        yield world
        await sandbox.clear_faults()
        await sandbox.settings()


@pytest.fixture
def home_page(world: World) -> str:
    """Return the address that the daemon shares with other programs: of the API, and of the OAuth redirect."""
    return f"http://localhost:{world.settings.port}"


@pytest.fixture
def pages_origin(world: World) -> str:
    """Return the origin of the owner's pages."""
    return world.pages
