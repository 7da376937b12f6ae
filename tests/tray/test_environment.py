"""Finding out what is here: a bus, a panel, a display, and when a panel comes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from dbus_fast import Message
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
    from collections.abc import Iterator

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


async def there(*, wait: float = 0.0) -> bool:
    """Return whether a panel is there; the test's own loop goes on."""
    return await asyncio.to_thread(sni_host_present, wait=wait)


async def test_a_panel_is_found(bus: str) -> None:
    """It is on the bus, and says that it shows icons."""
    async with TrayHost.on(bus):
        assert await there()
        assert SystemEnvironment().session_bus
        assert "statusnotifier" == await asyncio.to_thread(find_backend)


async def test_a_watcher_without_a_panel_shows_nothing(bus: str) -> None:
    """It only keeps the list of icons."""
    async with TrayHost.on(bus, with_host=False):
        assert not await there()


def test_a_bus_without_a_panel_is_not_waited_for(bus: str) -> None:
    """Unless one wishes to."""
    begun = time.monotonic()

    assert not sni_host_present()
    assert time.monotonic() - begun < 5


def test_waiting_has_an_end(bus: str) -> None:
    """A desktop without a tray has none after a minute either."""
    assert not sni_host_present(wait=0.05)


async def test_a_panel_that_comes_later_is_noticed_at_once(bus: str) -> None:
    """At login the tray may be first."""
    waiting = asyncio.create_task(there(wait=30))
    await _waits(bus)

    async with TrayHost.on(bus):
        assert await asyncio.wait_for(waiting, 10)


async def test_a_panel_that_comes_after_its_watcher_is_noticed(bus: str) -> None:
    """Some take the name long before they show something."""
    async with TrayHost.on(bus, with_host=False) as host:
        waiting = asyncio.create_task(there(wait=30))
        await _waits(bus, others=1)
        assert host._watcher is not None
        host._watcher._with_host = True
        host._watcher.StatusNotifierHostRegistered()

        assert await asyncio.wait_for(waiting, 10)


async def _waits(bus: str, *, others: int = 0) -> None:
    """Return once somebody is on the bus beside the test, that is: asks for a panel, or will in a moment."""
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
    asked = Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="ListNames",
    )
    reply = await bus.call(asked)
    return [name for name in reply.body[0] if name.startswith(":")]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        # As GLib and Qt say that the property is not there; and as a name without an object behind it, KDE's kded.
        ("org.freedesktop.DBus.Error.UnknownProperty", True),
        ("org.freedesktop.DBus.Error.InvalidArgs", True),
        ("org.freedesktop.DBus.Error.UnknownObject", False),
        ("org.freedesktop.DBus.Error.UnknownMethod", False),
        ("org.freedesktop.DBus.Error.UnknownInterface", False),
    ],
)
async def test_a_watcher_that_does_not_tell_is_believed_to_have_a_panel(
    bus: str, error: str, *, expected: bool
) -> None:
    """But not a name with nothing behind it."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(
        lambda message: Message.new_error(message, error, "of a test") if message.member == "Get" else None
    )
    try:
        await watcher.request_name(WATCHER)

        assert expected == await there()
    finally:
        watcher.disconnect()


@pytest.mark.parametrize(("signature", "body"), [("", []), ("s", ["true"]), ("b", [True])])
async def test_a_watcher_that_answers_nonsense_has_no_panel(bus: str, signature: str, body: list[object]) -> None:
    """And nothing is raised."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(
        lambda message: Message.new_method_return(message, signature, body) if message.member == "Get" else None
    )
    try:
        await watcher.request_name(WATCHER)

        assert not await there()
    finally:
        watcher.disconnect()


async def test_a_watcher_that_does_not_answer_is_not_waited_for_long(bus: str) -> None:
    """It hangs; the tray does not."""
    watcher = await MessageBus(bus_address=bus).connect()
    watcher.add_message_handler(lambda message: message.member == "Get")
    try:
        await watcher.request_name(WATCHER)

        assert not await asyncio.wait_for(there(), 10)
    finally:
        watcher.disconnect()


async def test_a_bus_that_goes_meanwhile_has_no_panel(session: PrivateKeyring, bus: str) -> None:
    """The session ended while the tray waited."""
    waiting = asyncio.create_task(there(wait=1))
    await _waits(bus)
    session.kill_bus()

    assert not await waiting


async def test_a_bus_that_goes_before_the_watcher_answers_has_no_panel(session: PrivateKeyring, bus: str) -> None:
    """Nor is anything raised."""
    watcher = await MessageBus(bus_address=bus).connect()
    asked = asyncio.Event()

    def swallow(message: Message) -> bool:
        if message.member == "Get":
            asked.set()
        return message.member == "Get"

    watcher.add_message_handler(swallow)
    await watcher.request_name(WATCHER)
    waiting = asyncio.create_task(there(wait=1))
    await asyncio.wait_for(asked.wait(), 10)
    session.kill_bus()

    assert not await waiting


@pytest.mark.parametrize("address", ["unix:path=/nowhere", "nonsense", "tcp:host=127.0.0.1,port=1"])
def test_a_bus_that_is_not_there_has_no_panel(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """The variable may have outlived the session."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)

    assert not sni_host_present(wait=1)


def test_a_panel_of_the_old_kind_is_found(session: PrivateKeyring, display: str) -> None:
    """It owns the selection of the system tray."""
    before = SystemEnvironment().xembed_tray

    with _tray_owner(display):
        facts = SystemEnvironment()

        assert (False, True, True) == (before, facts.display, facts.xembed_tray)


async def test_a_panel_of_the_old_kind_that_comes_later_is_noticed_at_once(display: str) -> None:
    """At login the tray may be first."""
    begun = time.monotonic()
    waiting = asyncio.create_task(asyncio.to_thread(xembed_tray_present, wait=30))
    await asyncio.to_thread(_until_someone_listens, display)

    with _tray_owner(display):
        assert await waiting
    assert time.monotonic() - begun < 20


def test_waiting_for_a_panel_of_the_old_kind_has_an_end(display: str) -> None:
    """And is not the default."""
    assert not xembed_tray_present()
    assert not xembed_tray_present(wait=0.05)


def _until_someone_listens(name: str) -> None:
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
    news = ClientMessage(
        window=display.screen().root,
        client_type=display.intern_atom("MANAGER"),
        data=(32, [X.CurrentTime, tray, window.id, 0, 0]),
    )
    display.screen().root.send_event(news, event_mask=X.StructureNotifyMask)
    display.sync()
    try:
        yield
    finally:
        display.close()


# python-xlib leaves the socket with which it tried to the garbage collection.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", [":4711", "nonsense", "nowhere.invalid:0"])
def test_a_display_that_is_not_there_has_no_panel(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The variable may have outlived the session."""
    monkeypatch.setenv("DISPLAY", name)

    assert not SystemEnvironment().xembed_tray


def test_what_gtk_needs_is_looked_up_without_gtk(session: PrivateKeyring) -> None:
    """GTK would stay in memory, and fail without a display."""
    import sys

    facts = SystemEnvironment()

    assert facts.gtk in {True, False}
    assert facts.gtk or not facts.appindicator
    assert "gi.repository.Gtk" not in sys.modules


def test_nothing_at_all_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for root over SSH."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere")
    before = threading.active_count()

    with pytest.raises(TrayUnavailable, match="no desktop here"):
        find_backend()

    assert before == threading.active_count()


def test_looking_costs_no_start_up_time() -> None:
    """Neither pystray nor D-Bus nor pictures are loaded before a backend is chosen."""
    import subprocess
    import sys

    code = "import sys, upstash_helper_tray.backends; print({'pystray', 'dbus_fast', 'PIL', 'Xlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)

    assert "set()" == done.stdout.strip()
