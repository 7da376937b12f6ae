"""The tray as a whole, before a user who is not there."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.app_side import AppSide
from tests.support.process import default_sighup
from tests.support.until import SECONDS, until
from upstash_helper.service.autostart import NoAutostart
from upstash_helper.settings.profiles import locate
from upstash_helper_tray.actions import Approve, OpenDashboard, Quit
from upstash_helper_tray.clipboard import Clipboard
from upstash_helper_tray.menu.entries import walk
from upstash_helper_tray.screen import NoTray
from upstash_helper_tray.state import Sign
from upstash_helper_tray.tray import Tray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.daemon import DaemonProcess
    from tests.support.display import Desk
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.actions import Action
    from upstash_helper_tray.menu.entries import Menu

PAGE = "https://orders.example.com"


class RecordingScreen:
    """The ``Screen`` port, for a user who is not there: it remembers what it was to show."""

    backend = "recording"

    def __init__(self, *, notifies: bool = True, fails: bool = False) -> None:
        self.notifies = notifies
        self.fails = fails
        self.signs: list[Sign] = []
        self.tooltips: list[str] = []
        self.menus: list[Menu] = []
        self.notified: list[tuple[str, str]] = []
        self.chosen: Callable[[Action], None] | None = None
        self.opened: Action | None = None
        self.closed = threading.Event()

    def run(self, *, ready: Callable[[], None], chosen: Callable[[Action], None], opened: Action) -> None:
        """Show until closed."""
        if self.fails:
            raise NoTray("There is no panel.", advice="Get one.")
        self.chosen, self.opened = chosen, opened
        ready()
        ready()  # a panel that was restarted
        assert self.closed.wait(SECONDS)

    def show(self, sign: Sign, tooltip: str, menu: Menu) -> None:
        """Note what is shown."""
        self.signs.append(sign)
        self.tooltips.append(tooltip)
        self.menus.append(menu)

    def notify(self, title: str, body: str) -> None:
        """Note a notification."""
        self.notified.append((title, body))

    def close(self) -> None:
        """End."""
        self.closed.set()

    def actions(self) -> list[Action]:
        """Return what can be chosen now."""
        return [entry.action for _, entry in walk(self.menus[-1]) if entry.action is not None]


@contextlib.contextmanager
def shown(folders: Folders, screen: RecordingScreen, *, notifications: bool = True) -> Iterator[Tray]:
    """Run a tray on a thread of its own, without the signals that a main thread has."""
    tray = Tray(
        screen,
        profile="default",
        folders=folders,
        notifications=notifications,
        autostart=NoAutostart(),
        clipboard=Clipboard(environ={}),
    )
    thread = threading.Thread(target=tray.show)
    thread.start()
    try:
        until(lambda: screen.signs)
        yield tray
    finally:
        tray.choose(Quit())
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_the_icon_follows_the_daemon(running: DaemonProcess) -> None:
    """From what it is at the start to what becomes of it."""
    screen = RecordingScreen()

    with shown(running.folders, screen):
        until(lambda: screen.signs[-1] is Sign.DISCONNECTED)
        running.client.stop()
        until(lambda: screen.signs[-1] is Sign.ABSENT)

    assert OpenDashboard() == screen.opened
    assert "not running" in screen.tooltips[-1]


def test_a_request_is_notified_and_decided_in_the_menu(running: DaemonProcess) -> None:
    """The whole way: the app asks, the user sees it, says yes, and the app is in."""
    screen = RecordingScreen()

    with shown(running.folders, screen):
        until(lambda: screen.signs[-1] is Sign.DISCONNECTED)
        app = AppSide.asks(running, origin=PAGE)
        until(lambda: screen.signs[-1] is Sign.ATTENTION)
        ((title, body),) = until(lambda: list(screen.notified))
        assert screen.chosen is not None
        assert Approve(app.id) in screen.actions()
        screen.chosen(Approve(app.id))
        until(lambda: screen.signs[-1] is Sign.DISCONNECTED)

        assert 200 == app.fetch().status

    assert PAGE in title
    assert app.code in body


@pytest.mark.parametrize(("notifies", "notifications"), [(False, True), (True, False)])
def test_who_tells_of_a_request_is_agreed_with_the_daemon(
    running: DaemonProcess, *, notifies: bool, notifications: bool
) -> None:
    """A tray that cannot, or that the user wants to be silent, says so and shows nothing."""
    screen = RecordingScreen(notifies=notifies)

    with shown(running.folders, screen, notifications=notifications):
        until(lambda: screen.signs[-1] is Sign.DISCONNECTED)
        AppSide.asks(running, origin=PAGE)
        until(lambda: screen.signs[-1] is Sign.ATTENTION)
        tray = running.client.status().tray

    assert tray is not None
    assert ("recording", False) == (tray.backend, tray.notifies)
    assert [] == screen.notified


def test_a_screen_that_cannot_be_shown_is_the_callers_to_tell(tmp_path: Path) -> None:
    """Nothing stays behind."""
    folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path)})[1]
    tray = Tray(RecordingScreen(fails=True), profile="default", folders=folders, autostart=NoAutostart())
    handlers = signal.getsignal(signal.SIGTERM)

    with pytest.raises(NoTray):
        tray.run()

    assert handlers == signal.getsignal(signal.SIGTERM)
    assert -1 == signal.set_wakeup_fd(-1)


# A tray whose main thread is inside a C library that goes on waiting when a signal comes, as a toolkit's loop does. The
# signal is delivered to another thread then.
_DEAF = """
import ctypes, os, signal
from tests.tray.test_tray import RecordingScreen
from upstash_helper.settings.profiles import locate
from upstash_helper.service.autostart import NoAutostart
from upstash_helper_tray.tray import Tray

class Deaf(RecordingScreen):
    def run(self, *, ready, chosen, opened):
        ready()
        tray._clipboard.put_secret("a secret")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        print("ready", flush=True)
        ctypes.CDLL(None).read(reading, ctypes.create_string_buffer(1), 1)

    def close(self):
        os.write(writing, b"x")

reading, writing = os.pipe()
tray = Tray(Deaf(), profile="default", folders=locate()[1], autostart=NoAutostart())
tray.run()
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no signals of this kind")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_wherever_its_main_thread_is(
    running: DaemonProcess, desk: Desk, number: signal.Signals
) -> None:
    """With a clean exit, and no secret left on the clipboard."""
    environ = {**running.environment, **desk.environ, "UPSTASH_HELPER_HOME": str(running.home), "PYTHONPATH": "."}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _DEAF]
    with default_sighup(), subprocess.Popen(command, env=environ, cwd=root, stdout=subprocess.PIPE, text=True) as tray:
        try:
            assert tray.stdout is not None
            assert "ready\n" == tray.stdout.readline()
            assert "a secret" == desk.paste()
            tray.send_signal(number)

            assert "ended\n" == tray.stdout.readline()
            assert 0 == tray.wait(SECONDS)
        finally:
            tray.kill()
    assert "" == desk.paste()
