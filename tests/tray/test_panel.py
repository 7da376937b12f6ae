"""The icon in a real panel, with a mouse and a camera."""

from __future__ import annotations

import secrets
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.panel import HEIGHT, Panel
from tests.support.tray_process import TrayProcess
from tests.support.until import until
from tests.support.world import PASSWORD
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from PIL.Image import Image

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.slow


class Desktop:
    """A panel, the daemon and the tray of one user."""

    def __init__(self, panel: Panel, daemon: DaemonProcess, tray: TrayProcess, folder: Path) -> None:
        self.panel = panel
        self.daemon = daemon
        self.tray = tray
        self._folder = folder

    def opened(self) -> list[str]:
        """Return what the browser was told to open."""
        opened = self._folder / "opened"
        return opened.read_text().splitlines() if opened.exists() else []

    def shows(self, sign: IconStatus) -> Image:
        """Wait until the icon shows ``sign``, and return what is on the display then."""
        return self.panel.until(looks_like(sign), keep=self._folder / "last.png")


def looks_like(sign: IconStatus) -> Callable[[Image], bool]:
    """Return what tells whether a picture of the panel has ``sign`` in it, and no other as much."""

    def sees(icon: Image) -> bool:
        by_sign = {one: distance(icon, one) for one in IconStatus}
        return by_sign[sign] < ALIKE and min(by_sign, key=by_sign.__getitem__) == sign

    return sees


ALIKE = 25.0
"""Of 255 levels, in the mean over the icon: the panel scales it. Two different signs are more than 50 apart."""


def distance(icon: Image, sign: IconStatus) -> float:
    """Return how much a picture of the panel differs from ``sign``, in the size and at the place that fits best."""
    return min(
        _distance(icon, rendering, (icon.width - rendering.width) // 2 + dx, (icon.height - rendering.height) // 2 + dy)
        for rendering in scaled(sign)
        for dx in range(-2, 3)
        for dy in range(-2, 3)
    )


@cache
def scaled(sign: IconStatus) -> tuple[Image, ...]:
    """Return a sign as the panel may scale it: it takes one size and makes of it what it has room for."""
    sizes = range(HEIGHT // 2, HEIGHT - 5, 2)
    return tuple(one.resize((size, size)) for one in renderings(sign) if one.width < HEIGHT for size in sizes)


def _distance(icon: Image, rendering: Image, x: int, y: int) -> float:
    from PIL import Image as Images
    from PIL import ImageChops, ImageStat

    box = (x, y, x + rendering.width, y + rendering.height)
    expected = Images.new("RGB", rendering.size, icon.getpixel((0, 0)))
    expected.paste(rendering, (0, 0), rendering)
    return float(sum(ImageStat.Stat(ImageChops.difference(icon.crop(box), expected)).mean) / 3)


@pytest.fixture
def desktop(tmp_path: Path, far_side: Sandbox, daemon_port: int) -> Iterator[Desktop]:
    """A user who has logged in."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o700)
    with Panel.running() as panel:
        environment = {**panel.environment, "BROWSER": f"{browser} %s"}
        with DaemonProcess.running(
            tmp_path / "home",
            port=daemon_port,
            environment=environment,
            client_id=far_side.client_id,
            auth_url=far_side.auth_url,
            api_url=far_side.api_url,
            rest_url=far_side.rest_url,
        ) as daemon:
            theirs = {**environment, "UPSTASH_HELPER_HOME": str(tmp_path / "home")}
            with TrayProcess.running(theirs, "--wait", "30") as tray:
                yield Desktop(panel, daemon, tray, tmp_path)


async def test_the_icon_follows_a_sign_in_and_the_end_of_the_daemon(desktop: Desktop, far_side: Sandbox) -> None:
    """From disconnected over connecting to connected, then absent: each is a picture of its own on the screen."""
    desktop.shows(IconStatus.DISCONNECTED)
    email = f"panel-{secrets.token_hex(4)}@example.com"
    started = desktop.daemon.client.connect(open_browser=False)
    desktop.shows(IconStatus.CONNECTING)
    await visit(await far_side.authorize(started.authorization_url, email, PASSWORD))  # type: ignore[union-attr]
    desktop.shows(IconStatus.CONNECTED)
    desktop.daemon.kill()
    desktop.shows(IconStatus.ABSENT)
    desktop.daemon.start()
    desktop.shows(IconStatus.DISCONNECTED)


async def visit(address: str) -> None:
    """Go where the browser is sent."""
    import aiohttp

    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with aiohttp.ClientSession() as session, session.get(address, headers=headers) as response:
        assert 200 == response.status


def test_a_click_opens_the_dashboard(desktop: Desktop) -> None:
    """The browser gets a file that leads there, and no ticket on its command line."""
    desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.click()
    [address] = until(desktop.opened)

    assert address.startswith("file://")
    assert address.endswith("/dashboard.html")


def test_the_menu_opens_and_does_what_is_chosen(desktop: Desktop) -> None:
    """With the right button and the keyboard, as on any other icon: the last entry quits, and the daemon goes on."""
    before = desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.click(right=True)
    until(lambda: differs(before, desktop.panel.picture()))
    desktop.panel.press("Up", "Up", "Return")

    until(lambda: desktop.tray.poll() is not None)
    assert "disconnected" == desktop.daemon.client.connection().state


def test_a_panel_that_crashed_gets_the_icon_again(desktop: Desktop) -> None:
    """It is there as soon as the panel is."""
    desktop.shows(IconStatus.DISCONNECTED)
    desktop.panel.kill()
    desktop.panel.start()
    desktop.shows(IconStatus.DISCONNECTED)


def differs(before: Image, after: Image) -> bool:
    """Return whether something has opened below the panel."""
    from PIL import ImageChops

    below = (0, HEIGHT + 2, *before.size)
    return ImageChops.difference(before.crop(below), after.crop(below)).getbbox() is not None
