"""
Screenshots of the icon in the panels of several desktops, with its menu if the panel shows one.

    python -m tests.tray.desktop_pictures OUTDIR [DESKTOP ...]

A desktop that is not installed is skipped. MATE, KDE Plasma, and Cinnamon are not in the tests, because they start
slowly or have many packages: mate-panel and openbox; plasma-workspace, plasma-desktop, and openbox; cinnamon and
xapp-sn-watcher (Debian's names, without recommended packages).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.panel import Panel
from tests.support.sample_app import SampleApp
from tests.support.tray_desktops import I3bar, LXQt, TrayDesktop, Trayer, Waybar, desktop
from tests.support.tray_process import TrayProcess
from tests.support.until import until
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

    from tests.support.virtual_desktop import VirtualDesktop

_DRAWN_SECONDS: Final = 2.0
"""There is no event when a panel has drawn."""
_MARGIN: Final = 24
SECONDS: Final = 90.0
_OPAQUE: Final = 255

Box = tuple[int, int, int, int]
"""Left, top, right, and bottom."""


class Mate(TrayDesktop):
    """MATE's panel, whose applets are started by the bus."""

    programs: ClassVar = {"mate-panel": "mate-panel", "openbox": "openbox"}
    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "MATE", "GSETTINGS_BACKEND": "memory"}
    services: ClassVar = "org.mate.*.service"

    def start_panel(self) -> None:
        """Start the window manager and the panel."""
        self.tell_bus("DISPLAY", *self.variables)
        self.start_program("openbox")
        self.start_program("mate-panel")


class Plasma(TrayDesktop):
    """KDE Plasma. Its watcher is a module of kded."""

    programs: ClassVar = {"plasmashell": "plasma-workspace", "kded5": "kded5", "openbox": "openbox"}
    variables: ClassVar = {
        "XDG_CURRENT_DESKTOP": "KDE",
        "KDE_FULL_SESSION": "true",
        "KDE_SESSION_VERSION": "5",
        "QT_QUICK_BACKEND": "software",
    }
    services: ClassVar = "org.kde.*.service"

    def start_panel(self) -> None:
        """Start the window manager, the watcher, and the panel."""
        self.tell_bus("DISPLAY", *self.variables)
        for program in ("openbox", "kded5", "plasmashell"):
            self.start_program(program)


class Cinnamon(TrayDesktop):
    """Cinnamon. Its watcher is a program of its own, which the session starts at login."""

    programs: ClassVar = {"cinnamon": "cinnamon"}
    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "X-Cinnamon", "LIBGL_ALWAYS_SOFTWARE": "1"}
    services: ClassVar = "org.[cx]*.service"

    def start_panel(self) -> None:
        """Start the shell and the watcher."""
        self.tell_bus("DISPLAY", *self.variables)
        self.start_program("cinnamon")
        self.start_program("/usr/libexec/xapps/sn-watcher/xapp-sn-watcher")


KINDS: Final = {
    "waybar": Waybar,
    "lxqt": LXQt,
    "mate": Mate,
    "plasma": Plasma,
    "cinnamon": Cinnamon,
    "i3bar": I3bar,
    "trayer": Trayer,
}
XFCE: Final = "xfce"


@contextmanager
def running(name: str) -> Iterator[tuple[VirtualDesktop, str]]:
    """Run a desktop, and yield it with the tray's backend for it."""
    if name == XFCE:
        with Panel.running() as panel:
            panel.paint(0xDCE6E1)
            yield panel, "auto"
        return
    kind = KINDS[name]
    with desktop(kind) as found:
        yield found, kind.backend


def take(name: str, folder: Path) -> None:
    """Take the screenshot of a desktop."""
    with running(name) as (shown, backend), tempfile.TemporaryDirectory() as home:
        own = {"UPSTASH_HELPER_HOME": home, "UPSTASH_HELPER_NOTIFICATIONS": "false"}
        environment = {**shown.environment, **own}
        check = [sys.executable, "-P", "-m", "upstash_helper", "tray", "--check", "--backend", backend, "--wait", "90"]
        subprocess.run(check, env=environment, check=True, stdout=subprocess.DEVNULL)
        with (
            DaemonProcess.running(Path(home), environment=environment) as daemon,
            TrayProcess.running(environment, "--backend", backend, "--wait", "60"),
        ):
            SampleApp.requesting(daemon, origin="https://orders.example.com")
            until(lambda: icon_in(shown.picture()), seconds=SECONDS)
            settled(shown)
            with_icon = shown.picture()
            left, top, right, bottom = box = icon_in(with_icon) or (0, 0, 0, 0)
            picture = with_icon
            if backend != "xorg":
                shown.click((left + right) // 2, (top + bottom) // 2, right=True)
                until(lambda: changed(with_icon, shown.picture()), seconds=SECONDS)
                settled(shown)
                picture = shown.picture()
                box = union(box, changed(with_icon, picture) or box)
            save(picture.crop(around(box, picture.size)), folder / f"{name}.png")


def settled(shown: VirtualDesktop) -> None:
    """Wait until the display does not change any more."""
    before = None
    while before != (now := shown.picture().tobytes()):
        before = now
        time.sleep(_DRAWN_SECONDS)


def changed(before: Image, after: Image) -> Box | None:
    """Return the part of the display that has changed, if any has."""
    from PIL import ImageChops

    return ImageChops.difference(before, after).getbbox()


def icon_in(picture: Image) -> Box | None:
    """Return where the icon that wants attention is, by its color; None if it is not shown."""
    from PIL import Image, ImageChops

    icon = renderings(IconStatus.ATTENTION)[-1].convert("RGBA").tobytes()
    pixels = Counter(icon[start : start + 4] for start in range(0, len(icon), 4) if icon[start + 3] == _OPAQUE)
    [(color, _)] = pixels.most_common(1)
    plain = Image.new("RGB", picture.size, (color[0], color[1], color[2]))
    red, green, blue = ImageChops.difference(picture, plain).split()
    return ImageChops.lighter(red, ImageChops.lighter(green, blue)).point(lambda level: 255 * (level < 6)).getbbox()


def union(one: Box, other: Box) -> Box:
    """Return the part that contains both."""
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def around(box: Box, size: tuple[int, int]) -> Box:
    """Return the part with a margin."""
    left, top, right, bottom = box
    return max(0, left - _MARGIN), max(0, top - _MARGIN), min(size[0], right + _MARGIN), min(size[1], bottom + _MARGIN)


def save(picture: Image, file: Path) -> None:
    """Save a picture with few colors, which takes little space."""
    picture.quantize(64).save(file, optimize=True)


def main() -> None:
    """Take the screenshots."""
    names = (*KINDS, XFCE)
    parser = argparse.ArgumentParser(prog="python -m tests.tray.desktop_pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("desktops", nargs="*", default=names, metavar="DESKTOP", help=", ".join(names))
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.desktops:
        try:
            take(name, arguments.folder)
        except pytest.skip.Exception as skipped:
            sys.stderr.write(f"{name}: {skipped}\n")


if __name__ == "__main__":
    main()
