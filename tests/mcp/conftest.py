"""Fixtures of the tests of ``/mcp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.mcp.fixture_server import FixtureServer
from tests.mcp.raw_client import Agent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server() -> AsyncIterator[FixtureServer]:
    """The endpoint with fixture tools."""
    async with FixtureServer.running() as server:
        yield server


@pytest.fixture
def agent(server: FixtureServer) -> Agent:
    """A client without a session."""
    return Agent(server.session, server.url)


@pytest.fixture
async def legacy(server: FixtureServer) -> Agent:
    """A client with a session, whose user can answer."""
    agent = Agent(server.session, server.url, capabilities={"elicitation": {}})
    await agent.initialize()
    return agent
