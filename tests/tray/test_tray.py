"""The tray as a whole, with an in-memory screen."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.process import default_sighup
from tests.support.sample_app import SampleApp
from tests.support.until import SECONDS, until
from upstash_helper.service.autostart import NoAutostart
from upstash_helper.settings.profiles import locate
from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.dispatch.clipboard import Clipboard
from upstash_helper_tray.menu.actions import Approve, OpenDashboard, Quit
from upstash_helper_tray.menu.entries import walk
from upstash_helper_tray.runtime.tray import Tray
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.daemon import DaemonProcess
    from tests.support.display import Desk
    from upstash_helper.settings.profiles import Folders
    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.menu.entries import Menu

PAGE = "https://orders.example.com"


class RecordingScreen:
    """The ``Screen`` port in memory: it records what it is asked to show."""

    backend = "recording"

    def __init__(self, *, notifies: bool = True, fails: bool = False) -> None:
        self.notifies = notifies
        self.fails = fails
        self.statuses: list[IconStatus] = []
        self.tooltips: list[str] = []
        self.menus: list[Menu] = []
        self.notified: list[tuple[str, str]] = []
        self.chosen: Callable[[Action], None] | None = None
        self.clicked: Action | None = None
        self.opened: Callable[[], None] | None = None
        self.closed = threading.Event()

    def run(
        self,
        *,
        ready: Callable[[], None],
        chosen: Callable[[Action], None],
        clicked: Action,
        opened: Callable[[], None],
    ) -> None:
        """Wait until closed."""
        if self.fails:
            raise TrayUnavailable("There is no panel.", advice="Get one.")
        self.chosen, self.clicked, self.opened = chosen, clicked, opened
        ready()
        ready()  # as after a restart of the panel
        assert self.closed.wait(SECONDS)

    def show(self, status: IconStatus, tooltip: str, menu: Menu) -> None:
        """Record what is shown."""
        self.statuses.append(status)
        self.tooltips.append(tooltip)
        self.menus.append(menu)

    def notify(self, title: str, body: str) -> None:
        """Record a notification."""
        self.notified.append((title, body))

    def close(self) -> None:
        """End ``run``."""
        self.closed.set()

    def actions(self) -> list[Action]:
        """Return the actions in the current menu."""
        return [entry.action for _, entry in walk(self.menus[-1]) if entry.action is not None]


@contextlib.contextmanager
def shown(
    folders: Folders, screen: RecordingScreen, *, notifications: bool = True, clock: Callable[[], float] | None = None
) -> Iterator[Tray]:
    """Run a tray on a separate thread, without signal handling, for a user who by default takes time to read."""
    tray = Tray(
        screen,
        profile="default",
        folders=folders,
        notifications=notifications,
        autostart=NoAutostart(),
        clipboard=Clipboard(environ={}),
        clock=clock or itertools.count(0.0, 10.0).__next__,
    )
    thread = threading.Thread(target=tray.show)
    thread.start()
    try:
        until(lambda: screen.statuses)
        yield tray
    finally:
        tray.choose(Quit())
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_icon_follows_the_daemon(running: DaemonProcess) -> None:
    """It shows the state at the start and each change."""
    screen = RecordingScreen()

    with shown(running.folders, screen):
        until(lambda: screen.statuses[-1] is IconStatus.DISCONNECTED)
        running.client.stop()
        until(lambda: screen.statuses[-1] is IconStatus.ABSENT)

    assert OpenDashboard() == screen.clicked
    assert "not running" in screen.tooltips[-1]


def test_access_request_is_notified_and_approved_in_the_menu(running: DaemonProcess) -> None:
    """The app requests access, the user sees a notification and approves it, and the app gets its token."""
    screen = RecordingScreen()

    with shown(running.folders, screen):
        until(lambda: screen.statuses[-1] is IconStatus.DISCONNECTED)
        app = SampleApp.requesting(running, origin=PAGE)
        until(lambda: screen.statuses[-1] is IconStatus.ATTENTION)
        ((title, body),) = until(lambda: list(screen.notified))
        assert screen.chosen is not None
        assert Approve(app.id) in screen.actions()
        screen.chosen(Approve(app.id))
        until(lambda: screen.statuses[-1] is IconStatus.DISCONNECTED)

        assert 200 == app.fetch().status

    assert PAGE in title
    assert app.code in body


@pytest.mark.parametrize(("notifies", "notifications"), [(False, True), (True, False)])
def test_daemon_knows_whether_the_tray_notifies(running: DaemonProcess, *, notifies: bool, notifications: bool) -> None:
    """A tray that cannot notify, or for which the user turned that off, shows none, so that the daemon does."""
    screen = RecordingScreen(notifies=notifies)

    with shown(running.folders, screen, notifications=notifications):
        until(lambda: screen.statuses[-1] is IconStatus.DISCONNECTED)
        SampleApp.requesting(running, origin=PAGE)
        until(lambda: screen.statuses[-1] is IconStatus.ATTENTION)
        tray = running.client.status().tray

    assert tray is not None
    assert ("recording", False) == (tray.backend, tray.notifies)
    assert [] == screen.notified


def test_unavailable_screen_raises_and_restores_signal_handling(tmp_path: Path) -> None:
    """The handlers and the wakeup fd are what they were before."""
    folders = locate(environ={"UPSTASH_HELPER_HOME": str(tmp_path)})[1]
    tray = Tray(RecordingScreen(fails=True), profile="default", folders=folders, autostart=NoAutostart())
    handlers = signal.getsignal(signal.SIGTERM)
    wakeup = signal.set_wakeup_fd(-1)  # on Windows, that of an event loop of the tests
    signal.set_wakeup_fd(wakeup)

    with pytest.raises(TrayUnavailable):
        tray.run()

    assert handlers == signal.getsignal(signal.SIGTERM)
    assert wakeup == signal.set_wakeup_fd(wakeup)


# A tray whose main thread blocks in C and ignores signals, as in a toolkit's event loop. Another thread then receives
# the signal.
_BLOCKED_TRAY = """
import ctypes, os, signal
from tests.tray.test_tray import RecordingScreen
from upstash_helper.settings.profiles import locate
from upstash_helper.service.autostart import NoAutostart
from upstash_helper_tray.dispatch.clipboard import Clipboard
from upstash_helper_tray.runtime.tray import Tray

class BlockedScreen(RecordingScreen):
    def run(self, *, ready, chosen, clicked, opened):
        ready()
        clipboard.put_secret("a secret")
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        print("ready", flush=True)
        ctypes.CDLL(None).read(reading, ctypes.create_string_buffer(1), 1)

    def close(self):
        os.write(writing, b"x")

reading, writing = os.pipe()
clipboard = Clipboard()
tray = Tray(BlockedScreen(), profile="default", folders=locate()[1], autostart=NoAutostart(), clipboard=clipboard)
tray.run()
print("ended", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_signal_ends_the_tray_while_the_main_thread_is_blocked(running: DaemonProcess, desk: Desk, name: str) -> None:
    """It exits cleanly and clears the clipboard."""
    environ = {**running.environment, **desk.environ, "UPSTASH_HELPER_HOME": str(running.home), "PYTHONPATH": "."}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _BLOCKED_TRAY]
    with default_sighup(), subprocess.Popen(command, env=environ, cwd=root, stdout=subprocess.PIPE, text=True) as tray:
        try:
            assert tray.stdout is not None
            assert "ready\n" == tray.stdout.readline()
            assert "a secret" == desk.paste()
            tray.send_signal(signal.Signals[name])

            assert "ended\n" == tray.stdout.readline()
            assert 0 == tray.wait(SECONDS)
        finally:
            tray.kill()
    assert "" == desk.paste()


# The main thread or another one, for which the interpreter waits, never ends.
_HANGING_TRAY = """
import sys, threading, time
from upstash_helper_tray.runtime.signals import end_on_signals

forever = threading.Event()
where = sys.argv[1]
quit_ = forever.set if where == "another thread" else forever.wait
def clean_up():
    print("cleaned up", flush=True)
    if where == "the cleanup":
        raise OSError
with end_on_signals(quit_, clean_up=clean_up, seconds=0.2):
    print("ready", flush=True)
    forever.wait()
print("left", flush=True)
threading.Thread(target=threading.Event().wait).start()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
@pytest.mark.parametrize(
    ("where", "printed"),
    [("the event loop", "cleaned up\n"), ("the cleanup", "cleaned up\n"), ("another thread", "left\n")],
)
def test_process_that_hangs_ends_on_a_signal(name: str, where: str, printed: str) -> None:
    """Otherwise it would hold its lock, and the next start would say that an icon is already shown."""
    number = signal.Signals[name]
    command = [sys.executable, "-c", _HANGING_TRAY, where]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with default_sighup(), subprocess.Popen(command, text=True, **streams) as tray:  # type: ignore[call-overload]
        try:
            assert "ready\n" == tray.stdout.readline()
            tray.send_signal(number)
            out, err = tray.communicate(timeout=SECONDS)
        finally:
            tray.kill()

    assert (128 + number, printed) == (tray.returncode, out)
    assert "The tray did not exit in time" in err
    assert 'File "<string>", line' in err or where == "another thread"
