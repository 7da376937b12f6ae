"""Fixtures of the tray's tests: the daemon as a process, connected or not."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import display
from tests.support.daemon import DaemonProcess
from tests.support.login import Login
from tests.support.notifications import session_bus
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox


@pytest.fixture
def desk() -> Iterator[display.Desk]:
    """An X display that nobody sees, with a clipboard."""
    with display.desk() as desk:
        yield desk


@pytest.fixture
def browser(tmp_path: Path) -> str:
    """A program that is taken for the user's browser, and does nothing: whoever runs the tests may have a real one."""
    script = tmp_path / "browser"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    return f"{script} %s"


@pytest.fixture
def running(tmp_path: Path, far_side: Sandbox, daemon_port: int, browser: str) -> Iterator[DaemonProcess]:
    """A daemon that nobody has connected yet."""
    with DaemonProcess.running(
        tmp_path / "home",
        port=daemon_port,
        environment={"BROWSER": browser},
        client_id=far_side.client_id,
        auth_url=far_side.auth_url,
        api_url=far_side.api_url,
        rest_url=far_side.rest_url,
    ) as daemon:
        yield daemon


@pytest.fixture
async def account(far_side: Sandbox) -> AsyncIterator[str]:
    """The e-mail of an account without databases; the far side is in good health again afterwards."""
    email = f"tray-{secrets.token_hex(4)}@example.com"
    await far_side.account(email, PASSWORD)
    yield email
    await far_side.clear_faults()


@pytest.fixture
async def connected(running: DaemonProcess, far_side: Sandbox, account: str) -> str:
    """The e-mail of the account to which the daemon is connected."""
    running.client.use_api_key(email=account, api_key=await far_side.api_key(account, "made-in-the-console"))
    return account


@pytest.fixture
def bus() -> Iterator[PrivateKeyring]:
    """A session bus, with nobody on it."""
    with session_bus() as bus:
        yield bus


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """The file into which the browser of ``environment`` writes what it is told to open."""
    return tmp_path / "opened"


@pytest.fixture
def environment(bus: PrivateKeyring, tmp_path: Path, opened: Path) -> dict[str, str]:
    """The environment of every program of the session on ``bus``."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    script.chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COV", "PYTHON"))}
    return {**kept, **bus.env, "BROWSER": f"{script} %s", "UPSTASH_HELPER_HOME": str(tmp_path / "home")}


@pytest.fixture
async def login(
    bus: PrivateKeyring, environment: dict[str, str], far_side: Sandbox, daemon_port: int
) -> AsyncIterator[Login]:
    """A user who has logged in, and has no account connected."""
    async with Login.of(bus, environment, far_side, daemon_port) as login:
        yield login
