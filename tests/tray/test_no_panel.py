"""Starting the tray without a panel, or before the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.login import shows
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.until import until_async
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring


async def test_machine_without_a_desktop_is_reported(tmp_path: Path) -> None:
    """The error has its own exit code and says what to do. This is the case on a server."""
    environment = bare(tmp_path)
    ran = await run_cli("tray", environment=environment)
    checked = await run_cli("tray", "--check", "--json", environment=environment)

    assert (exit_codes.NO_TRAY, "") == (ran.code, ran.out)
    assert "neither a session bus nor a display" in ran.err
    assert "upstash-helper open" in ran.err
    assert exit_codes.NO_TRAY == checked.code
    assert '"code":"no_tray"' in checked.err


def bare(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a machine without a desktop."""
    none = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP"), "")
    return {
        **clean_environment(),
        **none,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "UPSTASH_HELPER_HOME": str(tmp_path / "home"),
    }


@pytest.mark.parametrize(
    ("desktop", "advice"),
    [
        ("ubuntu:GNOME", "gnome-shell-extension-appindicator"),
        ("XFCE", "Status Tray Plugin"),
        ("KDE", "System Tray"),
        ("X-Cinnamon", "xapp-sn-watcher"),
        ("sway", "Waybar"),
    ],
)
async def test_advice_without_a_panel_is_for_the_desktop(
    environment: dict[str, str], desktop: str, advice: str
) -> None:
    """Each desktop has its own component for tray icons."""
    ran = await run_cli("tray", environment={**environment, "XDG_CURRENT_DESKTOP": desktop})

    assert exit_codes.NO_TRAY == ran.code
    assert advice in ran.err


async def test_tray_waits_for_the_panel_at_login(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """The panel may start later than the tray."""
    with TrayProcess.running(environment, "--wait", "60"):
        await until_async(lambda: has_connection(bus))
        async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
            menu = await (await host.item()).until(shows("The helper is not running"))

            assert "Start the helper" in menu.texts()
            assert 1 == host.registrations


def has_connection(bus: PrivateKeyring) -> bool:
    """Return whether a program is connected to the bus."""
    from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    at = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    with open_dbus_connection(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as connection:
        names = connection.send_and_get_reply(new_method_call(at, "ListNames")).body[0]
        return any(name.startswith(":") and name != connection.unique_name for name in names)


async def test_check_prints_the_backend(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """Scripts and `doctor` use it."""
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]):
        checked = await run_cli("tray", "--check", "--json", environment=environment)

    assert (exit_codes.OK, {"backend": "statusnotifier"}) == (checked.code, checked.json)
