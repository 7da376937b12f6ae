"""The icon on a panel that takes StatusNotifierItems, on a bus of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.support.notifications import Desktop, session_bus
from tests.support.tray_host import Item, Refused, TrayHost
from tests.support.tray_icon import RunningIcon, eventually, icon_class
from upstash_helper_tray.backends.bus import BusLost
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.keyring import PrivateKeyring

ITEM = "org.kde.StatusNotifierItem"
NOTIFICATIONS = "org.freedesktop.Notifications"

_MORE_THAN_THE_KERNEL_KEEPS = 2000
"""Signals; it keeps some hundreds for a bus that does not read."""


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    with session_bus() as session:
        session.enter(monkeypatch)
        monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
        yield session


@pytest.fixture
def bus(session: PrivateKeyring) -> str:
    return session.env["DBUS_SESSION_BUS_ADDRESS"]


@pytest.fixture
async def host(bus: str) -> AsyncIterator[TrayHost]:
    async with TrayHost.on(bus) as host:
        yield host


@pytest.fixture
def clicks() -> list[str]:
    """What was done by clicks on the icon."""
    return []


@pytest.fixture
def icon(bus: str, clicks: list[str]) -> Any:
    """An icon that nobody sees yet."""
    made = icon_class()("a-test", _picture(IconStatus.CONNECTED), "A title\nand more", _menu("Open", clicks))
    made.renderings = renderings(IconStatus.CONNECTED)
    return made


def _picture(sign: IconStatus) -> Any:
    return renderings(sign)[-1]


def _menu(text: str, clicks: list[str]) -> Any:
    import pystray

    return pystray.Menu(pystray.MenuItem(text, lambda: clicks.append(text), default=True))


async def test_an_icon_is_all_that_a_panel_reads(host: TrayHost, icon: Any) -> None:
    """Every property of the specification is there, and of its type."""
    async with RunningIcon.of(icon):
        properties = await (await host.item()).properties()

    pixmaps = properties.pop("IconPixmap")
    expected = {
        "AttentionIconName": "",
        "AttentionIconPixmap": [],
        "AttentionMovieName": "",
        "Category": "ApplicationStatus",
        "IconName": "",
        "IconThemePath": "",
        "Id": "a-test",
        "ItemIsMenu": False,
        "Menu": "/MenuBar",
        "OverlayIconName": "",
        "OverlayIconPixmap": [],
        "Status": "Active",
        "Title": "A title – and more",
        "ToolTip": ["", [], "A title", "and more"],
        "WindowId": 0,
    }
    properties["ToolTip"] = list(properties["ToolTip"])
    assert expected == properties
    assert [(one.width, one.height) for one in icon.renderings] == [(width, height) for width, height, _ in pixmaps]
    for picture, (_, _, pixels) in zip(icon.renderings, pixmaps, strict=True):
        rgba = picture.tobytes()
        argb = [rgba[place + 3 : place + 4] + rgba[place : place + 3] for place in range(0, len(rgba), 4)]
        assert b"".join(argb) == bytes(pixels)


async def test_a_panel_sees_no_icon_before_there_is_something_to_see(host: TrayHost, icon: Any) -> None:
    """Not every panel notices that Passive has become Active."""
    began = threading.Event()
    go_on = threading.Event()

    def begin(one: Any) -> None:
        began.set()
        assert go_on.wait(30)
        one.visible = True

    thread = threading.Thread(target=icon.run, args=(begin,))
    thread.start()
    try:
        await eventually(began.is_set)
        before = host.registrations
        go_on.set()
        properties = await (await host.item()).properties()
    finally:
        go_on.set()
        icon.stop()
        await eventually(lambda: not thread.is_alive())

    assert 0 == before
    assert "Active" == properties["Status"]
    assert properties["IconPixmap"]


async def test_news_is_told_once_and_what_is_no_news_is_not(host: TrayHost, icon: Any, clicks: list[str]) -> None:
    """A panel fetches again whatever it is told of."""
    async with RunningIcon.of(icon):
        item = await host.item()
        await eventually(lambda: host.said("NewStatus"))
        host.signals.clear()

        icon.icon = _picture(IconStatus.CONNECTED)
        icon.title = "A title\nand more"
        icon.menu = icon.menu
        icon.update_menu()
        await _all_is_said(item)
        nothing = list(host.signals)
        icon.renderings = renderings(IconStatus.ATTENTION)
        icon.icon = _picture(IconStatus.ATTENTION)
        icon.title = "Another"
        icon.menu = _menu("Something else", clicks)
        await _all_is_said(item)

        assert [] == nothing
        assert ["NewIcon", "NewTitle", "NewToolTip", "LayoutUpdated"] == [member for member, _ in host.signals]
        properties = await item.properties()
        assert renderings(IconStatus.ATTENTION)[0].width == properties["IconPixmap"][0][0]
        assert "Another" == await item.tooltip()
        assert ["Something else"] == (await item.menu()).texts()


async def _all_is_said(item: Item) -> None:
    # Messages of one program stay in order: what it said before its answer is here.
    await item.properties()


async def test_what_is_hidden_is_passive(host: TrayHost, icon: Any) -> None:
    """And comes back."""
    async with RunningIcon.of(icon):
        item = await host.item()
        icon.visible = False
        hidden = (await item.properties())["Status"]
        icon.visible = True

        assert "Passive" == hidden
        assert "Active" == (await item.properties())["Status"]


async def test_markup_in_a_tooltip_is_shown_and_not_followed(host: TrayHost, icon: Any) -> None:
    """The specification lets panels interpret the text."""
    icon.title = 'Title\n<a href="https://evil.example">A & B</a>'

    async with RunningIcon.of(icon):
        tooltip = await (await host.item()).tooltip()

    assert 'Title\n&lt;a href="https://evil.example"&gt;A &amp; B&lt;/a&gt;' == tooltip


@pytest.mark.parametrize(("member", "done"), [("Activate", 1), ("SecondaryActivate", 1), ("ContextMenu", 0)])
async def test_a_click_on_the_icon(host: TrayHost, icon: Any, clicks: list[str], member: str, done: int) -> None:
    """The default item is chosen by the left and the middle button; the right one is the panel's."""
    async with RunningIcon.of(icon):
        item = await host.item()
        await host.call((item.name, "/StatusNotifierItem", ITEM), member, "ii", [1, 2])
        await host.call((item.name, "/StatusNotifierItem", ITEM), "Scroll", "is", [120, "vertical"])

    assert done == len(clicks)


async def test_a_call_that_makes_no_sense_is_answered_by_an_error(host: TrayHost, icon: Any) -> None:
    """And the icon is still there."""
    async with RunningIcon.of(icon):
        item = await host.item()
        for member, signature, body in (("Activate", "s", ["here"]), ("Nothing", "", [])):
            with pytest.raises(Refused):
                await host.call((item.name, "/StatusNotifierItem", ITEM), member, signature, body)

        assert "Active" == (await item.properties())["Status"]


async def test_a_panel_that_was_restarted_gets_the_icon_again(host: TrayHost, icon: Any) -> None:
    """However often, and at once."""
    async with RunningIcon.of(icon):
        for _ in range(3):
            await host.item()
            host.leave()
            await host.come()
        item = await host.item()

        assert "Active" == (await item.properties())["Status"]
        assert 1 == host.registrations


async def test_a_panel_may_come_after_the_icon(bus: str, icon: Any) -> None:
    """The icon waits for it."""
    async with RunningIcon.of(icon), TrayHost.on(bus) as host:
        item = await host.item()

        assert "A title\nand more" == await item.tooltip()


async def test_a_watcher_that_is_not_ready_is_asked_again(bus: str, icon: Any) -> None:
    """Some take the name first, and can be talked to only when their panel is there."""
    late = await MessageBus(bus_address=bus).connect()
    try:
        await late.request_name("org.kde.StatusNotifierWatcher")
        asked: list[str] = []
        ready = threading.Event()
        late.add_message_handler(lambda message: _not_ready(message, asked, ready))
        async with RunningIcon.of(icon):
            await eventually(lambda: len(asked) == 1)
            ready.set()
            await late.send(
                Message.new_signal(
                    "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher", "StatusNotifierHostRegistered"
                )
            )
            await eventually(lambda: len(asked) == 2)
    finally:
        late.disconnect()


def _not_ready(message: Message, asked: list[str], ready: threading.Event) -> Message | None:
    if message.member != "RegisterStatusNotifierItem":
        return None
    asked.append(message.body[0])
    if ready.is_set():
        return Message.new_method_return(message)
    return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "Not yet.")


async def test_stopping_takes_the_icon_away(host: TrayHost, icon: Any) -> None:
    """The panel sees that it is gone; nothing of it stays behind."""
    async with RunningIcon.of(icon) as running:
        item = await host.item()
        icon.stop()
        await running.ended()

        with pytest.raises(Refused):
            await item.properties()

    assert running.error is None


async def test_a_bus_that_goes_ends_the_icon(session: PrivateKeyring, icon: Any) -> None:
    """The session is over; an icon that nobody can see is none."""
    async with RunningIcon.of(icon) as running:
        session.kill_bus()
        await running.ended()

    assert isinstance(running.error, BusLost)


async def test_a_bus_that_does_not_read_for_a_while_is_waited_for(
    session: PrivateKeyring, host: TrayHost, icon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """More is to be told than the kernel keeps for a bus that is busy; the panel gets all of it, in its order."""
    async with RunningIcon.of(icon) as running:
        item = await host.item()
        session.freeze_bus()
        host.signals.clear()
        all_told = threading.Event()
        for number in range(_MORE_THAN_THE_KERNEL_KEEPS):
            icon.menu = _menu(f"{number} databases", [])
        icon._post(all_told.set)
        await eventually(lambda: all_told.is_set() or running.error is not None)
        session.thaw_bus()

        menu = await item.menu()
        updates = [body[0] for member, body in host.signals if member == "LayoutUpdated"]

    assert [f"{_MORE_THAN_THE_KERNEL_KEEPS - 1} databases"] == menu.texts()
    assert sorted(updates) == updates
    assert _MORE_THAN_THE_KERNEL_KEEPS == len(updates)
    assert running.error is None
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_bus_that_goes_while_there_is_much_to_tell_ends_the_icon(
    session: PrivateKeyring, host: TrayHost, icon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a word about each thing that could not be told."""
    async with RunningIcon.of(icon) as running:
        await host.item()
        session.freeze_bus()
        for number in range(_MORE_THAN_THE_KERNEL_KEEPS):
            icon.menu = _menu(f"{number} databases", [])
        session.kill_bus()
        await running.ended()

    assert isinstance(running.error, BusLost)
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_bus_that_is_found_gone_by_telling_something_ends_the_icon(
    session: PrivateKeyring, host: TrayHost, icon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The same where the icon's own thread has not yet heard of it."""

    def go_and_tell() -> None:
        session.kill_bus()
        for number in range(3):
            icon.menu = _menu(f"{number} databases", [])

    async with RunningIcon.of(icon) as running:
        await host.item()
        icon._post(go_and_tell)
        await running.ended()

    assert isinstance(running.error, BusLost)
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_without_a_bus_there_is_an_error_and_no_thread_left(session: PrivateKeyring, icon: Any) -> None:
    """A thread that waits for a loop that never comes would keep the process from ending."""
    session.kill_bus()
    before = threading.active_count()

    async with RunningIcon.of(icon) as running:
        await running.ended()

    assert isinstance(running.error, BusLost)
    assert before == threading.active_count()


async def test_nothing_wakes_up_while_nothing_happens(host: TrayHost, icon: Any) -> None:
    """An icon on the panel for a day costs nothing."""
    async with RunningIcon.of(icon):
        await host.item()

        # The panel's answer to the registration may be on its way; after it no timer is left.
        await eventually(lambda: all(timer.cancelled() for timer in icon._loop._scheduled), seconds=5)


async def test_setters_are_safe_from_any_thread(host: TrayHost, icon: Any) -> None:
    """The follower's thread, the signal's and the panel's all may."""
    import pystray

    async with RunningIcon.of(icon):
        item = await host.item()

        def change(thread: int) -> None:
            for number in range(100):
                icon.title = f"{thread} {number}"
                icon.menu = pystray.Menu(pystray.MenuItem(f"{thread} {number}", None))
                icon.icon = _picture(IconStatus.ATTENTION if number % 2 else IconStatus.CONNECTED)

        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        await eventually(lambda: not any(thread.is_alive() for thread in threads))

        assert 1 == len((await item.menu()).lines)
        assert (await item.tooltip()).endswith(" 99")


async def test_a_notification_takes_no_focus_and_is_plain_text(
    session: PrivateKeyring, host: TrayHost, icon: Any
) -> None:
    """Its one action is the click on it."""
    async with Desktop.on(session) as desktop, RunningIcon.of(icon):
        icon.notify("<b>Evil & co</b> wants in", "An app asks")
        await eventually(lambda: desktop.shown)

    [shown] = desktop.shown
    assert ("a-test", 0, "An app asks") == (shown.app_name, shown.replaces_id, shown.title)
    assert "&lt;b&gt;Evil &amp; co&lt;/b&gt; wants in" == shown.body
    assert ["default", "Open"] == shown.actions
    assert 1 == shown.hints["urgency"][1]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_click_on_a_notification_is_one_on_the_icon(
    session: PrivateKeyring, host: TrayHost, icon: Any, clicks: list[str], number: int
) -> None:
    """On ours: the first has the number 1, and 2 is somebody else's."""
    async with Desktop.on(session) as desktop, RunningIcon.of(icon):
        item = await host.item()
        icon.notify("Body", "Title")
        await eventually(lambda: icon._notifications.is_ours(1))
        await _clicked(host, item.name, number)
        await _all_is_said(item)

    assert len(desktop.shown) == 1
    assert ["Open"] * (number == 1) == clicks


async def test_a_new_server_s_notifications_are_not_ours(
    session: PrivateKeyring, host: TrayHost, icon: Any, clicks: list[str]
) -> None:
    """It counts anew: the number of ours is now another program's."""
    async with RunningIcon.of(icon):
        item = await host.item()
        async with Desktop.on(session):
            icon.notify("Body", "Title")
            await eventually(lambda: icon._notifications.is_ours(1))
        async with Desktop.on(session):
            await eventually(lambda: not icon._notifications.is_ours(1))
            await _clicked(host, item.name, 1)
            await _all_is_said(item)

    assert [] == clicks


async def _clicked(host: TrayHost, to: str, number: int) -> None:
    assert host._bus is not None
    await host._bus.send(
        Message(
            message_type=MessageType.SIGNAL,
            destination=to,
            path="/org/freedesktop/Notifications",
            interface=NOTIFICATIONS,
            member="ActionInvoked",
            signature="us",
            body=[number, "default"],
        )
    )


@pytest.mark.parametrize("manner", ["refuses", "is silent", "is not there"])
async def test_a_notification_that_is_not_shown_ends_nothing(
    session: PrivateKeyring, host: TrayHost, icon: Any, manner: Any
) -> None:
    """The icon goes on, and can be stopped at once."""
    there = contextlib.nullcontext() if manner == "is not there" else Desktop.on(session, manner)
    async with there, RunningIcon.of(icon) as running:
        icon.notify("Body", "Title")
        item = await host.item()

        assert "Active" == (await item.properties())["Status"]

    assert running.error is None


@pytest.mark.slow
async def test_the_whole_costs_little(session: PrivateKeyring, host: TrayHost) -> None:
    """In a process of its own: no GTK, no X11, and few megabytes."""
    code = (
        "from upstash_helper_tray.backends.factory import open_screen\n"
        "from upstash_helper_tray.menu.actions import Quit\n"
        "open_screen('auto').run(ready=lambda: None, chosen=lambda _: None, clicked=Quit())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", code, env=session.env)
    try:
        item = await host.item()
        await eventually(lambda: host.said("NewStatus"))
        await item.properties()
        loaded = Path(f"/proc/{process.pid}/maps").read_text()

        assert psutil.Process(process.pid).memory_info().rss < 60_000_000
        assert not [library for library in ("libgtk", "libX11") if library in loaded]
    finally:
        process.terminate()
        await process.wait()
