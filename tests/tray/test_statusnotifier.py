"""The icon on a panel that shows StatusNotifierItems, on a private bus."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if sys.platform != "linux":
    pytest.skip("platform: only Linux has D-Bus", allow_module_level=True)

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from tests.support.notifications import MARKUP, PLAIN, Desktop, session_bus
from tests.support.tray_host import CallError, Item, TrayHost
from tests.support.tray_icon import RunningIcon, eventually, icon_class
from upstash_helper_tray.backends.bus import BusLost
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.keyring import PrivateKeyring

ITEM = "org.kde.StatusNotifierItem"
NOTIFICATIONS = "org.freedesktop.Notifications"

_MORE_THAN_THE_SOCKET_BUFFERS = 2000
"""Signals. The kernel buffers some hundreds for a bus that does not read."""


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
    """The texts of the items that were chosen by clicks on the icon."""
    return []


@pytest.fixture
def icon(bus: str, clicks: list[str]) -> Any:
    """An icon that is not running yet."""
    made = icon_class()("a-test", _image(IconStatus.CONNECTED), "A title\nand more", _menu("Open", clicks))
    made.renderings = renderings(IconStatus.CONNECTED)
    return made


def _image(status: IconStatus) -> Any:
    return renderings(status)[-1]


def _menu(text: str, clicks: list[str]) -> Any:
    import pystray

    return pystray.Menu(pystray.MenuItem(text, lambda: clicks.append(text), default=True))


async def test_item_has_all_properties(host: TrayHost, icon: Any) -> None:
    """Every property of the specification exists and has the specified type."""
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
    for image, (_, _, pixels) in zip(icon.renderings, pixmaps, strict=True):
        rgba = image.tobytes()
        argb = [rgba[place + 3 : place + 4] + rgba[place : place + 3] for place in range(0, len(rgba), 4)]
        assert b"".join(argb) == bytes(pixels)


async def test_item_registers_only_once_it_is_visible(host: TrayHost, icon: Any) -> None:
    """Some panels ignore the change from Passive to Active."""
    started = threading.Event()
    proceed = threading.Event()

    def setup(one: Any) -> None:
        started.set()
        assert proceed.wait(30)
        one.visible = True

    thread = threading.Thread(target=icon.run, args=(setup,))
    thread.start()
    try:
        await eventually(started.is_set)
        before = host.registrations
        proceed.set()
        properties = await (await host.item()).properties()
    finally:
        proceed.set()
        icon.stop()
        await eventually(lambda: not thread.is_alive())

    assert 0 == before
    assert "Active" == properties["Status"]
    assert properties["IconPixmap"]


async def test_changes_are_signaled_once(host: TrayHost, icon: Any, clicks: list[str]) -> None:
    """Unchanged content is not signaled, since the panel would read it again."""
    async with RunningIcon.of(icon):
        item = await host.item()
        await eventually(lambda: host.emitted("NewStatus"))
        host.signals.clear()

        icon.icon = _image(IconStatus.CONNECTED)
        icon.title = "A title\nand more"
        icon.menu = icon.menu
        icon.update_menu()
        await _signals_have_arrived(item)
        unchanged = list(host.signals)
        icon.renderings = renderings(IconStatus.ATTENTION)
        icon.icon = _image(IconStatus.ATTENTION)
        icon.title = "Another"
        icon.menu = _menu("Something else", clicks)
        await _signals_have_arrived(item)

        assert [] == unchanged
        assert ["NewIcon", "NewTitle", "NewToolTip", "LayoutUpdated"] == [member for member, _ in host.signals]
        properties = await item.properties()
        assert renderings(IconStatus.ATTENTION)[0].width == properties["IconPixmap"][0][0]
        assert "Another" == await item.tooltip()
        assert ["Something else"] == (await item.menu()).texts()


async def _signals_have_arrived(item: Item) -> None:
    # Messages of one program arrive in order, so all signals before its reply are here.
    await item.properties()


async def test_hidden_icon_is_passive(host: TrayHost, icon: Any) -> None:
    """Showing it again makes it active."""
    async with RunningIcon.of(icon):
        item = await host.item()
        icon.visible = False
        hidden = (await item.properties())["Status"]
        icon.visible = True

        assert "Passive" == hidden
        assert "Active" == (await item.properties())["Status"]


async def test_markup_in_a_tooltip_is_escaped(host: TrayHost, icon: Any) -> None:
    """The specification allows panels to interpret it."""
    icon.title = 'Title\n<a href="https://evil.example">A & B</a>'

    async with RunningIcon.of(icon):
        tooltip = await (await host.item()).tooltip()

    assert 'Title\n&lt;a href="https://evil.example"&gt;A &amp; B&lt;/a&gt;' == tooltip


@pytest.mark.parametrize(("member", "count"), [("Activate", 1), ("SecondaryActivate", 1), ("ContextMenu", 0)])
async def test_click_on_the_icon_chooses_the_default_item(
    host: TrayHost, icon: Any, clicks: list[str], member: str, count: int
) -> None:
    """The left and middle buttons do so. The panel handles the right one."""
    async with RunningIcon.of(icon):
        item = await host.item()
        await host.call((item.name, "/StatusNotifierItem", ITEM), member, "ii", [1, 2])
        await host.call((item.name, "/StatusNotifierItem", ITEM), "Scroll", "is", [120, "vertical"])

    assert count == len(clicks)


async def test_invalid_call_is_answered_with_an_error(host: TrayHost, icon: Any) -> None:
    """The icon keeps working."""
    async with RunningIcon.of(icon):
        item = await host.item()
        for member, signature, body in (("Activate", "s", ["here"]), ("Nothing", "", [])):
            with pytest.raises(CallError):
                await host.call((item.name, "/StatusNotifierItem", ITEM), member, signature, body)

        assert "Active" == (await item.properties())["Status"]


async def test_restarted_panel_gets_the_icon_again(host: TrayHost, icon: Any) -> None:
    """This works any number of times."""
    async with RunningIcon.of(icon):
        for _ in range(3):
            await host.item()
            host.stop()
            await host.start()
        item = await host.item()

        assert "Active" == (await item.properties())["Status"]
        assert 1 == host.registrations


async def test_panel_may_start_after_the_icon(bus: str, icon: Any) -> None:
    """The icon registers when the panel appears."""
    async with RunningIcon.of(icon), TrayHost.on(bus) as host:
        item = await host.item()

        assert "A title\nand more" == await item.tooltip()


async def test_registration_is_repeated_when_the_host_appears(bus: str, icon: Any) -> None:
    """Some watchers acquire their name before they accept registrations."""
    late = await MessageBus(bus_address=bus).connect()
    try:
        await late.request_name("org.kde.StatusNotifierWatcher")
        registrations: list[str] = []
        ready = threading.Event()
        late.add_message_handler(lambda message: _not_ready(message, registrations, ready))
        async with RunningIcon.of(icon):
            await eventually(lambda: len(registrations) == 1)
            ready.set()
            await late.send(
                Message.new_signal(
                    "/StatusNotifierWatcher", "org.kde.StatusNotifierWatcher", "StatusNotifierHostRegistered"
                )
            )
            await eventually(lambda: len(registrations) == 2)

        [first, second] = registrations
        assert first == second
    finally:
        late.disconnect()


def _not_ready(message: Message, registrations: list[str], ready: threading.Event) -> Message | None:
    if message.member != "RegisterStatusNotifierItem":
        return None
    registrations.append(message.body[0])
    if ready.is_set():
        return Message.new_method_return(message)
    return Message.new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "Not yet.")


async def test_stop_removes_the_item_from_the_bus(host: TrayHost, icon: Any) -> None:
    """The panel can no longer read it."""
    async with RunningIcon.of(icon) as running:
        item = await host.item()
        icon.stop()
        await running.ended()

        with pytest.raises(CallError):
            await item.properties()

    assert running.error is None


async def test_lost_bus_ends_the_icon(session: PrivateKeyring, icon: Any) -> None:
    """The session has ended, so nobody can see the icon."""
    async with RunningIcon.of(icon) as running:
        session.kill_bus()
        await running.ended()

    assert isinstance(running.error, BusLost)


async def test_signals_are_queued_while_the_bus_does_not_read(
    session: PrivateKeyring, host: TrayHost, icon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The panel gets all of them in order, although they exceed the buffer of the socket."""
    async with RunningIcon.of(icon) as running:
        item = await host.item()
        session.freeze_bus()
        host.signals.clear()
        all_queued = threading.Event()
        for number in range(_MORE_THAN_THE_SOCKET_BUFFERS):
            icon.menu = _menu(f"{number} databases", [])
        icon.post(all_queued.set)
        await eventually(lambda: all_queued.is_set() or running.error is not None)
        session.thaw_bus()

        menu = await item.menu()
        updates = [body[0] for member, body in host.signals if member == "LayoutUpdated"]

    assert [f"{_MORE_THAN_THE_SOCKET_BUFFERS - 1} databases"] == menu.texts()
    assert sorted(updates) == updates
    assert _MORE_THAN_THE_SOCKET_BUFFERS == len(updates)
    assert running.error is None
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_lost_bus_drops_queued_signals_without_errors(
    session: PrivateKeyring, host: TrayHost, icon: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has no error for each of them."""
    async with RunningIcon.of(icon) as running:
        await host.item()
        session.freeze_bus()
        for number in range(_MORE_THAN_THE_SOCKET_BUFFERS):
            icon.menu = _menu(f"{number} databases", [])
        session.kill_bus()
        await running.ended()

    assert isinstance(running.error, BusLost)
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_bus_found_lost_while_sending_ends_the_icon(
    session: PrivateKeyring, host: TrayHost, caplog: pytest.LogCaptureFixture
) -> None:
    """The icon's event loop has not noticed the loss before it sends."""

    async def lose_the_bus() -> type[object]:
        icon = icon_class()("a-test", _image(IconStatus.CONNECTED), "A title")

        def kill_and_send() -> None:
            session.kill_bus()
            for number in range(3):
                icon.menu = _menu(f"{number} databases", [])

        async with RunningIcon.of(icon) as running:
            await host.item()
            icon.post(kill_and_send)
            await running.ended()
        return type(running.error)

    error = await lose_the_bus()
    gc.collect()  # asyncio logs an exception that nobody has retrieved when its future is collected

    assert BusLost is error
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]


async def test_run_without_a_bus_leaves_no_thread(session: PrivateKeyring, icon: Any) -> None:
    """A thread that waits for the event loop would keep the process alive."""
    session.kill_bus()
    before = threading.active_count()

    async with RunningIcon.of(icon) as running:
        await running.ended()

    assert isinstance(running.error, BusLost)
    assert before == threading.active_count()


async def test_idle_icon_has_no_timers(host: TrayHost, icon: Any) -> None:
    """Nothing wakes the process up while nothing happens."""
    async with RunningIcon.of(icon):
        await host.item()
        loops: list[Any] = []
        icon.post(lambda: loops.append(asyncio.get_running_loop()))
        await eventually(lambda: loops)

        def timers() -> list[asyncio.TimerHandle]:
            # asyncio has no public way to list timers.
            return [timer for timer in list(loops[0]._scheduled) if not timer.cancelled()]

        # A timer may be left until the panel has answered the registration.
        await eventually(lambda: not timers(), seconds=5)
        await host.item()
        assert [] == timers()


async def test_setters_are_thread_safe(host: TrayHost, icon: Any) -> None:
    """The follower, the signal handler, and worker threads call them."""
    import pystray

    async with RunningIcon.of(icon):
        item = await host.item()

        def change(thread: int) -> None:
            for number in range(100):
                icon.title = f"{thread} {number}"
                icon.menu = pystray.Menu(pystray.MenuItem(f"{thread} {number}", None))
                icon.icon = _image(IconStatus.ATTENTION if number % 2 else IconStatus.CONNECTED)

        threads = [threading.Thread(target=change, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        await eventually(lambda: not any(thread.is_alive() for thread in threads))

        assert 1 == len((await item.menu()).lines)
        assert (await item.tooltip()).endswith(" 99")


async def test_notification_is_plain_text_with_one_action(session: PrivateKeyring, host: TrayHost, icon: Any) -> None:
    """The action is a click on the notification. It takes no focus."""
    async with Desktop.on(session) as desktop, RunningIcon.of(icon):
        icon.notify("<b>Evil & co</b> requests access", "An app requests access")
        await eventually(lambda: desktop.shown)

    [shown] = desktop.shown
    assert ("a-test", 0, "An app requests access") == (shown.app_name, shown.replaces_id, shown.title)
    assert "&lt;b&gt;Evil &amp; co&lt;/b&gt; requests access" == shown.body
    assert ["default", "Open"] == shown.actions
    assert 1 == shown.hints["urgency"][1]


async def test_markup_is_sent_only_where_it_is_interpreted(session: PrivateKeyring, host: TrayHost, icon: Any) -> None:
    """Each server is asked once. One without body-markup gets plain text, and so never shows an escape."""
    bodies, asked = [], []
    async with RunningIcon.of(icon):
        for capabilities in (PLAIN, MARKUP):
            async with Desktop.on(session, capabilities=capabilities) as desktop:
                icon.notify("<b>R&D</b>", "An app requests access")
                await eventually(lambda: icon.notifications.is_known(1))
                icon.notify("<b>R&D</b>", "An app requests access")
                await eventually(lambda: icon.notifications.is_known(2))
                bodies += [shown.body for shown in desktop.shown]
                asked.append(desktop.asked)
            await eventually(lambda: not icon.notifications.is_known(1))

    escaped = "&lt;b&gt;R&amp;D&lt;/b&gt;"
    assert ["<b>R&D</b>", "<b>R&D</b>", escaped, escaped] == bodies
    assert [1, 1] == asked


@pytest.mark.parametrize("notification_id", [1, 2])
async def test_click_on_a_notification_counts_as_click_on_the_icon(
    session: PrivateKeyring, host: TrayHost, icon: Any, clicks: list[str], notification_id: int
) -> None:
    """Ours has the id 1. The id 2 belongs to another program."""
    async with Desktop.on(session) as desktop, RunningIcon.of(icon):
        item = await host.item()
        icon.notify("Body", "Title")
        await eventually(lambda: icon.notifications.is_known(1))
        await _click_notification(host, item.name, notification_id)
        await _signals_have_arrived(item)

    assert len(desktop.shown) == 1
    assert ["Open"] * (notification_id == 1) == clicks


async def test_ids_are_forgotten_when_the_server_restarts(
    session: PrivateKeyring, host: TrayHost, icon: Any, clicks: list[str]
) -> None:
    """The new server may assign the same id to another program's notification."""
    async with RunningIcon.of(icon):
        item = await host.item()
        async with Desktop.on(session):
            icon.notify("Body", "Title")
            await eventually(lambda: icon.notifications.is_known(1))
        async with Desktop.on(session):
            await eventually(lambda: not icon.notifications.is_known(1))
            await _click_notification(host, item.name, 1)
            await _signals_have_arrived(item)

    assert [] == clicks


async def _click_notification(host: TrayHost, destination: str, notification_id: int) -> None:
    await host.send(
        Message(
            message_type=MessageType.SIGNAL,
            destination=destination,
            path="/org/freedesktop/Notifications",
            interface=NOTIFICATIONS,
            member="ActionInvoked",
            signature="us",
            body=[notification_id, "default"],
        )
    )


@pytest.mark.parametrize("manner", ["refuses", "is silent", "is not there"])
async def test_failed_notification_is_ignored(session: PrivateKeyring, host: TrayHost, icon: Any, manner: Any) -> None:
    """The icon keeps working, and can be stopped immediately."""
    there = contextlib.nullcontext() if manner == "is not there" else Desktop.on(session, manner)
    async with there, RunningIcon.of(icon) as running:
        icon.notify("Body", "Title")
        item = await host.item()

        assert "Active" == (await item.properties())["Status"]

    assert running.error is None


@pytest.mark.slow
async def test_process_is_small_and_loads_no_toolkit(session: PrivateKeyring, host: TrayHost) -> None:
    """It uses less than 60 MB, and neither GTK nor X11."""
    code = (
        "from upstash_helper_tray.backends.factory import open_screen\n"
        "from upstash_helper_tray.menu.actions import Quit\n"
        "nothing = lambda *_: None\n"
        "open_screen('auto').run(ready=nothing, chosen=nothing, clicked=Quit(), opened=nothing)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-P", "-c", code, env=session.env)
    try:
        item = await host.item()
        await eventually(lambda: host.emitted("NewStatus"))
        await item.properties()
        loaded = Path(f"/proc/{process.pid}/maps").read_text()

        assert psutil.Process(process.pid).memory_info().rss < 60_000_000
        assert not [library for library in ("libgtk", "libX11") if library in loaded]
    finally:
        process.terminate()
        await process.wait()
