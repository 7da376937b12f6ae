"""The tray as a process on a session bus, with a panel, a daemon, and a sandbox of Upstash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, free_port
from tests.support.display import desk
from tests.support.login import Login, shows
from tests.support.notifications import Desktop
from tests.support.sample_app import SampleApp
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.until import until_async
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire
from upstash_helper.system import private_files
from upstash_helper_tray.menu.guard import SETTLE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox

PAGE = "https://orders.example.com"
RECOVERED_SECONDS = 5.0
"""Seconds in which the tray promises to notice that the daemon has ended or started."""


# --- menu and clicks --------------------------------------------------------------------------------------------------


async def test_tooltip_and_menu_show_state_and_account(login: Login, sandbox: Sandbox) -> None:
    """Both are updated when an account is connected."""
    item = await login.item()
    before = await item.until(shows("No account connected"))
    email = await login.connect(sandbox)
    after = await item.until(shows(email))
    properties = await item.properties()

    assert "Sandbox: a local Upstash (gray)" in after.texts()
    assert "Connect" in before.texts()
    assert "Connect" not in after.texts()
    assert ("upstash-helper", "Active") == (properties["Id"], properties["Status"])
    assert [16, 20, 22, 24, 32, 44, 48, 64] == [width for width, _, _ in properties["IconPixmap"]]


async def test_app_approved_in_the_menu_gets_its_token(login: Login) -> None:
    """The app requests access, the user sees its identity and code and chooses Allow, and the token works."""
    item = await login.item()
    await item.until(shows("No account"))
    app = SampleApp.requesting(login.daemon, "connection:read", origin=PAGE, reason="To show your orders")
    pending = await item.until(shows(app.pairing["user_code"]))
    prompt = pending.find(f"{PAGE} · {app.pairing['user_code']}")
    code = app.pairing["user_code"]
    await item.choose(prompt.text, "Allow", then=lambda _, menu: code not in str(menu.texts()))
    await until_async(lambda: app.state == "approved")
    token = app.fetch().json["token"]
    used = app.send("GET", "/v1/connection", token=token)
    after = await item.until(lambda _, menu: PAGE in str(menu.find("Apps").texts()))

    assert 200 == used.status
    assert PAGE in prompt.lines[0].text
    assert any("To show your orders" in line.text for line in prompt.lines)
    assert not any(app.pairing["user_code"] in text for text in after.texts())


async def test_click_in_an_outdated_menu_does_not_approve_another_app(login: Login) -> None:
    """Allow of a request that is gone does not apply to the next one."""
    item = await login.item()
    await item.until(shows("No account"))
    first = SampleApp.requesting(login.daemon, "connection:read", origin=PAGE)
    shown = await item.until(shows(first.pairing["user_code"]))
    allow = shown.find(f"{PAGE} · ", "Allow")
    login.daemon.client.deny(first.id)
    await item.until(lambda _, menu: not any(line.text.startswith(PAGE) for line in menu.lines))
    second = SampleApp.requesting(login.daemon, "upstash:write", origin="https://evil.example")
    await item.until(shows(second.pairing["user_code"]))
    await asyncio.sleep(SETTLE_SECONDS)  # so that it is not the delay that protects the second app
    await item.click_id(allow.id)
    await item.click("About")  # queued after it

    assert ("denied", "pending") == (first.state, second.state)
    assert () == login.daemon.client.apps()


async def test_credentials_are_copied_from_the_menu(
    bus: PrivateKeyring, environment: dict[str, str], sandbox: Sandbox, daemon_port: int
) -> None:
    """The URL works in a Redis client. When the tray ends, it clears the clipboard."""
    with desk() as clipboard:
        theirs = {**environment, "DISPLAY": clipboard.environ["DISPLAY"]}
        async with Login.of(bus, theirs, sandbox, daemon_port) as login:
            await login.connect(sandbox)
            new = wire.CreateDatabase(name="or_ders", primary_region="us-east-1")
            made = login.daemon.client.create_database(new, idempotency_key="one")
            item = await login.item()
            await item.until(shows("or_ders"))
            await item.click("Databases", "or_ders", "Copy Redis URL")
            copied = await until_async(clipboard.paste)
            expected = login.daemon.client.credentials(made.id).redis_url
            ended = login.tray.stop()
            left = clipboard.paste()

    assert expected == copied
    assert ((0, ""), "") == (ended, left)


async def test_click_on_the_icon_opens_the_dashboard(login: Login, opened: Path) -> None:
    """The address on the browser's command line is a one-time link and contains no ticket."""
    item = await login.item()
    await item.until(shows("No account"))
    await item.activate()
    await until_async(opened.exists)
    [address] = opened.read_text().splitlines()

    assert "/links/" in address
    assert "ticket" not in address


# --- notifications ----------------------------------------------------------------------------------------------------


async def test_access_request_is_notified_by_either_the_tray_or_the_daemon(
    bus: PrivateKeyring, environment: dict[str, str], tmp_path: Path
) -> None:
    """The tray notifies while it is running, and the daemon otherwise, from its second start on."""
    welcomed = DaemonProcess(tmp_path / "home").folders.welcome_file
    private_files.make_folder(welcomed.parent)
    private_files.write(welcomed, b"")
    async with (
        Desktop.on(bus) as screen,
        TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host,
    ):
        with DaemonProcess.running(tmp_path / "home", environment=environment, quietly=False) as daemon:
            SampleApp.requesting(daemon, "connection:read", origin="https://first.example")
            await until_async(lambda: len(screen.shown) == 1)
            with TrayProcess.running(environment):
                item = await host.item()
                await item.until(shows("https://first.example"))
                await until_async(
                    lambda: len(screen.shown) == 2
                )  # the tray notifies of requests that were pending before it started
                SampleApp.requesting(daemon, "connection:read", origin="https://second.example")
                await item.until(shows("https://second.example"))
                await until_async(lambda: len(screen.shown) == 3)
                daemon.client.deny(daemon.client.pairings()[0].id)
                await item.until(lambda _, menu: "https://first.example" not in str(menu.texts()))

    titles = [one.title for one in screen.shown]
    assert ["https://first.example"] * 2 + ["https://second.example"] == [title.split()[0] for title in titles]
    assert all(one.hints["urgency"][1] < 2 for one in screen.shown)
    assert ["default", "Open"] == screen.shown[2].actions


# --- restarts ---------------------------------------------------------------------------------------------------------


async def test_tray_follows_a_killed_and_restarted_daemon(login: Login, sandbox: Sandbox) -> None:
    """The icon shows that it ended, and then finds the new one, which has another token."""
    await login.connect(sandbox)
    item = await login.item()
    await item.until(shows("Connected"))
    login.daemon.kill()
    await item.until(shows("The helper is not running"), seconds=RECOVERED_SECONDS)
    login.daemon.start()
    await item.until(shows("No account connected"), seconds=RECOVERED_SECONDS)

    assert 1 == login.host.registrations


async def test_daemon_keeps_its_state_when_the_tray_is_killed(login: Login, sandbox: Sandbox) -> None:
    """The daemon notices that the tray has ended. The next tray shows the same state."""
    await login.connect(sandbox)
    item = await login.item()
    await item.until(shows("Connected"))
    attached, icons = login.daemon.client.status().tray, login.host.registrations
    login.tray.kill()
    await until_async(lambda: tray_state(login) == "unavailable", seconds=RECOVERED_SECONDS)
    login.tray.start()
    await until_async(lambda: tray_state(login) == "attached", seconds=RECOVERED_SECONDS)
    # The tray attaches to the daemon and registers its icon in either order.
    await until_async(lambda: login.host.registrations > icons, seconds=RECOVERED_SECONDS)
    await (await login.item()).until(shows("Connected"), seconds=RECOVERED_SECONDS)

    assert attached is not None
    assert ("attached", "statusnotifier", True) == (attached.state, attached.backend, attached.notifies)
    assert "connected" == login.daemon.client.connection().state


def tray_state(login: Login) -> str:
    """Return the state of the tray that the daemon reports."""
    tray = login.daemon.client.status().tray
    assert tray is not None
    return tray.state


async def test_tray_starts_and_stops_the_daemon(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """The menu offers each when it applies."""
    settings = {"UPSTASH_HELPER_CREDENTIAL_STORE": "memory", "UPSTASH_HELPER_PORT": str(free_port())}
    theirs = {**environment, **settings}
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
        with TrayProcess.running(theirs):
            item = await host.item()
            before = await item.until(shows("The helper is not running"))
            await item.click("Start the helper")
            try:
                running = await item.until(shows("No account connected"))
                after = await item.choose("Stop helper", "Stop the helper", then=shows("The helper is not running"))
            finally:
                await run_cli("stop", environment=theirs)

    assert [True, False, True] == ["Start the helper" in menu.texts() for menu in (before, running, after)]
    assert [False, True, False] == ["  Stop the helper" in menu.texts() for menu in (before, running, after)]


async def test_second_tray_exits(login: Login) -> None:
    """It prints that there already is an icon, and shows none."""
    await (await login.item()).until(shows("No account"))
    second = await run_cli("tray", environment=login.tray.environment)

    assert (exit_codes.OK, "") == (second.code, second.out)
    assert "already" in second.err
    assert 1 == login.host.registrations


async def test_replace_ends_the_running_tray(login: Login) -> None:
    """As after an upgrade. The old tray exits as with Quit."""
    await (await login.item()).until(shows("No account"))
    with TrayProcess.running(login.tray.environment, "--replace") as new:
        ended, printed = await asyncio.to_thread(login.tray.wait)
        await until_async(lambda: login.host.registrations == 2)
        await (await login.item()).until(shows("No account"))
        still_there = new.poll() is None

    assert (exit_codes.OK, "", True) == (ended, printed, still_there)


async def test_replace_keeps_the_running_tray_if_no_icon_can_be_shown(login: Login) -> None:
    """Otherwise there would be no icon."""
    item = await login.item()
    await item.until(shows("No account"))
    elsewhere = {**login.tray.environment, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere", "DISPLAY": ""}
    second = await run_cli("tray", "--replace", environment=elsewhere)

    assert exit_codes.NO_TRAY == second.code
    await item.until(shows("No account"))
    assert login.tray.poll() is None


async def test_restarted_panel_gets_the_icon_again(login: Login) -> None:
    """The panel restarts after a crash or an update of the desktop."""
    await (await login.item()).until(shows("No account"))
    login.host.stop()
    await login.host.start()
    menu = await (await login.item()).until(shows("No account"))

    assert "Connect" in menu.texts()
    assert 1 == login.host.registrations
    assert login.tray.poll() is None


async def test_tray_exits_when_the_session_ends(login: Login) -> None:
    """It prints the reason, for a user who started it in a terminal."""
    await (await login.item()).until(shows("No account"))
    login.host.stop()
    login.bus.kill_bus()
    code, printed = login.tray.wait()

    assert exit_codes.NO_TRAY == code, printed
    assert "session bus" in printed
    assert "Traceback" not in printed
