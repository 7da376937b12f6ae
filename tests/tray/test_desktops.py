"""The icon in the panels of several desktops, used with the mouse. Each desktop is started once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.icon_pictures import looks_like
from tests.support.menu_pictures import choose, open_menu
from tests.support.sample_app import SampleApp
from tests.support.tray_desktops import LXQt, TrayDesktop, Waybar, desktop
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.until import until
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.tray_host import Line

pytestmark = pytest.mark.slow


@dataclass
class LoggedIn:
    """A user's desktop, daemon, and tray."""

    desktop: TrayDesktop
    daemon: DaemonProcess
    tray: TrayProcess
    folder: Path

    def shows(self, status: IconStatus) -> None:
        """Wait until the icon shows a status."""
        self.desktop.until(looks_like(status), keep=self.folder / "last.png")

    async def menu(self) -> Line:
        """Return the menu, as the tray describes it to the panel."""
        address = self.desktop.session.env["DBUS_SESSION_BUS_ADDRESS"]
        async with TrayHost.item_of(address, self.tray.pid) as item:
            return await item.menu()


@pytest.fixture(scope="module", params=[Waybar, LXQt])
def logged_in(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoggedIn]:
    """A desktop with the icon on its panel."""
    folder = tmp_path_factory.mktemp("desktop")
    with desktop(request.param) as shown:
        shown.keep = folder / "last.png"
        environment = {**shown.environment, "UPSTASH_HELPER_HOME": str(folder / "home")}
        with (
            DaemonProcess.running(folder / "home", environment=environment, api_url="http://127.0.0.1:9") as daemon,
            TrayProcess.running(environment, "--wait", "30") as tray,
        ):
            yield LoggedIn(shown, daemon, tray, folder)


def test_panel_shows_the_icon(logged_in: LoggedIn) -> None:
    """In the daemon's status, with the backend for current panels."""
    logged_in.shows(IconStatus.DISCONNECTED)

    tray = until(lambda: logged_in.daemon.client.status().tray)

    assert tray is not None
    assert "statusnotifier" == tray.backend


async def test_menu_shows_every_entry(logged_in: LoggedIn) -> None:
    """The right mouse button opens it."""
    logged_in.shows(IconStatus.DISCONNECTED)
    menu = await logged_in.menu()
    shown = open_menu(logged_in.desktop, menu)
    logged_in.desktop.press("Escape")
    logged_in.desktop.click(640, 600)

    assert len([line for line in menu.lines if not line.separator]) == len(shown.rows)


async def test_access_request_is_approved_in_the_menu(logged_in: LoggedIn) -> None:
    """The app gets its token after two clicks."""
    app = SampleApp.requesting(logged_in.daemon, origin="https://orders.example.com")
    logged_in.shows(IconStatus.ATTENTION)
    choose(logged_in.desktop, await logged_in.menu(), "https://orders.example.com", "Allow")
    logged_in.shows(IconStatus.DISCONNECTED)

    assert 200 == app.fetch().status
