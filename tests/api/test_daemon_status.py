"""The daemon's status, for its owner."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from typing import TYPE_CHECKING

from tests.support.world import World, free_port

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.sandbox import Sandbox


async def test_other_requests_do_not_wait_while_the_system_is_asked_for_its_proxy(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows and macOS, that resolves a name, for which a network without an answer takes many seconds."""
    asked, ended = threading.Event(), threading.Event()

    def resolve(_: str) -> bool:
        asked.set()
        return ended.wait(5)

    monkeypatch.setattr(urllib.request, "proxy_bypass", resolve)
    async with World.running(tmp_path, sandbox, free_port(), api_url="https://upstash.invalid") as world:
        status = asyncio.create_task(world.call("GET", "/v1/daemon"))
        await asyncio.to_thread(asked.wait, 5)
        health = await world.get("/health")
        was_pending = not status.done()
        answered = await status
        ended.set()

    assert (200, True) == (health.status, was_pending)
    assert (200, None) == (answered.status, answered.json["network"])
