"""The ``Screen`` port implemented with pystray: showing, choosing, starting, and closing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.notifications import Desktop, session_bus
from tests.support.tray_host import TrayHost
from tests.support.tray_icon import SECONDS, eventually, icon_class
from upstash_helper_tray.backends.factory import open_screen
from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.menu.actions import Approve, OpenDashboard, Quit, ShowLog, StartAtLogin
from upstash_helper_tray.menu.entries import Entry, Separator
from upstash_helper_tray.presentation.icons import SIZES, renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.support.keyring import PrivateKeyring
    from upstash_helper_tray.backends.screen import Screen
    from upstash_helper_tray.menu.actions import Action

MENU = (
    Entry(text="Connected as a_b@example.com"),
    Separator(),
    Entry(text="R&D", entries=(Entry(text="Allow", action=Approve("p1")), Entry(text="Nothing"))),
    Entry(text="Start at login", action=StartAtLogin(enabled=False), checked=True),
    Entry(text="Quit", action=Quit()),
)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    with session_bus() as session:
        session.enter(monkeypatch)
        monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
        yield session


@pytest.fixture
async def host(session: PrivateKeyring) -> AsyncIterator[TrayHost]:
    async with TrayHost.on(session.env["DBUS_SESSION_BUS_ADDRESS"]) as host:
        yield host


class Running:
    """A screen whose ``run`` is executing on a separate thread, and the actions that were chosen."""

    def __init__(self, screen: Screen, ready: Callable[[], None]) -> None:
        self.screen = screen
        self.chosen: list[Action] = []
        self.ready = threading.Event()
        self.error: Exception | None = None
        self._ready = ready
        self.thread = threading.Thread(target=self._run)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, screen: Screen, ready: Callable[[], None] = lambda: None) -> AsyncIterator[Running]:
        running = cls(screen, ready)
        running.thread.start()
        try:
            await eventually(lambda: running.ready.is_set() or not running.thread.is_alive())
            yield running
        finally:
            screen.close()
            await running.ended()

    async def ended(self) -> None:
        await eventually(lambda: not self.thread.is_alive())

    def _run(self) -> None:
        def ready() -> None:
            self._ready()
            self.ready.set()

        try:
            self.screen.run(ready=ready, chosen=self.chosen.append, clicked=OpenDashboard(), opened=lambda: None)
        except TrayUnavailable as error:
            self.error = error


async def opened() -> Screen:
    return await asyncio.to_thread(open_screen)


async def test_panel_shows_icon_tooltip_and_menu(host: TrayHost) -> None:
    """It shows the first ones and every change."""
    screen = await opened()
    async with Running.of(screen):
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)
        item = await host.item()
        menu, tooltip = await item.menu(), await item.tooltip()
        pixmaps = (await item.properties())["IconPixmap"]
        screen.show(IconStatus.ATTENTION, "Another", MENU[-1:])

        assert ("statusnotifier", True) == (screen.backend, screen.notifies)
        assert "A tooltip" == tooltip
        assert list(SIZES) == [width for width, _, _ in pixmaps]
        assert [
            "Connected as a_b@example.com (gray)",
            "---",
            "R&D",
            "  Allow",
            "  Nothing (gray)",
            "[x] Start at login",
            "Quit",
        ] == menu.texts()
        assert "Another" == await item.tooltip()
        assert ["Quit"] == (await item.menu()).texts()
        assert pixmaps != (await item.properties())["IconPixmap"]


async def test_content_set_before_run_is_shown_first(host: TrayHost) -> None:
    """No other content flashes up."""
    screen = await opened()
    screen.show(IconStatus.CONNECTED, "Before", MENU)

    async with Running.of(screen):
        item = await host.item()

        assert "Before" == await item.tooltip()
        assert "Quit" in (await item.menu()).texts()


async def test_unchanged_content_is_not_sent(host: TrayHost) -> None:
    """An equal menu counts as unchanged."""
    screen = await opened()
    async with Running.of(screen):
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)
        item = await host.item()
        await item.properties()
        host.signals.clear()

        screen.show(IconStatus.CONNECTED, "A tooltip", tuple(MENU))
        await item.properties()

        assert [] == host.signals


async def test_choice_is_reported_as_its_action(host: TrayHost) -> None:
    """A click on the icon has its own action, which is not in the menu."""
    screen = await opened()
    async with Running.of(screen) as running:
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)
        item = await host.item()
        await item.click("R&D", "Allow")
        await item.click("Start at login")
        await item.click("Connected")
        await item.activate()

    assert [Approve("p1"), StartAtLogin(enabled=False), OpenDashboard()] == running.chosen


async def test_click_in_an_outdated_menu_has_the_action_that_was_shown(host: TrayHost) -> None:
    """If another app requests access before the click, the click still approves the app that was shown."""
    screen = await opened()
    async with Running.of(screen) as running:
        screen.show(IconStatus.ATTENTION, "", (Entry(text="Allow", action=Approve("p1")),))
        item = await host.item()
        seen = (await item.menu()).find("Allow")
        screen.show(IconStatus.ATTENTION, "", (Entry(text="Allow", action=Approve("p2")),))
        await item.click_id(seen.id)

    assert [Approve("p1")] == running.chosen


async def test_notification_is_shown_while_the_icon_is(session: PrivateKeyring, host: TrayHost) -> None:
    """Before and after that it is dropped without an error."""
    screen = await opened()
    screen.notify("Too", "early")
    async with Desktop.on(session) as desktop, Running.of(screen):
        screen.notify("An app requests access", "<Orders>")
        await eventually(lambda: desktop.shown)
    screen.notify("Too", "late")

    assert [("An app requests access", "&lt;Orders&gt;")] == [(one.title, one.body) for one in desktop.shown]


async def test_run_after_close_returns_immediately(host: TrayHost) -> None:
    """The signal to end may arrive first."""
    screen = await opened()
    screen.close()
    screen.close()

    async with Running.of(screen, ready=lambda: pytest.fail("it was shown")) as running:
        pass

    assert running.error is None


async def test_close_before_the_event_loop_runs_is_remembered(host: TrayHost) -> None:
    """The icon cannot be stopped at that time, so it is stopped as soon as its loop runs."""
    base = icon_class()
    from upstash_helper_tray.backends.pystray_screen import PystrayScreen

    class Closing(base):  # type: ignore[misc, valid-type]
        def run(self, setup: Any = None) -> None:
            screen.close()
            super().run(setup)

    screen = PystrayScreen("statusnotifier", icon_class=Closing)

    async with Running.of(screen) as running:
        await running.ended()

    assert running.error is None


async def test_lost_bus_raises_with_advice(session: PrivateKeyring, host: TrayHost) -> None:
    """The message names the session bus."""
    screen = await opened()
    async with Running.of(screen) as running:
        await asyncio.to_thread(session.kill_bus)
        await running.ended()

    assert isinstance(running.error, TrayUnavailable)
    assert "session bus" in str(running.error)
    assert running.error.advice


async def test_failing_start_closes_the_icon(host: TrayHost, caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise an icon without function would stay. The error's own text is in the log."""
    screen = await opened()

    def fail() -> None:
        message = "of a test"
        raise OSError(message)

    async with Running.of(screen, ready=fail) as running:
        await running.ended()

    assert isinstance(running.error, TrayUnavailable)
    assert "The tray's log has the reason" in str(running.error)
    assert "of a test" not in str(running.error)
    assert "of a test" in caplog.text


class RecordingIcon:
    """A pystray ``Icon`` of another system, in memory, with the members that ``PystrayScreen`` uses."""

    HAS_NOTIFICATION = True

    def __init__(self, name: str, icon: Any, title: str, menu: Any) -> None:
        self.name, self.icon, self.title, self.menu = name, icon, title, menu
        self.visible = False
        self.notified: list[tuple[str, str]] = []
        self._stopped = threading.Event()

    def run(self, setup: Callable[[Any], None]) -> None:
        setup(self)
        assert self._stopped.wait(SECONDS)

    def notify(self, body: str, title: str) -> None:
        self.notified.append((title, body))

    def stop(self) -> None:
        self._stopped.set()


def on_another_system(
    backend: Any, icons: type[RecordingIcon] = RecordingIcon
) -> tuple[Screen, Callable[[], RecordingIcon]]:
    """Return a screen with another system's backend, and a function that returns its icon."""
    icon_class()  # so that pystray can be imported
    from upstash_helper_tray.backends.pystray_screen import PystrayScreen

    made: list[RecordingIcon] = []

    class Recorded(icons):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    return PystrayScreen(backend, icon_class=Recorded), lambda: made[-1]


@pytest.fixture
def pystray_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")


@pytest.mark.parametrize(("backend", "text"), [("win32", "R&&D"), ("gtk", "R&D")])
async def test_no_character_marks_an_access_key(pystray_loads: None, backend: str, text: str) -> None:
    """On Windows an ampersand would."""
    screen, icon = on_another_system(backend)
    screen.show(IconStatus.CONNECTED, "A tooltip", MENU)

    async with Running.of(screen):
        assert text == list(icon().menu)[2].text


@pytest.mark.parametrize("backend", ["win32", "gtk"])
async def test_click_on_the_icon_uses_an_invisible_default_item(pystray_loads: None, backend: str) -> None:
    """Both the Windows and the GTK backend call the menu for it."""
    screen, icon = on_another_system(backend)
    screen.show(IconStatus.CONNECTED, "A tooltip", (Entry(text="Log", action=ShowLog()),))

    async with Running.of(screen) as running:
        icon().menu(icon())

        assert ["Log"] == [one.text for one in icon().menu]
    assert [OpenDashboard()] == running.chosen


async def test_backend_with_one_image_gets_the_largest(pystray_loads: None) -> None:
    """It scales the image down."""
    screen, icon = on_another_system("win32")

    async with Running.of(screen):
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)

        assert renderings(IconStatus.CONNECTED)[-1] is icon().icon


@pytest.mark.parametrize(
    ("backend", "title", "body", "expected"),
    [
        ("gtk", "R&D", "<b>R&D</b>", ("R&D", "&lt;b&gt;R&amp;D&lt;/b&gt;")),
        ("win32", "R&D", "<b>R&D</b>", ("R&D", "<b>R&D</b>")),
        ("win32", "t" * 100, "b" * 300, ("t" * 63, "b" * 255)),
        ("win32", "\N{CAT FACE}" * 100, "b", ("\N{CAT FACE}" * 31, "b")),
    ],
)
async def test_notification_is_plain_text_and_limited(
    pystray_loads: None, backend: str, title: str, body: str, expected: tuple[str, str]
) -> None:
    """Markup is escaped where the notification server interprets it, and texts are cut to the limits of Windows."""
    screen, icon = on_another_system(backend)

    async with Running.of(screen):
        screen.notify(title, body)

        assert [expected] == icon().notified


class FailsOnExit(RecordingIcon):
    """Fails like GTK's, which closes a notification although there is no server for them."""

    def run(self, setup: Callable[[Any], None]) -> None:
        super().run(setup)
        message = "org.freedesktop.DBus.Error.ServiceUnknown"
        raise OSError(message)


async def test_error_on_exit_is_ignored(pystray_loads: None) -> None:
    """The icon was to be closed, and it is."""
    screen, _ = on_another_system("gtk", FailsOnExit)

    async with Running.of(screen) as running:
        await asyncio.to_thread(screen.close)
        await running.ended()

    assert running.error is None
