"""Fixtures of the tray's tests: the daemon as a process, connected or not."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import display
from tests.support.daemon import DaemonProcess
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

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
