"""The conformance suite: all that a version requires of the endpoint, and at the daemon what needs no special tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mcp import conformance
from tests.mcp.fixture_server import FixtureServer
from tests.mcp.messages import agent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

SCOPES = ("databases:read", "databases:write", "databases:delete")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "count"), [(conformance.CURRENT, 37), (conformance.HANDSHAKE, 30)], ids=["current", "handshake"]
)
async def test_endpoint_conforms(tmp_path: Path, version: str, count: int) -> None:
    """
    The endpoint, with the tools that the suite calls by name. Every required scenario passes, or is in our list of
    expected failures, of which each fails.
    """
    async with FixtureServer.running() as server:
        report = await conformance.requirements(server.url, tmp_path, version)

    assert 0 == report.code, report.text[-5_000:]
    required = conformance.required(version)
    assert count == len(required)
    assert required - {it.partition(":")[0] for it in conformance.expected_failures(version)} <= report.passed


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
    """Nothing fails but what is in our list, and each scenario has checked something."""
    await world.connect()
    app = await agent(world, *SCOPES)
    url = f"http://localhost:{world.port}/mcp"

    for name in scenarios:
        report = await conformance.scenario(url, app.token, tmp_path / name, version, name)

        listed = [it for it in conformance.expected_failures("daemon") if it.startswith(f"{name}:")]
        assert listed == [it.partition(" ")[0] for it in report.failed], report.text
        assert 0 == report.code, report.text
        assert report.by_status("SUCCESS"), report.text
