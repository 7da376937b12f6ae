"""The icon in a real panel, with a mouse and screenshots."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.icon_pictures import differs, looks_like
from tests.support.panel import Panel
from tests.support.redirect import target_of
from tests.support.tray_process import TrayProcess
from tests.support.until import until
from tests.support.world import PASSWORD
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from PIL.Image import Image

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow


class Desktop:
    """The panel, daemon, and tray of a user."""

    def __init__(self, panel: Panel, daemon: DaemonProcess, tray: TrayProcess, folder: Path) -> None:
        self.panel = panel
        self.daemon = daemon
        self.tray = tray
        self._folder = folder

    def opened(self) -> list[str]:
        """Return the addresses that the browser was told to open."""
        opened = self._folder / "opened"
        return opened.read_text().splitlines() if opened.exists() else []

    def shows(self, status: IconStatus) -> Image:
        """Wait until the icon shows a status, and return a screenshot."""
        return self.panel.until(looks_like(status), keep=self._folder / "last.png")


@pytest.fixture
def desktop(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[Desktop]:
    """A desktop session."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o700)
    with Panel.running() as panel:
        environment = {**panel.environment, "BROWSER": f"{browser} %s"}
        with DaemonProcess.running(
            tmp_path / "home",
            port=daemon_port,
            environment=environment,
            client_id=sandbox.client_id,
            auth_url=sandbox.auth_url,
            api_url=sandbox.api_url,
            rest_url=sandbox.rest_url,
        ) as daemon:
            theirs = {**environment, "UPSTASH_HELPER_HOME": str(tmp_path / "home")}
            with TrayProcess.running(theirs, "--wait", "30") as tray:
                yield Desktop(panel, daemon, tray, tmp_path)


async def test_icon_follows_a_sign_in_and_a_restart_of_the_daemon(desktop: Desktop, sandbox: Sandbox) -> None:
    """Each status is visible on the screen."""
    states = []

    def shows(status: IconStatus) -> None:
        desktop.shows(status)
        states.append(desktop.daemon.client.connection().state)

    shows(IconStatus.DISCONNECTED)
    email = f"panel-{secrets.token_hex(4)}@example.com"
    started = desktop.daemon.client.connect(open_browser=False)
    shows(IconStatus.CONNECTING)
    await visit(await sandbox.authorize(started.authorization_url, email, PASSWORD))  # type: ignore[union-attr]
    shows(IconStatus.CONNECTED)
    desktop.daemon.kill()
    desktop.shows(IconStatus.ABSENT)
    desktop.daemon.start()
    shows(IconStatus.DISCONNECTED)

    assert ["disconnected", "connecting", "connected", "disconnected"] == states


async def visit(address: str) -> None:
    """Open an address as the browser does."""
    import aiohttp

    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as response:
        assert 200 == response.status


def test_click_opens_the_dashboard(desktop: Desktop) -> None:
    """The browser gets a one-time link, without a ticket on its command line."""
    desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.click()
    [address] = until(desktop.opened)

    assert "ticket" not in address
    assert "#ticket=" in target_of(address)


def test_menu_opens_and_carries_out_a_choice(desktop: Desktop) -> None:
    """The right button opens it, and the keyboard chooses Quit. The daemon keeps running."""
    before = desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.click(right=True)
    until(lambda: differs(before, desktop.panel.picture()))
    desktop.panel.press("Up", "Up", "Return")

    until(lambda: desktop.tray.poll() is not None)
    assert "disconnected" == desktop.daemon.client.connection().state


def test_restarted_panel_shows_the_icon_again(desktop: Desktop) -> None:
    """The panel has crashed."""
    desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.kill()
    desktop.panel.start()
    desktop.shows(IconStatus.DISCONNECTED)
    tray = desktop.daemon.client.status().tray

    assert desktop.tray.poll() is None
    assert tray is not None
    assert "attached" == tray.state
