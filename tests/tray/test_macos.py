"""The icon in macOS's menu bar, which only the main thread may touch. Its event loop and libraries are stand-ins."""

from __future__ import annotations

import ctypes
import queue
import signal
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.launchctl import Launchctl
from tests.support.tray_icon import SECONDS, eventually, icon_class
from upstash_helper.service.autostart import LaunchAgent, autostart_here
from upstash_helper.system.notifications import command_backend
from upstash_helper_tray.backends.environment import SystemEnvironment
from upstash_helper_tray.backends.macos import MacDesktop
from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.dispatch.opener import open_command
from upstash_helper_tray.menu.actions import Approve, OpenDashboard
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MENU = (Entry(text="Allow", action=Approve("p1")),)


class EventLoop:
    """The ``Desktop``: the main thread's event loop, and the menu, which a user can open."""

    def __init__(self) -> None:
        self.calls: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self.prepared_on: list[threading.Thread] = []
        self.started_on: list[threading.Thread] = []
        self.notified: list[tuple[str, str]] = []
        self._menu_is_open = False
        self._waiting: list[Callable[[], None]] = []

    def prepare(self) -> None:
        self.prepared_on.append(threading.current_thread())

    def started(self) -> None:
        self.started_on.append(threading.current_thread())

    def call(self, call: Callable[[], None]) -> None:
        self.calls.put(call)

    def call_while_closed(self, call: Callable[[], None]) -> None:
        (self._waiting.append if self._menu_is_open else self.calls.put)(call)

    def notify(self, title: str, body: str) -> None:
        self.notified.append((title, body))

    def open_menu(self) -> None:
        self._menu_is_open = True

    def close_menu(self) -> None:
        self._menu_is_open = False
        for call in self._waiting:
            self.calls.put(call)

    def run(self) -> None:
        """Run until ``None`` is called."""
        while (call := self.calls.get(timeout=SECONDS)) is not None:
            call()


class AppKitIcon:
    """pystray's ``Icon`` on macOS. It calls ``setup`` on another thread, and must be used on the one that made it."""

    HAS_NOTIFICATION = True
    loop: EventLoop
    wrong_threads: list[str]

    def __init__(self, name: str, icon: Any, title: str, menu: Any) -> None:
        self.__dict__["thread"] = threading.current_thread()
        self.name, self.icon, self.title, self.menu, self.visible = name, icon, title, menu, False

    def __setattr__(self, name: str, value: object) -> None:
        if threading.current_thread() is not self.__dict__["thread"]:
            self.wrong_threads.append(name)
        self.__dict__[name] = value

    def run(self, setup: Callable[[Any], None]) -> None:
        threading.Thread(target=setup, args=(self,)).start()
        self.loop.run()

    def stop(self) -> None:
        if threading.current_thread() is not self.__dict__["thread"]:
            self.wrong_threads.append("stop")
        self.loop.calls.put(None)

    def notify(self, body: str, title: str) -> None:
        raise AssertionError(title, body)


class MenuBar:
    """A screen whose ``run`` is executing on a thread of its own, which is the main thread of an app."""

    def __init__(self, *, ready: Callable[[], None] = lambda: None) -> None:
        if sys.platform == "linux":
            icon_class()  # so that pystray can be imported
        from upstash_helper_tray.backends.pystray_screen import PystrayScreen

        self.loop = EventLoop()
        self.icons: list[Any] = []
        self.wrong_threads: list[str] = []
        made = self.icons

        class Icon(AppKitIcon):
            loop = self.loop
            wrong_threads = self.wrong_threads

            def __init__(self, *arguments: Any, **options: Any) -> None:
                super().__init__(*arguments, **options)
                made.append(self)

        self.screen = PystrayScreen("darwin", icon_class=Icon, desktop=self.loop)
        self.error: TrayUnavailable | None = None
        self.is_ready = threading.Event()
        self._ready = ready
        self.main = threading.Thread(target=self._run)

    def start(self) -> None:
        self.main.start()

    async def started(self) -> Any:
        """Return the icon once it is shown."""
        self.start()
        await eventually(self.is_ready.is_set)
        return self.icons[-1]

    async def ended(self) -> None:
        await eventually(lambda: not self.main.is_alive())

    async def close(self) -> None:
        self.screen.close()
        await self.ended()

    def _run(self) -> None:
        def ready() -> None:
            self._ready()
            self.is_ready.set()

        try:
            self.screen.run(ready=ready, chosen=lambda _: None, clicked=OpenDashboard(), opened=lambda: None)
        except TrayUnavailable as error:
            self.error = error


@pytest.fixture(autouse=True)
def _pystray_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")


async def test_only_the_main_thread_touches_the_icon() -> None:
    """It is made, shown, updated, and removed there, whatever thread asks for it."""
    bar = MenuBar()
    bar.screen.show(IconStatus.CONNECTED, "Before", ())

    icon = await bar.started()
    shown = icon.visible
    bar.screen.show(IconStatus.ATTENTION, "After", MENU)
    await eventually(lambda: [item.text for item in icon.menu] == ["Allow"])
    await bar.close()

    assert (True, "After") == (shown, icon.title)
    assert ([], [bar.main], [bar.main]) == (bar.wrong_threads, bar.loop.prepared_on, bar.loop.started_on)
    assert bar.error is None


async def test_menu_does_not_change_while_it_is_open() -> None:
    """Otherwise a click could choose the entry that has just moved there. Quitting does not wait."""
    bar = MenuBar()
    icon = await bar.started()
    before = icon.menu

    bar.loop.open_menu()
    bar.screen.show(IconStatus.ATTENTION, "", MENU)
    drained = threading.Event()
    bar.loop.call(drained.set)
    await eventually(drained.is_set)
    while_open = icon.menu
    bar.loop.close_menu()
    await eventually(lambda: icon.menu is not before)
    bar.loop.open_menu()
    await bar.close()

    assert while_open is before
    assert [] == bar.wrong_threads


async def test_failing_start_ends_the_icon() -> None:
    """It fails on the main thread, and `run` raises there."""

    def fail() -> None:
        message = "of a test"
        raise OSError(message)

    bar = MenuBar(ready=fail)
    bar.start()
    await bar.ended()

    assert "The tray's log has the reason" in str(bar.error)
    assert [] == bar.wrong_threads


async def test_close_before_the_icon_is_shown_is_remembered() -> None:
    """A signal can end the tray while it starts."""
    bar = MenuBar(ready=lambda: bar.screen.close())  # noqa: PLW0108 - there is no bar yet

    bar.start()
    await bar.ended()

    assert bar.error is None
    assert [] == bar.wrong_threads


async def test_notification_does_not_use_pystrays_script() -> None:
    """That one would contain the text, and wait forever."""
    bar = MenuBar()
    await bar.started()

    bar.screen.notify('A "title"', "A body")
    await bar.close()

    assert [('A "title"', "A body")] == bar.loop.notified


# --- the libraries ----------------------------------------------------------------------------------------------------


def libraries(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Install stand-ins for PyObjC's modules, and return what is called in them."""
    called: list[tuple[str, Any]] = []

    class Application:
        def setActivationPolicy_(self, policy: str) -> None:  # noqa: N802 - Apple's name
            called.append(("policy", policy))

    class RunLoop:
        def performInModes_block_(self, modes: list[str], block: Callable[[], None]) -> None:  # noqa: N802 - Apple's name
            called.append(("modes", modes))
            block()

    def call_after(function: Callable[..., None], *arguments: object) -> None:
        called.append(("callAfter", function))
        function(*arguments)

    appkit: Any = ModuleType("AppKit")
    appkit.NSApplication = type("NSApplication", (), {"sharedApplication": staticmethod(Application)})
    appkit.NSApplicationActivationPolicyAccessory = "accessory"
    foundation: Any = ModuleType("Foundation")
    foundation.NSDefaultRunLoopMode = "default"
    foundation.NSRunLoop = type("NSRunLoop", (), {"mainRunLoop": staticmethod(RunLoop)})
    helper: Any = ModuleType("PyObjCTools.AppHelper")
    helper.callAfter = call_after
    tools: Any = ModuleType("PyObjCTools")
    tools.AppHelper = helper
    for module in (appkit, foundation, tools, helper):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return called


def test_python_does_not_appear_in_the_dock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework build of Python would."""
    called = libraries(monkeypatch)

    MacDesktop().prepare()

    assert [("policy", "accessory")] == called


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")
def test_ctrl_c_is_handled_in_python_again() -> None:
    """Otherwise it would end the tray at once. The event loop replaces the handler in C, as ``signal(3)`` does here."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        replace = ctypes.CDLL(None).signal
        replace.argtypes, replace.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        replace(signal.SIGINT, int(signal.SIG_IGN))

        MacDesktop().started()
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

    assert [signal.SIGINT] == received


def test_calls_reach_the_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that has to wait for the menu uses the mode that is suspended meanwhile, and then wakes the run loop."""
    called, done = libraries(monkeypatch), list[str]()
    desktop = MacDesktop()

    desktop.call(lambda: done.append("call"))
    desktop.call_while_closed(lambda: done.append("while closed"))

    assert ["call", "while closed"] == done
    assert ["callAfter", "modes", "callAfter"] == [name for name, _ in called]
    assert ("modes", ["default"]) == called[1]


def test_notification_is_one_command_with_a_time_limit() -> None:
    """A failure is only logged: there is nobody to report it to."""
    shown: list[tuple[str, str, float]] = []

    def show(title: str, body: str, seconds: float) -> bool:
        shown.append((title, body, seconds))
        return False

    MacDesktop(show=show).notify("t", "b")

    assert [("t", "b", 5.0)] == shown


def test_notification_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """It may wait for a desktop that does not answer."""
    hangs = (sys.executable, "-c", "import time; time.sleep(60)")
    desktop = MacDesktop(show=lambda *_: command_backend(lambda *_: (hangs, {}))("t", "b", 0.01))
    caplog.set_level("INFO")

    desktop.notify("t", "b")

    assert ["tray_notification_failed"] == caplog.messages


# --- the system -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="platform: launchctl is a script here, which Windows cannot run")
@pytest.mark.parametrize("desktop", [True, False])
def test_menu_bar_is_that_of_the_desktop_session(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    desktop: bool,  # noqa: FBT001
) -> None:
    """Over SSH, launchd's manager is not that of the desktop."""
    Launchctl(tmp_path).on_path(monkeypatch).set(desktop=desktop)

    assert desktop is SystemEnvironment().menu_bar


def test_menu_bar_is_assumed_if_launchd_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The icon may still work."""
    monkeypatch.setenv("PATH", str(tmp_path))

    assert SystemEnvironment().menu_bar


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has this setting in its registry")
def test_icon_is_started_at_login_by_an_agent(tmp_path: Path) -> None:
    """Each profile has its own file."""
    usual = autostart_here("default", environ={}, platform="darwin", user_home=tmp_path)
    second = autostart_here("second", environ={}, platform="darwin", user_home=tmp_path)

    assert isinstance(usual, LaunchAgent)
    assert isinstance(second, LaunchAgent)
    assert tmp_path / "Library/LaunchAgents/io.upstash-helper.upstash-helper-tray.plist" == usual.file
    assert "io.upstash-helper.upstash-helper-tray-second.plist" == second.file.name


@pytest.mark.parametrize(("platform", "program"), [("darwin", "open"), ("linux", "xdg-open")])
def test_folders_are_opened_by_the_systems_program(platform: str, program: str) -> None:
    """open(1) and xdg-open(1)."""
    assert program == open_command(platform)
