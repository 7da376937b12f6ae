"""Detecting a session bus, a display, and panels, and waiting for a panel."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("platform: only Linux has D-Bus", allow_module_level=True)

from dbus_fast import Message, Variant
from dbus_fast.aio import MessageBus

from tests.support.display import x_display
from tests.support.notifications import session_bus
from tests.support.tray_host import TrayHost
from tests.support.until import until
from upstash_helper_tray.backends.environment import SystemEnvironment
from upstash_helper_tray.backends.factory import find_backend
from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.backends.sni_host import sni_host_present
from upstash_helper_tray.backends.xembed import xembed_tray_present

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.support.keyring import PrivateKeyring

WATCHER = "org.kde.StatusNotifierWatcher"


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    with session_bus() as session:
        session.enter(monkeypatch)
        monkeypatch.delenv("DISPLAY", raising=False)
        yield session


@pytest.fixture
def bus(session: PrivateKeyring) -> str:
    return session.env["DBUS_SESSION_BUS_ADDRESS"]


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with x_display() as display:
        monkeypatch.setenv("DISPLAY", display)
        yield display


async def host_present(*, wait: float = 0.0) -> bool:
    """Return whether there is a panel, without blocking the test's event loop."""
    return await asyncio.to_thread(sni_host_present, wait=wait)


async def test_panel_is_found(bus: str) -> None:
    """It is on the bus, and has registered as a host."""
    async with TrayHost.on(bus):
        assert await host_present()
        assert SystemEnvironment().session_bus
        assert "statusnotifier" == await asyncio.to_thread(find_backend)


async def test_watcher_without_a_host_is_not_a_panel(bus: str) -> None:
    """It only keeps a list of icons, and shows none."""
    assert not await asyncio.to_thread(lambda: SystemEnvironment().sni_watcher)
    async with TrayHost.on(bus, with_host=False):
        assert not await host_present()
        assert await asyncio.to_thread(lambda: SystemEnvironment().sni_watcher)


async def test_advice_for_cinnamon_depends_on_its_watcher(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher is a program of its own."""
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", "X-Cinnamon")
    with pytest.raises(TrayUnavailable) as without:
        await asyncio.to_thread(find_backend)
    async with TrayHost.on(bus, with_host=False):
        with pytest.raises(TrayUnavailable) as with_watcher:
            await asyncio.to_thread(find_backend)

    assert "xapp-sn-watcher" in without.value.advice
    assert "xapp-sn-watcher" not in with_watcher.value.advice


def test_no_waiting_for_a_panel_by_default(bus: str) -> None:
    """The answer on a bus without a panel is immediate."""
    started = time.monotonic()

    assert not sni_host_present()
    assert time.monotonic() - started < 5


def test_waiting_for_a_panel_times_out(bus: str) -> None:
    """A desktop without a tray never gets one."""
    assert not sni_host_present(wait=0.05)


async def test_panel_that_starts_later_is_noticed(bus: str) -> None:
    """At login the tray may start first."""
    waiting = asyncio.create_task(host_present(wait=30))
    await _connection_is_waiting(bus)

    async with TrayHost.on(bus):
        assert await asyncio.wait_for(waiting, 10)


async def test_host_that_starts_after_its_watcher_is_noticed(bus: str) -> None:
    """Some panels acquire the watcher's name long before they show icons."""
    async with TrayHost.on(bus, with_host=False) as host:
        waiting = asyncio.create_task(host_present(wait=30))
        await _connection_is_waiting(bus, others=1)
        host.show_icons()

        assert await asyncio.wait_for(waiting, 10)


async def _connection_is_waiting(bus: str, *, others: int = 0) -> None:
    """Wait until the code under test has connected to the bus, apart from the test's own connections."""
    watching = await MessageBus(bus_address=bus).connect()
    try:
        async with asyncio.timeout(10):
            while True:
                if len(await _connections(watching)) >= 2 + others:
                    return
                await asyncio.sleep(0.01)
    finally:
        watching.disconnect()


async def _connections(bus: MessageBus) -> list[str]:
    request = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="ListNames",
    )
    reply = await bus.call(request)
    return [name for name in reply.body[0] if name.startswith(":")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # How GLib and Qt report a missing property; the others are of a name without an object, such as KDE's kded.
        ("org.freedesktop.DBus.Error.UnknownProperty", True),
        ("org.freedesktop.DBus.Error.InvalidArgs", True),
        ("org.freedesktop.DBus.Error.UnknownObject", False),
        ("org.freedesktop.DBus.Error.UnknownMethod", False),
        ("org.freedesktop.DBus.Error.UnknownInterface", False),
    ],
)
async def test_watcher_without_the_property_counts_as_a_panel(bus: str, error: str, *, expected: bool) -> None:
    """A bus name without the watcher's object does not."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(
        lambda message: Message.new_error(message, error, "of a test") if message.member == "Get" else None
    )
    try:
        await watcher.request_name(WATCHER)

        assert expected == await host_present()
    finally:
        watcher.disconnect()


@pytest.mark.parametrize(("signature", "body"), [("", []), ("s", ["true"]), ("b", [True])])
async def test_invalid_answer_of_the_watcher_counts_as_no_panel(bus: str, signature: str, body: list[object]) -> None:
    """It raises no error."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(
        lambda message: Message.new_method_return(message, signature, body) if message.member == "Get" else None
    )
    try:
        await watcher.request_name(WATCHER)

        assert not await host_present()
    finally:
        watcher.disconnect()


@contextlib.asynccontextmanager
async def slow_watcher(bus: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Run a watcher that answers the question whether there is a host only when told to, with ``present``."""
    watcher = await MessageBus(bus_address=bus).connect()
    held: list[Message] = []

    def hold(message: Message) -> bool:
        if message.member == "Get":
            held.append(message)
        return message.member == "Get"

    async def answer(*, present: bool) -> None:
        await watcher.send(Message.new_method_return(held[0], "v", [Variant("b", present)]))

    watcher.add_message_handler(hold)
    try:
        await watcher.request_name(WATCHER)
        yield answer
    finally:
        watcher.disconnect()


async def test_watcher_that_responds_late_is_waited_for(bus: str) -> None:
    """At login the desktop is busy. It has a host already, so that it sends no signal later."""
    async with slow_watcher(bus) as answer:
        waiting = asyncio.create_task(host_present(wait=30))
        await asyncio.wait({waiting}, timeout=2.5)  # longer than without waiting
        await answer(present=True)

        assert await asyncio.wait_for(waiting, 10)


async def test_late_response_does_not_extend_the_wait(bus: str) -> None:
    """The tray gives up after the time that its user has set, even if the watcher takes most of it to say no."""
    async with slow_watcher(bus) as answer:
        waiting = asyncio.create_task(host_present(wait=4))
        await asyncio.wait({waiting}, timeout=3.5)
        await answer(present=False)

        assert not await asyncio.wait_for(waiting, 2.5)


async def test_hanging_watcher_times_out(bus: str) -> None:
    """The tray does not hang with it."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(lambda message: message.member == "Get")
    try:
        await watcher.request_name(WATCHER)

        assert not await asyncio.wait_for(host_present(), 10)
    finally:
        watcher.disconnect()


async def test_bus_lost_while_waiting_counts_as_no_panel(session: PrivateKeyring, bus: str) -> None:
    """The session ended while the tray was waiting."""
    waiting = asyncio.create_task(host_present(wait=1))
    await _connection_is_waiting(bus)
    session.kill_bus()

    assert not await waiting


async def test_bus_lost_during_a_call_counts_as_no_panel(session: PrivateKeyring, bus: str) -> None:
    """It raises no error."""
    watcher = await MessageBus(bus_address=bus).connect()
    received = asyncio.Event()

    def swallow(message: Message) -> bool:
        if message.member == "Get":
            received.set()
        return message.member == "Get"

    watcher.add_message_handler(swallow)
    await watcher.request_name(WATCHER)
    waiting = asyncio.create_task(host_present(wait=1))
    await asyncio.wait_for(received.wait(), 10)
    session.kill_bus()

    assert not await waiting


@pytest.mark.parametrize("address", ["unix:path=/nowhere", "nonsense", "tcp:host=127.0.0.1,port=1"])
def test_unreachable_bus_counts_as_no_panel(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """The environment variable may be from a session that has ended."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    assert not sni_host_present(wait=1)


def test_legacy_panel_is_found(session: PrivateKeyring, display: str) -> None:
    """It owns the selection of the system tray."""
    before = SystemEnvironment().xembed_tray

    with _tray_owner(display):
        environment = SystemEnvironment()

        assert (False, True, True) == (before, environment.display, environment.xembed_tray)


async def test_legacy_panel_that_starts_later_is_noticed(display: str) -> None:
    """At login the tray may start first."""
    started = time.monotonic()
    waiting = asyncio.create_task(asyncio.to_thread(xembed_tray_present, wait=30))
    await asyncio.to_thread(_until_someone_subscribes, display)

    with _tray_owner(display):
        assert await waiting
    assert time.monotonic() - started < 20


def test_waiting_for_a_legacy_panel_times_out(display: str) -> None:
    """By default there is no waiting."""
    assert not xembed_tray_present()
    assert not xembed_tray_present(wait=0.05)


def _until_someone_subscribes(name: str) -> None:
    from Xlib.display import Display

    display = Display(name)
    until(lambda: display.screen().root.get_attributes().all_event_masks)
    display.close()


@contextlib.contextmanager
def _tray_owner(name: str) -> Iterator[None]:
    from Xlib import X
    from Xlib.display import Display
    from Xlib.protocol.event import ClientMessage

    display = Display(name)
    window = display.screen().root.create_window(0, 0, 1, 1, 0, X.CopyFromParent)
    tray = display.intern_atom("_NET_SYSTEM_TRAY_S0")
    window.set_selection_owner(tray, X.CurrentTime)
    announcement = ClientMessage(
        window=display.screen().root,
        client_type=display.intern_atom("MANAGER"),
        data=(32, [X.CurrentTime, tray, window.id, 0, 0]),
    )
    display.screen().root.send_event(announcement, event_mask=X.StructureNotifyMask)
    display.sync()
    try:
        yield
    finally:
        display.close()


# python-xlib leaves the socket of a failed connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [":4711", "nonsense", "nowhere.invalid:0"])
def test_unreachable_display_counts_as_no_panel(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The environment variable may be from a session that has ended."""
    monkeypatch.setenv("DISPLAY", name)

    assert not SystemEnvironment().xembed_tray


def test_gtk_is_detected_without_loading_it(session: PrivateKeyring) -> None:
    """GTK cannot be unloaded, and fails without a display."""
    import sys

    environment = SystemEnvironment()

    assert environment.gtk in {True, False}
    assert environment.gtk or not environment.appindicator
    assert "gi.repository.Gtk" not in sys.modules


def test_machine_without_a_desktop_leaves_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the case for root over SSH."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    before = threading.active_count()

    with pytest.raises(TrayUnavailable, match="no desktop to show"):
        find_backend()

    assert before == threading.active_count()


def test_importing_the_backends_loads_no_libraries() -> None:
    """pystray, dbus-fast, Pillow, and Xlib are loaded only after a backend was chosen."""
    import subprocess
    import sys

    libraries = "{'pystray', 'dbus_fast', 'PIL', 'Xlib'}"
    code = f"import sys, upstash_helper_tray.backends.factory; print({libraries} & set(sys.modules))"
    completed = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)

    assert "set()" == completed.stdout.strip()
