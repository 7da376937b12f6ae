"""Fixtures of the tray's tests: the daemon as a process, an account, and a desktop session."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import display
from tests.support.daemon import DaemonProcess
from tests.support.login import Login, session_environment
from tests.support.notifications import session_bus
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox


@pytest.fixture
def desk() -> Iterator[display.Desk]:
    """A virtual X display with a clipboard."""
    with display.desk() as desk:
        yield desk


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """A program that does nothing, in place of the real browser of the machine that runs the tests."""
    script = tmp_path / "browser"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return f"{script} %s"


@pytest.fixture
def running(tmp_path: Path, sandbox: Sandbox, daemon_port: int, browser: str) -> Iterator[DaemonProcess]:
    """A daemon without an account."""
    with DaemonProcess.running(
        tmp_path / "home",
        port=daemon_port,
        environment={"BROWSER": browser},
        client_id=sandbox.client_id,
        auth_url=sandbox.auth_url,
        api_url=sandbox.api_url,
        rest_url=sandbox.rest_url,
    ) as daemon:
        yield daemon


@pytest.fixture
async def account(sandbox: Sandbox) -> AsyncIterator[str]:
    """The email of an account without databases. Faults of the sandbox are cleared afterwards."""
    email = f"tray-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    yield email
    await sandbox.clear_faults()


@pytest.fixture
async def connected(running: DaemonProcess, sandbox: Sandbox, account: str) -> str:
    """The email of the account to which the daemon is connected."""
    running.client.use_api_key(email=account, api_key=await sandbox.api_key(account, "made-in-the-console"))
    return account


@pytest.fixture
def bus() -> Iterator[PrivateKeyring]:
    """A session bus without any programs."""
    with session_bus() as bus:
        yield bus


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """The file to which the browser of ``environment`` writes the addresses that it opens."""
    return tmp_path / "opened"


@pytest.fixture
def environment(bus: PrivateKeyring, tmp_path: Path, opened: Path) -> dict[str, str]:
    """The environment of the programs in the session on ``bus``."""
    return session_environment(bus, tmp_path, opened=opened)


@pytest.fixture
async def login(
    bus: PrivateKeyring, environment: dict[str, str], sandbox: Sandbox, daemon_port: int
) -> AsyncIterator[Login]:
    """A desktop session without a connected account."""
    async with Login.of(bus, environment, sandbox, daemon_port) as login:
        yield login
