"""
Xfce's panel on a virtual display, with a mouse, a keyboard, and screenshots.

    with Panel.running() as panel:
        panel.until(lambda icon: …, keep=…)
        panel.click()
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import pytest

from tests.support.display import x_display
from tests.support.keyring import PrivateKeyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL.Image import Image

HEIGHT: Final = 32
"""Height of the panel, which is at the top of the display."""
SECONDS: Final = 40.0

# One panel at the top, over the whole width, that contains only the tray.
_CONFIGURATION: Final = """\
<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="dark-mode" type="bool" value="{dark}"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="length" type="uint" value="100"/>
      <property name="size" type="uint" value="{height}"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
    </property>
  </property>
</channel>
"""
_LEFT: Final = 1
_RIGHT: Final = 3


class Panel:
    """Xfce's panel, on its own session bus and display."""

    def __init__(self, session: PrivateKeyring, display: str) -> None:
        self.session = session
        self.display = display
        self._programs: list[subprocess.Popen[bytes]] = []

    @classmethod
    @contextmanager
    def running(cls, *, dark: bool = False) -> Iterator[Self]:
        """Run the panel for the duration of the block."""
        program, settings = _programs()
        with ExitStack() as stack:
            session = PrivateKeyring()
            stack.callback(session.stop)
            session.declare("org.xfce.Xfconf", settings)
            session.start(keyring=False)
            panel = cls(session, stack.enter_context(x_display()))
            stack.callback(panel.stop)
            panel.configure(dark=dark)
            panel.start(program)
            yield panel

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of a program on this desktop."""
        quiet = {"GDK_BACKEND": "x11", "GTK_A11Y": "none", "NO_AT_BRIDGE": "1", "XDG_CURRENT_DESKTOP": "XFCE"}
        return {**self.session.env, **quiet, "DISPLAY": self.display}

    def start(self, program: str = "xfce4-panel") -> None:
        """Start the panel, as at login or after a crash."""
        command, silent = [program, "--disable-wm-check"], subprocess.DEVNULL
        self._programs.append(
            subprocess.Popen(command, env=dict(self.environment), stdin=silent, stdout=silent, stderr=silent)
        )

    def kill(self) -> None:
        """Kill the panel. The session continues."""
        panel = self._programs.pop()
        panel.kill()
        panel.wait()

    def stop(self) -> None:
        """End all programs that were started here."""
        for one in reversed(self._programs):
            one.kill()
            one.wait()

    # --- the screen ---------------------------------------------------------------------------------------------------

    def picture(self) -> Image:
        """Return a screenshot of the display."""
        from PIL import ImageGrab

        return ImageGrab.grab(xdisplay=self.display).convert("RGB")

    def icon(self) -> Image:
        """Return the part of the panel where the first icon is."""
        return self.picture().crop((0, 0, HEIGHT, HEIGHT))

    def until(self, condition: Callable[[Image], bool], *, keep: Path, seconds: float = SECONDS) -> Image:
        """
        Wait until a condition holds for the icon, and return a screenshot of the display.

        Args:
            condition: Called with an image of the icon.
            keep: File for the last screenshot if it never holds.
            seconds: How long to wait.
        """
        deadline = time.monotonic() + seconds
        while not condition(self.icon()):
            if time.monotonic() >= deadline:
                self.picture().save(keep)
                message = f"not within {seconds} s; the last screenshot is in {keep}"
                raise AssertionError(message)
            time.sleep(0.05)
        return self.picture()

    def paint(self, color: int) -> None:
        """Set the background color of the display as RGB, from 0x000000 to 0xFFFFFF."""
        from Xlib.display import Display

        display = Display(self.display)
        root = display.screen().root
        root.change_attributes(background_pixel=color)
        root.clear_area(0, 0, 0, 0)
        display.sync()
        display.close()

    # --- the mouse and the keyboard -----------------------------------------------------------------------------------

    def click(self, x: int = HEIGHT // 2, y: int = HEIGHT // 2, *, right: bool = False) -> None:
        """Click, by default on the first icon."""
        from Xlib import X

        button = _RIGHT if right else _LEFT
        self._input([(X.MotionNotify, 0, x, y), (X.ButtonPress, button, 0, 0), (X.ButtonRelease, button, 0, 0)])

    def press(self, *names: str) -> None:
        """Press keys one after the other, by their X names."""
        from Xlib import XK, X
        from Xlib.display import Display

        display = Display(self.display)
        codes = [display.keysym_to_keycode(XK.string_to_keysym(name)) for name in names]
        display.close()
        for code in codes:
            self._input([(X.KeyPress, code, 0, 0), (X.KeyRelease, code, 0, 0)])
            time.sleep(0.1)  # the menu needs time to move the selection

    def _input(self, events: list[tuple[int, int, int, int]]) -> None:
        from Xlib.display import Display
        from Xlib.ext import xtest

        display = Display(self.display)
        for kind, detail, x, y in events:
            xtest.fake_input(display, kind, detail, x=x, y=y)
            display.sync()
            time.sleep(0.05)  # toolkits ignore a press and a release at the same instant
        display.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def configure(self, *, dark: bool) -> None:
        """Write the panel's configuration, before it starts."""
        folder = self.session.home / ".config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
        folder.mkdir(parents=True)
        text = _CONFIGURATION.format(dark=str(dark).lower(), height=HEIGHT)
        (folder / "xfce4-panel.xml").write_text(text)


def _programs() -> tuple[str, str]:
    if sys.platform != "linux":
        pytest.skip("platform: the panel is Xfce's, on Linux")
    panel = shutil.which("xfce4-panel")
    if panel is None:
        pytest.skip("xfce4-panel is missing: apt-get install xfce4-panel")
    # It is no command of the user's: the bus starts it, on a desktop.
    places = [Path("/usr/lib"), Path("/usr/libexec"), Path("/usr/lib64")]
    found = [
        path for place in places for pattern in ("xfce4/xfconf/xfconfd", "*/xfce4/xfconf/xfconfd")
        for path in place.glob(pattern) if os.access(path, os.X_OK)
    ]  # fmt: skip
    if not found:
        pytest.skip("xfconfd is missing: apt-get install xfconf")
    return panel, str(found[0])
