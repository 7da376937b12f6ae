"""The result page of a failed sign-in can have the dashboard opened, but never gets into it itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.failed_sign_in import failed_page
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon that opens the browser, which only records the addresses."""
    async with World.running(tmp_path, sandbox, daemon_port, open_browser=True) as world:
        yield world


async def test_apps_cannot_open_one_dashboard_after_the_other(world: World) -> None:
    """An app that fails its own sign-in has the page, too. It gets no address, and one window a minute."""
    address = await failed_page(world, app=True)
    path = f"/attempts/{address.partition('attempt=')[2]}/dashboard"

    answers = [await world.call("POST", path, {}, token=None, headers=world.as_own_page()) for _ in range(3)]

    assert [200, 429, 429] == [answer.status for answer in answers]
    assert {"opened": True} == answers[0].json
    assert 1 == len(world.browser.opened)


@pytest.mark.parametrize("origin", ["https://evil.example", "{shared}", "null", ""])
async def test_other_pages_cannot_open_the_dashboard(world: World, origin: str) -> None:
    """Only the result page itself, at the origin of the owner's pages."""
    address = await failed_page(world)
    path = f"/attempts/{address.partition('attempt=')[2]}/dashboard"
    sent = origin.format(shared=f"http://localhost:{world.port}")
    headers = {"Origin": sent} if sent else {}

    answer = await world.call("POST", path, {}, token=None, headers=headers)

    assert answer.status in {403, 404}
    assert [] == world.browser.opened


@pytest.mark.parametrize("state", ["pending", "unknown", "none", "incomplete"])
async def test_only_a_failed_sign_in_opens_the_dashboard(world: World, state: str) -> None:
    """The key of a page that can still succeed, or an invented one, does not."""
    started = await world.start()
    world.browser.opened.clear()
    key = started["attempt_id"] if state == "pending" else state

    answer = await world.call("POST", f"/attempts/{key}/dashboard", {}, token=None, headers=world.as_own_page())

    assert (404, "attempt_not_found") == (answer.status, answer.code)
    assert [] == world.browser.opened


async def test_user_without_a_browser_gets_a_command(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """With ``open_browser = false``, nothing is opened, and no ticket is created."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        address = await failed_page(world)
        path = f"/attempts/{address.partition('attempt=')[2]}/dashboard"

        answer = await world.call("POST", path, {"section": "key"}, token=None, headers=world.as_own_page())

    assert (200, {"opened": False}) == (answer.status, answer.json)
    assert [] == world.browser.opened
