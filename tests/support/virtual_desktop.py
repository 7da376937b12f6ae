"""
A session bus and a virtual display for a desktop's panel, with a mouse, a keyboard, and screenshots.

Subclasses start the panel.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from PIL.Image import Image

    from tests.support.keyring import PrivateKeyring

HEIGHT: Final = 32
"""Height of the panels, which are at the top of the display."""
SECONDS: Final = 40.0

_LEFT: Final = 1
_RIGHT: Final = 3


class VirtualDesktop:
    """A session and its display."""

    variables: ClassVar[Mapping[str, str]] = {}
    """What a login to this desktop sets, besides the session bus and the display."""

    def __init__(self, session: PrivateKeyring, display: str) -> None:
        """
        Args:
            session: The session bus and the home folder.
            display: As in ``DISPLAY``.
        """
        self.session = session
        self.display = display
        self.keep = Path(tempfile.gettempdir()) / "upstash-helper-last-screen.png"
        """The file for the last screenshot, if a test waits in vain."""
        self._programs: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment of a program on this desktop."""
        quiet = {"GDK_BACKEND": "x11", "GTK_A11Y": "none", "NO_AT_BRIDGE": "1"}
        return {**self.session.env, **quiet, "DISPLAY": self.display, **self.variables}

    def start_program(self, *command: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a program, until ``stop``."""
        silent = subprocess.DEVNULL
        env = dict(self.environment if environment is None else environment)
        program = subprocess.Popen(command, env=env, stdin=silent, stdout=silent, stderr=silent)
        self._programs.append(program)
        return program

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Make the X server hang for the duration of the block."""
        server = next(one for one in psutil.process_iter(["name"]) if one.info["name"] == "Xvfb" and self._serves(one))
        server.suspend()
        try:
            yield
        finally:
            server.resume()

    def kill(self) -> None:
        """Kill the program that was started last, the panel. The session continues."""
        panel = self._programs.pop()
        panel.kill()
        panel.wait()

    def stop(self) -> None:
        """End all programs that were started here."""
        for one in reversed(self._programs):
            one.kill()
            one.wait()

    def _serves(self, server: psutil.Process) -> bool:
        path = f"@/tmp/.X11-unix/X{self.display.removeprefix(':')}"
        return any(str(connection.laddr) == path for connection in server.net_connections("unix"))

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

    def move(self, x: int, y: int) -> None:
        """Move the pointer."""
        from Xlib import X

        # Some toolkits open a submenu only if the pointer moves within its entry.
        self._input([(X.MotionNotify, 0, x - 2, y), (X.MotionNotify, 0, x, y)])

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
