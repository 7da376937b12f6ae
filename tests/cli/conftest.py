"""Fixtures of the command line's tests: a daemon as a process, an account, and a shell."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Ran, run_cli
from tests.support.daemon import DaemonProcess
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

Shell = Callable[..., Awaitable[Ran]]


@pytest.fixture
def running(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[DaemonProcess]:
    """A daemon without a connection."""
    with DaemonProcess.running(
        tmp_path / "home",
        port=daemon_port,
        client_id=sandbox.client_id,
        auth_url=sandbox.auth_url,
        api_url=sandbox.api_url,
        rest_url=sandbox.rest_url,
    ) as daemon:
        yield daemon


@pytest.fixture
def shell(running: DaemonProcess) -> Shell:
    """Runs a command as the daemon's user."""

    async def run(*arguments: str, typed: str | None = None) -> Ran:
        return await run_cli(*arguments, environment=running.environment, typed=typed)

    return run


@pytest.fixture
async def connected(running: DaemonProcess, sandbox: Sandbox) -> str:
    """The email of an account without databases, to which the daemon is connected."""
    email = f"cli-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")
    running.client.use_api_key(email=email, api_key=key)
    return email
