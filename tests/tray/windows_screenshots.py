"""
Take the screenshots of the tray on Windows: the icon on Wine's taskbar, its menu, and a notification.

    python -m tests.tray.windows_screenshots OUTDIR

The daemon and the tray run under Wine, from the portable folder. The sandbox runs on this system.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from install.win_amd64 import downloads, portable, wheels
from install.wine.prefix import Prefix
from tests.support.connecting import connected, settings_for
from tests.support.daemon import QUIETLY, DaemonProcess
from tests.support.display import x_display
from tests.support.keyring import PrivateKeyring
from tests.support.panel import Panel
from tests.support.sandbox import Sandbox
from tests.support.until import until
from tests.tray.screenshots import EMAIL, fill, request_access
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.protocol.discovery import DISCOVERY_FILE, Discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import Popen

    from PIL.Image import Image

Box = tuple[int, int, int, int]
"""Left, top, right, and bottom."""

_WIDTH, _HEIGHT = 800, 600
_HOME: Final = r"C:\home"
_DRAWN_SECONDS: Final = 2.0
_TASKBAR: Final = 22
"""Height of Wine's taskbar, at the bottom of the desktop."""
_MARGIN: Final = 24
_ICON: Final = (782, 582, 798, 598)
"""Where the only icon is: left, top, right, and bottom."""


class WindowsDaemon(DaemonProcess):
    """A daemon in a prefix."""

    def __init__(self, prefix: Prefix, python: str, **settings: Any) -> None:
        super().__init__(Path(_HOME), **settings)
        self._prefix = prefix
        self._python = python

    def start(self) -> DaemonClient:
        """See ``DaemonProcess``."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self.settings.items()]
        command = [self._python, "-m", "upstash_helper", "run", *QUIETLY[:1], *flags]
        self._running = self._prefix.start(command, env={"UPSTASH_HELPER_HOME": _HOME})
        until(self._discovery.exists, seconds=120)
        return self.client

    @property
    def _discovery(self) -> Path:
        return self._prefix.drive_c / "home" / "run" / DISCOVERY_FILE

    @property
    def client(self) -> DaemonClient:
        """See ``DaemonProcess``."""
        found = msgspec.json.decode(self._discovery.read_bytes(), type=Discovery)
        return DaemonClient(found.base_url, found.owner_token, proves=found.proves, timeout=60)


@contextlib.contextmanager
def desktop(prefix: Prefix, display: str, *command: str) -> Iterator[Popen[bytes]]:
    """Run a program on a Windows desktop with a taskbar, which fills the display."""
    shell = ["explorer", f"/desktop=shell,{_WIDTH}x{_HEIGHT}", *command]
    with prefix.start(shell, env={"DISPLAY": display, "UPSTASH_HELPER_HOME": _HOME}) as running:
        try:
            yield running
        finally:
            running.kill()


async def pictures(folder: Path) -> None:
    """Write the screenshots to a folder."""
    with tempfile.TemporaryDirectory() as temporary, x_display() as display, Prefix() as prefix:
        content = prefix.drive_c / "upstash-helper"
        portable.assemble(content, "", downloads.cache_folder())
        wheels.unpack(wheels.build(Path(temporary) / "wheel"), content / "python" / "Lib" / "site-packages")
        python = r"C:\upstash-helper\python\python.exe"
        async with Sandbox.running(Path(temporary) / "sandbox") as sandbox:
            daemon = WindowsDaemon(prefix, python, **settings_for(sandbox, "open"))
            daemon.start()
            await connected(daemon, sandbox, "open", EMAIL, full_access=True)
            fill(daemon)
            screen = Panel(PrivateKeyring(), display)  # not started: only its mouse, keyboard, and screenshots
            tray = (python.replace("python.exe", "pythonw.exe"), "-m", "upstash_helper", "tray", "--wait", "60")
            with desktop(prefix, display, *tray):
                for name, picture in take(screen, lambda: request_access(daemon)):
                    cut(picture).save(folder / f"windows-{name}.png")


def take(screen: Panel, request: Callable[[], None]) -> Iterator[tuple[str, Image]]:
    """Yield the screenshots and their names. ``request`` sends an access request of an app."""
    until(lambda: _is_green(screen.picture()), seconds=180)
    yield "databases", _menu(screen, 6, 2, 2)
    request()
    time.sleep(2 * _DRAWN_SECONDS)
    yield "notification", screen.picture()
    yield "approval", _menu(screen, 5, -5)


def cut(picture: Image) -> Image:
    """Cut off the empty part of the desktop."""
    box = _changed(_empty(picture), picture)
    assert box is not None
    return picture.crop((box[0] - _MARGIN, box[1] - _MARGIN, *picture.size))


def _empty(picture: Image) -> Image:
    """Return an empty desktop."""
    from PIL import Image as Images

    return Images.new("RGB", picture.size, picture.getpixel((0, 0)))


def _is_green(picture: Image) -> bool:
    """Return whether the icon is that of a connected account."""
    data = picture.crop(_ICON).tobytes()
    return any(green > red + 60 for red, green in zip(data[::3], data[1::3], strict=True))


def _menu(screen: Panel, *rows: int) -> Image:
    """
    Open the menu, and point at rows of it and of its submenus. Menus of Windows need the mouse here: without a window
    manager, the keyboard is not theirs.

    Args:
        screen: The screen.
        rows: For each menu, the number of the row, from 1, or from the end and below 0.
    """
    until(lambda: _changed(_empty(screen.picture()), screen.picture()) is None, seconds=90)  # no notification
    before = screen.picture()
    screen.click((_ICON[0] + _ICON[2]) // 2, (_ICON[1] + _ICON[3]) // 2, right=True)
    for row in rows:
        found = until(functools.partial(_opened, screen, before, row), seconds=60)
        assert found is not None
        box, y = found
        _point(screen, box[0] + 40, y)
        time.sleep(_DRAWN_SECONDS)
        before.paste(screen.picture().crop(box), box)  # this menu, with the highlighted row: the next one is new
    time.sleep(_DRAWN_SECONDS)
    picture = screen.picture()
    screen.click(_WIDTH // 3, _HEIGHT // 3)  # on the desktop: the menu closes
    time.sleep(_DRAWN_SECONDS)
    return picture


def _opened(screen: Panel, before: Image, row: int) -> tuple[Box, int] | None:
    """Return where a menu has opened, and the middle of one of its rows, once it is drawn."""
    after = screen.picture()
    time.sleep(_DRAWN_SECONDS)
    box = _changed(before, after)
    found = _rows(after, box) if box is not None else []
    if box is None or len(found) < abs(row) or after != screen.picture():
        return None
    return box, found[row - 1 if row > 0 else row]


def _point(screen: Panel, x: int, y: int) -> None:
    """Move the mouse."""
    from Xlib import X
    from Xlib.display import Display
    from Xlib.ext import xtest

    display = Display(screen.display)
    xtest.fake_input(display, X.MotionNotify, x=x, y=y)
    display.sync()
    display.close()


def _changed(before: Image, after: Image) -> Box | None:
    """Return the part of the screen above the taskbar that has changed."""
    from PIL import ImageChops

    above = (0, 0, _WIDTH, _HEIGHT - _TASKBAR)
    return ImageChops.difference(before.crop(above), after.crop(above)).getbbox()


def _rows(picture: Image, box: Box) -> list[int]:
    """Return the middle of each row of text in a menu."""
    left, top, right, bottom = box
    text = picture.crop((left + 12, top, min(left + 120, right), bottom)).convert("L")
    dark = [min(text.crop((0, y, text.width, y + 1)).tobytes()) < 190 for y in range(text.height)]
    found: list[int] = []
    start = None
    for y, is_text in enumerate([*dark, False]):
        if is_text and start is None:
            start = y
        elif not is_text and start is not None:
            if y - start > 4:  # a separator has fewer lines
                found.append(top + (start + y) // 2)
            start = None
    return found


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser("python -m tests.tray.windows_screenshots", description="The tray on Windows.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(pictures(folder))


if __name__ == "__main__":
    main()
