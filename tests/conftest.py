"""Fixtures that every part of the suite may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.sandbox import Sandbox
from tests.support.world import World, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytest_plugins = [
    "tests.support.skips",
    "tests.support.failed_checks",
    "tests.support.in_memory",
    "tests.support.longest_first",
]


@pytest.fixture(scope="session")
def daemon_port() -> int:
    """The port on which the tests' daemons listen one after another: the sandbox knows its redirect URI."""
    return free_port()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory, daemon_port: int) -> AsyncIterator[Sandbox]:
    """One sandbox for the whole run; each test signs up with an account of its own."""
    data = tmp_path_factory.mktemp("sandbox")
    uris = (f"http://localhost:{daemon_port}",)
    async with Sandbox.running(data, redirect_uris=uris, quick_sign_ups=True) as sandbox:
        yield sandbox


@pytest.fixture
async def open_world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon without a client ID, which uses the open sign-in."""
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None) as world:
        yield world
        await sandbox.clear_faults()
        await sandbox.settings()


@pytest.fixture
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon that nobody has connected yet."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        yield world
        await sandbox.clear_faults()
        await sandbox.settings()
