"""The icon in real legacy (XEmbed) panels, without PyGObject."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.panel import Panel
from tests.support.tray_desktops import WIDTH, I3bar, Trayer, desktop
from tests.support.tray_process import TrayProcess
from tests.support.until import SECONDS, until
from tests.support.virtual_desktop import HEIGHT
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from PIL.Image import Image

    from tests.support.tray_desktops import TrayDesktop
    from tests.support.virtual_desktop import VirtualDesktop

pytestmark = pytest.mark.slow

PROGRAM = """
import sys, threading
from upstash_helper_tray.menu.actions import OpenDashboard
from upstash_helper_tray.backends.factory import open_screen
from upstash_helper_tray.runtime.signals import end_on_signals
from upstash_helper_tray.sync.state import IconStatus

screen = open_screen("xorg", wait=30)
screen.show(IconStatus.CONNECTED, "A tooltip", ())

def chosen(action):
    print(action.section, flush=True)
    screen.close()

def follow():
    for number, line in enumerate(sys.stdin):
        screen.show(IconStatus[line.strip()], f"Tooltip {number}", ())
        print("shown", flush=True)

using_x = set()

def trace(frame, _event, _argument):
    if frame.f_code.co_filename.endswith("Xlib/protocol/display.py"):
        using_x.add(threading.current_thread().name)

sys.setprofile(trace)
threading.setprofile(trace)
threading.Thread(target=follow, daemon=True).start()
with end_on_signals(screen.close, clean_up=lambda: None):
    clicked = OpenDashboard("apps")
    screen.run(ready=lambda: print("ready", flush=True), chosen=chosen, clicked=clicked, opened=lambda: None)
sys.setprofile(None)
print("ended", *using_x, flush=True)
"""


@pytest.fixture(scope="module")
def trayer() -> Iterator[TrayDesktop]:
    """A desktop with nothing but a legacy panel."""
    with desktop(Trayer) as found:
        yield found


def program(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start the program above."""
    command = [sys.executable, "-P", "-c", PROGRAM]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, env=dict(environment), text=True, bufsize=1, **pipes)  # type: ignore[call-overload, no-any-return]


def colors(icon: Image) -> int:
    """Return the number of colors: an icon has more than an empty panel."""
    return len(icon.getcolors(maxcolors=HEIGHT * HEIGHT) or ())


def is_shown(shown: VirtualDesktop, *, left: int = 0) -> bool:
    """Return whether there is an icon."""
    return colors(shown.picture().crop((left, 0, left + HEIGHT - 8, HEIGHT - 8))) > 8


def test_click_on_the_icon_carries_out_its_action() -> None:
    """This backend has no menu, only the click."""
    with Panel.running() as panel, program(panel.environment) as tray:
        try:
            assert tray.stdout is not None
            assert "ready\n" == tray.stdout.readline()
            until(lambda: panel.icon().getcolors(maxcolors=2) is None)  # an icon has more than two colors
            panel.click()

            assert ["apps\n", "ended MainThread\n"] == [tray.stdout.readline(), tray.stdout.readline()]
        finally:
            tray.kill()


def test_only_one_thread_uses_the_connection(trayer: TrayDesktop) -> None:
    """python-xlib can hang otherwise. The image and the title are set, and the icon is closed, from other threads."""
    with program(trayer.environment) as tray:
        try:
            assert tray.stdin is not None
            assert tray.stdout is not None
            assert "ready\n" == tray.stdout.readline()
            for status in ("ATTENTION", "DISCONNECTED", "CONNECTED"):
                tray.stdin.write(f"{status}\n")
                assert "shown\n" == tray.stdout.readline()
            until(lambda: is_shown(trayer))
            tray.send_signal(signal.SIGTERM)

            assert ("ended MainThread\n", 0) == (tray.stdout.readline(), tray.wait(SECONDS))
        finally:
            tray.kill()


def test_signal_ends_the_tray_while_the_display_hangs(trayer: TrayDesktop, tmp_path: Path) -> None:
    """The next start does not find the icon to be already shown."""
    environment = {**trayer.environment, "UPSTASH_HELPER_HOME": str(tmp_path)}
    with TrayProcess.running(environment, "--backend", "xorg", "--wait", "30") as tray:
        until(lambda: is_shown(trayer))
        with trayer.frozen():
            code, printed = tray.stop()
        until(lambda: not is_shown(trayer))
        tray.start()
        until(lambda: is_shown(trayer))

        assert (exit_codes.OK, "") == (code, printed)
        assert tray.poll() is None


def test_restarted_panel_gets_the_icon_again(trayer: TrayDesktop, tmp_path: Path) -> None:
    """A panel announces itself when it starts."""
    environment = {**trayer.environment, "UPSTASH_HELPER_HOME": str(tmp_path)}
    with TrayProcess.running(environment, "--backend", "xorg", "--wait", "30") as tray:
        until(lambda: is_shown(trayer))
        trayer.kill()
        trayer.start_panel()
        until(lambda: is_shown(trayer) or tray.poll() is not None)

        assert tray.poll() is None


def test_click_on_the_icon_in_i3bar_carries_out_its_action() -> None:
    """The icon is at the right end of this bar."""
    left = WIDTH - HEIGHT
    with desktop(I3bar) as i3, program(i3.environment) as tray:
        try:
            assert tray.stdout is not None
            assert "ready\n" == tray.stdout.readline()
            until(lambda: is_shown(i3, left=left))
            i3.click(left + HEIGHT // 2)

            assert "apps\n" == tray.stdout.readline()
        finally:
            tray.kill()
