"""The tray as its user has it: a process, on a session bus, with a panel, a daemon and a far side, all of them real."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.app_side import AppSide
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, free_port
from tests.support.display import desk
from tests.support.login import Login, says
from tests.support.notifications import Desktop
from tests.support.tray_host import TrayHost
from tests.support.tray_process import TrayProcess
from tests.support.until import until_async
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring
    from tests.support.sandbox import Sandbox

PAGE = "https://orders.example.com"
RECOVERED_SECONDS = 5.0
"""What is promised."""


# --- what it shows, and what it does ----------------------------------------------------------------------------------


async def test_the_tooltip_and_the_menu_tell_state_and_account(login: Login, far_side: Sandbox) -> None:
    """At a glance, and live."""
    item = await login.item()
    before = await item.until(says("No account is connected"))
    email = await login.connect(far_side)
    after = await item.until(says(email))
    properties = await item.properties()

    assert "Connect" in before.texts()
    assert "Connect" not in after.texts()
    assert ("upstash-helper", "Active") == (properties["Id"], properties["Status"])
    assert [16, 20, 22, 24, 32, 44, 48, 64] == [width for width, _, _ in properties["IconPixmap"]]


async def test_an_app_is_approved_in_the_menu_and_gets_its_token(login: Login) -> None:
    """The whole way: it asks, the user sees who it is and its code, chooses Allow, and the app is in."""
    item = await login.item()
    await item.until(says("No account"))
    app = AppSide.asks(login.daemon, "connection:read", origin=PAGE, reason="To show your orders")
    waiting = await item.until(says(app.pairing["user_code"]))
    prompt = waiting.find(f"{PAGE} · {app.pairing['user_code']}")
    await item.click(prompt.text, "Allow")
    await until_async(lambda: app.state == "approved")
    token = app.fetch().json["token"]
    used = app.send("GET", "/v1/connection", token=token)
    after = await item.until(lambda _, menu: PAGE in str(menu.find("Apps").texts()))

    assert 200 == used.status
    assert PAGE in prompt.lines[0].text
    assert any("To show your orders" in line.text for line in prompt.lines)
    assert not any(app.pairing["user_code"] in text for text in after.texts())


async def test_a_click_in_a_menu_that_has_changed_does_what_was_seen(login: Login) -> None:
    """The Allow of an app that is gone is not the Allow of the next."""
    item = await login.item()
    await item.until(says("No account"))
    first = AppSide.asks(login.daemon, "connection:read", origin=PAGE)
    shown = await item.until(says(first.pairing["user_code"]))
    allow = shown.find(f"{PAGE} · ", "Allow")
    login.daemon.client.deny(first.id)
    await item.until(lambda _, menu: not any(line.text.startswith(PAGE) for line in menu.lines))
    second = AppSide.asks(login.daemon, "upstash:write", origin="https://evil.example")
    await item.until(says(second.pairing["user_code"]))
    await item.click_id(allow.id)
    await item.click("About")  # behind it, in the order in which they came

    assert ("denied", "pending") == (first.state, second.state)
    assert () == login.daemon.client.apps()


async def test_credentials_are_copied_from_the_menu(
    bus: PrivateKeyring, environment: dict[str, str], far_side: Sandbox, daemon_port: int
) -> None:
    """What is on the clipboard then is what a Redis client takes; and the tray takes it away with itself."""
    with desk() as clipboard:
        theirs = {**environment, "DISPLAY": clipboard.environ["DISPLAY"]}
        async with Login.of(bus, theirs, far_side, daemon_port) as login:
            await login.connect(far_side)
            wanted = wire.CreateDatabase(name="or_ders", primary_region="us-east-1")
            made = login.daemon.client.create_database(wanted, idempotency_key="one")
            item = await login.item()
            await item.until(says("or_ders"))
            await item.click("Databases", "or_ders", "Copy Redis URL")
            copied = await until_async(clipboard.paste)
            expected = login.daemon.client.credentials(made.id).redis_url
            ended = login.tray.stop()
            left = clipboard.paste()

    assert expected == copied
    assert ((0, ""), "") == (ended, left)


async def test_a_click_on_the_icon_opens_the_dashboard(login: Login, opened: Path) -> None:
    """By a file: the ticket is on no command line."""
    item = await login.item()
    await item.until(says("No account"))
    await item.activate()
    await until_async(opened.exists)
    [address] = opened.read_text().splitlines()

    assert address.startswith("file://")
    assert "ticket" not in address


# --- notifications ----------------------------------------------------------------------------------------------------


async def test_an_app_that_waits_is_told_of_once(
    bus: PrivateKeyring, environment: dict[str, str], tmp_path: Path
) -> None:
    """By the tray, while there is one, and by the daemon otherwise; a click leads to the dashboard."""
    async with (
        Desktop.on(bus) as screen,
        TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host,
    ):
        with DaemonProcess.running(tmp_path / "home", environment=environment, quietly=False) as daemon:
            AppSide.asks(daemon, "connection:read", origin="https://first.example")
            await until_async(lambda: len(screen.shown) == 1)
            with TrayProcess.running(environment):
                item = await host.item()
                await item.until(says("https://first.example"))
                await until_async(lambda: len(screen.shown) == 2)  # it waited already when the tray came
                AppSide.asks(daemon, "connection:read", origin="https://second.example")
                await item.until(says("https://second.example"))
                await until_async(lambda: len(screen.shown) == 3)
                daemon.client.deny(daemon.client.pairings()[0].id)
                await item.until(lambda _, menu: "https://first.example" not in str(menu.texts()))

    titles = [one.title for one in screen.shown]
    assert ["https://first.example"] * 2 + ["https://second.example"] == [title.split()[0] for title in titles]
    assert all(one.hints["urgency"][1] < 2 for one in screen.shown)
    assert ["default", "Open"] == screen.shown[2].actions


# --- one without the other --------------------------------------------------------------------------------------------


async def test_the_daemon_is_killed_under_the_tray_and_started_again(login: Login, far_side: Sandbox) -> None:
    """The icon says so at once, and finds the next one, whose token is another."""
    await login.connect(far_side)
    item = await login.item()
    await item.until(says("Connected"))
    login.daemon.kill()
    await item.until(says("The helper is not running"), seconds=RECOVERED_SECONDS)
    login.daemon.start()
    await item.until(says("No account is connected"), seconds=RECOVERED_SECONDS)

    assert 1 == login.host.registrations


async def test_the_tray_is_killed_under_the_daemon_and_started_again(login: Login, far_side: Sandbox) -> None:
    """The daemon notifications, and misses nothing; the next tray knows all that the last one knew."""
    await login.connect(far_side)
    item = await login.item()
    await item.until(says("Connected"))
    attached = login.daemon.client.status().tray
    login.tray.kill()
    await until_async(lambda: tray_state(login) == "unavailable", seconds=RECOVERED_SECONDS)
    login.tray.start()
    await until_async(lambda: tray_state(login) == "attached", seconds=RECOVERED_SECONDS)
    await (await login.item()).until(says("Connected"), seconds=RECOVERED_SECONDS)

    assert attached is not None
    assert ("attached", "statusnotifier", True) == (attached.state, attached.backend, attached.notifies)
    assert "connected" == login.daemon.client.connection().state


def tray_state(login: Login) -> str:
    """Return what the daemon says of its tray."""
    tray = login.daemon.client.status().tray
    assert tray is not None
    return tray.state


async def test_without_a_daemon_the_tray_starts_one(bus: PrivateKeyring, environment: dict[str, str]) -> None:
    """It offers to, and does, and follows it."""
    settings = {"UPSTASH_HELPER_CREDENTIAL_STORE": "memory", "UPSTASH_HELPER_PORT": str(free_port())}
    theirs = {**environment, **settings}
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
        with TrayProcess.running(theirs):
            item = await host.item()
            await item.until(says("The helper is not running"))
            await item.click("Start the helper")
            try:
                await item.until(says("No account is connected"))
                await item.click("Stop helper", "Stop the helper")
                await item.until(says("The helper is not running"))
            finally:
                await run_cli("stop", environment=theirs)


async def test_there_is_one_icon(login: Login) -> None:
    """A second start says that there is one, and shows none."""
    await (await login.item()).until(says("No account"))
    second = await run_cli("tray", environment=login.tray.environment)

    assert (exit_codes.OK, "") == (second.code, second.out)
    assert "already" in second.err
    assert 1 == login.host.registrations


async def test_a_newer_icon_takes_the_place_of_an_older_one(login: Login) -> None:
    """As after an upgrade. The old one goes as by Quit."""
    await (await login.item()).until(says("No account"))
    with TrayProcess.running(login.tray.environment, "--replace") as new:
        ended, printed = await asyncio.to_thread(login.tray.wait)
        await until_async(lambda: login.host.registrations == 2)
        await (await login.item()).until(says("No account"))
        still_there = new.poll() is None

    assert (exit_codes.OK, "", True) == (ended, printed, still_there)


async def test_an_icon_stays_where_there_can_be_no_other(login: Login) -> None:
    """An old icon is better than none."""
    item = await login.item()
    await item.until(says("No account"))
    elsewhere = {**login.tray.environment, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere", "DISPLAY": ""}
    second = await run_cli("tray", "--replace", environment=elsewhere)

    assert exit_codes.NO_TRAY == second.code
    await item.until(says("No account"))
    assert login.tray.poll() is None


async def test_a_panel_that_comes_again_gets_the_icon_again(login: Login) -> None:
    """As after a crash, or an update of the desktop."""
    await (await login.item()).until(says("No account"))
    login.host.leave()
    await login.host.come()
    item = await login.item()

    await item.until(says("No account"))


async def test_the_end_of_the_session_is_the_end_of_the_tray(login: Login) -> None:
    """It says why, for whoever started it by hand."""
    await (await login.item()).until(says("No account"))
    login.host.leave()
    login.bus.kill_bus()
    code, printed = login.tray.wait()

    assert exit_codes.NO_TRAY == code, printed
    assert "session bus" in printed
    assert "Traceback" not in printed
