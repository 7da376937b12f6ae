"""The port to a screen, over pystray: what is shown, what is chosen, and how it begins and ends."""

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
    Entry(text="R&D", entries=(Entry(text="Let in", action=Approve("p1")), Entry(text="Nothing"))),
    Entry(text="Start at login", action=StartAtLogin(wanted=False), checked=True),
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
    """A screen whose ``run`` is under way, and what was chosen on it."""

    def __init__(self, screen: Screen, ready: Callable[[], None]) -> None:
        self.screen = screen
        self.chosen: list[Action] = []
        self.ready = threading.Event()
        self.error: Exception | None = None
        self._ready = ready
        self._thread = threading.Thread(target=self._run)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, screen: Screen, ready: Callable[[], None] = lambda: None) -> AsyncIterator[Running]:
        running = cls(screen, ready)
        running._thread.start()
        try:
            await eventually(lambda: running.ready.is_set() or not running._thread.is_alive())
            yield running
        finally:
            screen.close()
            await running.ended()

    async def ended(self) -> None:
        await eventually(lambda: not self._thread.is_alive())

    def _run(self) -> None:
        def ready() -> None:
            self._ready()
            self.ready.set()

        try:
            self.screen.run(ready=ready, chosen=self.chosen.append, clicked=OpenDashboard())
        except TrayUnavailable as error:
            self.error = error


async def opened() -> Screen:
    return await asyncio.to_thread(open_screen)


async def test_what_is_shown_is_on_the_panel(host: TrayHost) -> None:
    """Picture, tooltip and menu, at first and whenever there is news."""
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
            "Connected as a_b@example.com (grey)",
            "---",
            "R&D",
            "  Let in",
            "  Nothing (grey)",
            "[x] Start at login",
            "Quit",
        ] == menu.texts()
        assert "Another" == await item.tooltip()
        assert ["Quit"] == (await item.menu()).texts()
        assert pixmaps != (await item.properties())["IconPixmap"]


async def test_what_was_to_be_shown_before_is_shown_at_first(host: TrayHost) -> None:
    """Nothing flashes up that is not so."""
    screen = await opened()
    screen.show(IconStatus.CONNECTED, "Before", MENU)

    async with Running.of(screen):
        item = await host.item()

        assert "Before" == await item.tooltip()
        assert "Quit" in (await item.menu()).texts()


async def test_what_did_not_change_is_not_sent(host: TrayHost) -> None:
    """An equal menu is the same menu."""
    screen = await opened()
    async with Running.of(screen):
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)
        item = await host.item()
        await item.properties()
        host.signals.clear()

        screen.show(IconStatus.CONNECTED, "A tooltip", tuple(MENU))
        await item.properties()

        assert [] == host.signals


async def test_a_choice_comes_back_as_its_action(host: TrayHost) -> None:
    """And a click on the icon as the one that is for that, though it is not in the menu."""
    screen = await opened()
    async with Running.of(screen) as running:
        screen.show(IconStatus.CONNECTED, "A tooltip", MENU)
        item = await host.item()
        await item.click("R&D", "Let in")
        await item.click("Start at login")
        await item.click("Connected")
        await item.activate()

    assert [Approve("p1"), StartAtLogin(wanted=False), OpenDashboard()] == running.chosen


async def test_a_choice_from_a_menu_that_is_gone_is_the_one_that_was_seen(host: TrayHost) -> None:
    """Between looking and clicking another app asks: yes is for the one that was read."""
    screen = await opened()
    async with Running.of(screen) as running:
        screen.show(IconStatus.ATTENTION, "", (Entry(text="Let in", action=Approve("p1")),))
        item = await host.item()
        seen = (await item.menu()).find("Let in")
        screen.show(IconStatus.ATTENTION, "", (Entry(text="Let in", action=Approve("p2")),))
        await item.click_id(seen.id)

    assert [Approve("p1")] == running.chosen


async def test_a_notification_is_shown(session: PrivateKeyring, host: TrayHost) -> None:
    """And before and after the icon none is, and nothing is raised."""
    screen = await opened()
    screen.notify("Too", "early")
    async with Desktop.on(session) as desktop, Running.of(screen):
        screen.notify("An app asks", "<Orders>")
        await eventually(lambda: desktop.shown)
    screen.notify("Too", "late")

    assert [("An app asks", "&lt;Orders&gt;")] == [(one.title, one.body) for one in desktop.shown]


async def test_what_is_closed_before_it_runs_does_not_run(host: TrayHost) -> None:
    """The signal to end came first."""
    screen = await opened()
    screen.close()
    screen.close()

    async with Running.of(screen, ready=lambda: pytest.fail("it ran")) as running:
        pass

    assert running.error is None


async def test_what_is_closed_while_it_begins_ends(host: TrayHost) -> None:
    """There was nothing to stop yet; it is not forgotten."""
    screen = await opened()
    loop_begins = screen._icon_class._serve  # type: ignore[attr-defined]

    class Closing(screen._icon_class):  # type: ignore[misc, name-defined]
        async def _serve(self) -> None:
            await asyncio.to_thread(screen.close)
            await loop_begins(self)

    screen._icon_class = Closing  # type: ignore[attr-defined]

    async with Running.of(screen) as running:
        await running.ended()

    assert running.error is None


async def test_a_bus_that_goes_is_told(session: PrivateKeyring, host: TrayHost) -> None:
    """In a sentence, with what to do."""
    screen = await opened()
    async with Running.of(screen) as running:
        await asyncio.to_thread(session.kill_bus)
        await running.ended()

    assert isinstance(running.error, TrayUnavailable)
    assert "session bus" in str(running.error)
    assert running.error.advice


async def test_a_beginning_that_fails_ends_it(host: TrayHost) -> None:
    """An icon without anybody behind it would tell nothing, and never go."""
    screen = await opened()

    def fail() -> None:
        message = "of a test"
        raise OSError(message)

    async with Running.of(screen, ready=fail) as running:
        await running.ended()

    assert isinstance(running.error, TrayUnavailable)
    assert "of a test" in str(running.error)


class RecordingIcon:
    """pystray's ``Icon`` of another system, as far as a screen calls it."""

    HAS_NOTIFICATION = True

    def __init__(self, name: str, icon: Any, title: str, menu: Any) -> None:
        self.name, self.icon, self.title, self.menu = name, icon, title, menu
        self.visible = False
        self.notified: list[tuple[str, str]] = []
        self._over = threading.Event()

    def run(self, setup: Callable[[Any], None]) -> None:
        setup(self)
        assert self._over.wait(SECONDS)

    def notify(self, body: str, title: str) -> None:
        self.notified.append((title, body))

    def stop(self) -> None:
        self._over.set()


def on_another_system(backend: Any) -> tuple[Screen, Callable[[], RecordingIcon]]:
    """Return a screen there, and what returns its icon."""
    icon_class()  # so that pystray can be imported
    from upstash_helper_tray.backends.pystray_screen import PystrayScreen

    screen = PystrayScreen(backend, icon_class=RecordingIcon)
    return screen, lambda: screen._icon


@pytest.fixture
def pystray_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")


@pytest.mark.parametrize(("backend", "text"), [("win32", "R&&D"), ("gtk", "R&D")])
async def test_no_character_marks_an_access_key(pystray_loads: None, backend: str, text: str) -> None:
    """Windows takes an ampersand for that."""
    screen, icon = on_another_system(backend)
    screen.show(IconStatus.CONNECTED, "A tooltip", MENU)

    async with Running.of(screen):
        assert text == list(icon().menu)[2].text


@pytest.mark.parametrize("backend", ["win32", "gtk"])
async def test_a_click_on_the_icon_is_reached_without_being_seen(pystray_loads: None, backend: str) -> None:
    """The menu is called for it, on Windows and in GTK alike."""
    screen, icon = on_another_system(backend)
    screen.show(IconStatus.CONNECTED, "A tooltip", (Entry(text="Log", action=ShowLog()),))

    async with Running.of(screen) as running:
        icon().menu(icon())

        assert ["Log"] == [one.text for one in icon().menu]
    assert [OpenDashboard()] == running.chosen


async def test_a_backend_that_takes_one_picture_gets_the_largest(pystray_loads: None) -> None:
    """It scales it down."""
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
async def test_a_notification_is_plain_text_and_fits(
    pystray_loads: None, backend: str, title: str, body: str, expected: tuple[str, str]
) -> None:
    """It is passed on as it is; GTK's way ends at a server of markup, Windows has room for so much."""
    screen, icon = on_another_system(backend)

    async with Running.of(screen):
        screen.notify(title, body)

        assert [expected] == icon().notified


class FailsOnTheWayOut(RecordingIcon):
    """As GTK's, which takes a notification away although nobody shows any."""

    def run(self, setup: Callable[[Any], None]) -> None:
        super().run(setup)
        message = "org.freedesktop.DBus.Error.ServiceUnknown"
        raise OSError(message)


async def test_a_backend_that_fails_on_the_way_out_has_ended_all_the_same(pystray_loads: None) -> None:
    """The user wanted the icon to go, and it is gone."""
    screen, _ = on_another_system("gtk")
    screen._icon_class = FailsOnTheWayOut  # type: ignore[attr-defined]

    async with Running.of(screen) as running:
        await asyncio.to_thread(screen.close)
        await running.ended()

    assert running.error is None
