"""The icon in a real legacy (XEmbed) panel, without PyGObject."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.panel import Panel
from tests.support.until import until

pytestmark = pytest.mark.slow

PROGRAM = """
from upstash_helper_tray.menu.actions import OpenDashboard
from upstash_helper_tray.backends.factory import open_screen
from upstash_helper_tray.sync.state import IconStatus

screen = open_screen("xorg", wait=30)
screen.show(IconStatus.CONNECTED, "A tooltip", ())

def chosen(action):
    print(action.section, flush=True)
    screen.close()

screen.run(ready=lambda: print("ready", flush=True), chosen=chosen, clicked=OpenDashboard("apps"), opened=lambda: None)
print("ended", flush=True)
"""


def test_click_on_the_icon_carries_out_its_action() -> None:
    """This backend has no menu, only the click."""
    with Panel.running() as panel:
        command = [sys.executable, "-P", "-c", PROGRAM]
        with subprocess.Popen(command, env=dict(panel.environment), stdout=subprocess.PIPE, text=True) as tray:
            try:
                assert tray.stdout is not None
                assert "ready\n" == tray.stdout.readline()
                until(lambda: panel.icon().getcolors(maxcolors=2) is None)  # an icon has more than two colors
                panel.click()

                assert ["apps\n", "ended\n"] == [tray.stdout.readline(), tray.stdout.readline()]
            finally:
                tray.kill()
