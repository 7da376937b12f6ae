"""The conformance suite's scenarios that need no tools of its own, at the daemon itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mcp import conformance
from tests.mcp.messages import agent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

SCOPES = ("databases:read", "databases:write", "databases:delete")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "scenarios"),
    [
        (conformance.CURRENT, ("tools-list", "caching", "dns-rebinding-protection", "http-header-validation")),
        (conformance.HANDSHAKE, ("server-initialize", "ping", "tools-list", "dns-rebinding-protection")),
    ],
    ids=["current", "handshake"],
)
async def test_daemon_conforms(world: World, tmp_path: Path, version: str, scenarios: tuple[str, ...]) -> None:
    """Nothing fails, and each scenario has checked something."""
    await world.connect()
    app = await agent(world, *SCOPES)
    url = f"http://localhost:{world.port}/mcp"

    for name in scenarios:
        report = await conformance.scenario(url, app.token, tmp_path / name, version, name)

        assert ([], 0) == (report.failed, report.code), report.text
        assert {name} == report.passed, report.text
