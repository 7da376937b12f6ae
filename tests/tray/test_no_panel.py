"""Where there is no panel, or not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.login import says
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.until import until_async
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring


async def test_without_a_desktop_it_says_so(tmp_path: Path) -> None:
    """One sentence, what to do, and an exit code of its own; on a server, say."""
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
    [("ubuntu:GNOME", "gnome-shell-extension-appindicator"), ("XFCE", "Status Tray Plugin"), ("KDE", "System Tray")],
)
async def test_without_a_panel_it_says_what_this_desktop_needs(
    environment: dict[str, str], desktop: str, advice: str
) -> None:
    """Each has another name for it."""
    ran = await run_cli("tray", environment={**environment, "XDG_CURRENT_DESKTOP": desktop})

    assert exit_codes.NO_TRAY == ran.code
    assert advice in ran.err


async def test_at_login_it_waits_for_the_panel(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """Which may be started later than the tray."""
    with TrayProcess.running(environment, "--wait", "60"):
        await until_async(lambda: somebody_is_on(bus))
        async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
            await (await host.item()).until(says("The helper is not running"))


def somebody_is_on(bus: PrivateKeyring) -> bool:
    """Return whether anybody is on the bus."""
    from jeepney import DBusAddress, new_method_call  # type: ignore[import-untyped]
    from jeepney.io.blocking import open_dbus_connection  # type: ignore[import-untyped]

    at = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
    with open_dbus_connection(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as connection:
        names = connection.send_and_get_reply(new_method_call(at, "ListNames")).body[0]
        return any(name.startswith(":") and name != connection.unique_name for name in names)


async def test_the_check_names_the_backend(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """For scripts and for `doctor`."""
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]):
        checked = await run_cli("tray", "--check", "--json", environment=environment)

    assert (exit_codes.OK, {"backend": "statusnotifier"}) == (checked.code, checked.json)
