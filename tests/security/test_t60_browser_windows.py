"""Threat T60: an app that asks for browser windows gets one a minute, whatever it does to get more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.world import App, Reply, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox


async def ask_for_window(world: World, app: App) -> Reply:
    """Start a sign-in with a browser window, and end it."""
    reply = await world.as_app(app, "POST", "/v1/connection", {"open_browser": True})
    assert reply.status == 202, reply.text
    ended = await world.as_app(app, "DELETE", f"/v1/connection/attempts/{reply.json['attempt_id']}")
    assert ended.status == 200, ended.text
    return reply


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:5173", None], ids=["web", "dev", "native"]
)
async def test_t60_hundred_windows_take_a_hundred_minutes(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, origin: str | None
) -> None:
    """The sign-in itself starts, and the answer has the seconds until the next window."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        app = await world.pair("connection:write", origin=origin)
        replies = []
        for _ in range(100):
            replies.append((await ask_for_window(world, app)).json)
            clock.advance(1)
        opened = [second for second, reply in enumerate(replies) if reply.get("browser_opened")]

        assert [0, 60] == opened
        assert 2 == len(world.browser.opened)
        assert [59, 1, 59] == [replies[second]["browser_retry_after"] for second in (1, 59, 61)]
        assert "browser_retry_after" not in replies[60]


async def test_t60_access_that_is_requested_again_does_not_reset_the_limit(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The limit belongs to the identity, not to the token."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        for _ in range(4):
            app = await world.pair("connection:write", origin="https://evil.example")
            await ask_for_window(world, app)
            await world.as_app(app, "DELETE", "/v1/token")
            clock.advance(14)

        assert 1 == len(world.browser.opened)


async def test_t60_pages_on_loopback_are_one_app(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A program can serve a page on any number of names and ports."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=FakeClock()) as world:
        for host in ("localhost:5173", "localhost:5174", "a0.localhost", "127.0.0.1:9", "[::1]:9"):
            app = await world.pair("connection:write", origin=f"http://{host}")
            await ask_for_window(world, app)

        assert 1 == len(world.browser.opened)


async def test_t60_pages_of_a_site_are_one_app(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A site has any number of subdomains and ports. Each extension, and each program, is on its own."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=FakeClock()) as world:
        origins = [
            "https://evil.example.co.uk", "https://a.evil.example.co.uk", "https://evil.example.co.uk:8443",
            "chrome-extension://" + "a" * 32, None,
        ]  # fmt: skip
        opened = []
        for origin in origins:
            app = await world.pair("connection:write", origin=origin)
            opened.append((await ask_for_window(world, app)).json.get("browser_opened", False))

        assert [True, False, False, True, True] == opened


async def test_t60_all_apps_together_are_limited(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Many sites of one attacker open three windows a minute together."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        apps = [await world.pair("connection:write", origin=f"https://evil{n}.example") for n in range(5)]
        for app in apps:
            await ask_for_window(world, app)
        first = len(world.browser.opened)
        clock.advance(60)
        for app in apps:
            await ask_for_window(world, app)

        assert (3, 6) == (first, len(world.browser.opened))


async def test_t60_owner_is_not_limited(world: World) -> None:
    """The user may open the sign-in as often as they like, and an app's windows do not count."""
    app = await world.pair("connection:write", origin="https://evil.example")
    await ask_for_window(world, app)

    for _ in range(5):
        await world.start(open_browser=True, force=True)

    assert 6 == len(world.browser.opened)
