"""
Panels of several desktops that show tray icons, each on its own session bus and display.

    with desktop(Waybar) as waybar:
        waybar.click(right=True)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

if sys.platform != "linux":
    pytest.skip("platform: these desktops are Linux's", allow_module_level=True)

import pwd

from tests.support.display import required_program, x_display
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from tests.support.virtual_desktop import HEIGHT, VirtualDesktop

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

WIDTH: Final = 1280
_SCREEN_HEIGHT: Final = 800
_SERVICES: Final = Path("/usr/share/dbus-1/services")


class TrayDesktop(VirtualDesktop):
    """A desktop. Its panel is at the top, and the tray at its left end."""

    programs: ClassVar[Mapping[str, str]] = {}
    """The programs that it needs, and their Debian packages."""
    services: ClassVar = ""
    """The system's D-Bus services that the bus starts on demand: a pattern of file names."""
    shared_bus: ClassVar = False
    """Whether its programs run as another user if the tests run as root."""
    backend: ClassVar = "statusnotifier"
    """The tray's backend for it."""

    def start_panel(self) -> None:
        """Write the configuration, and start the desktop's programs."""
        raise NotImplementedError

    def tell_bus(self, *variables: str) -> None:
        """Make variables known to the programs that the bus starts."""
        command = ["dbus-update-activation-environment", *variables]
        subprocess.run(command, env=dict(self.environment), check=True)

    def configure(self, path: str, text: str) -> Path:
        """Write a file below ``~/.config``."""
        file = self.session.home / ".config" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file


class Waybar(TrayDesktop):
    """
    Waybar on sway, which is a Wayland compositor. Its one output is a window on the X display.

    sway refuses to run as root.
    """

    programs: ClassVar = {"sway": "sway", "waybar": "waybar", "setpriv": "util-linux"}
    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "sway"}
    shared_bus: ClassVar = True

    def start_panel(self) -> None:
        """Start sway, which starts the bar."""
        folder = self.session.home.parent / "wayland"
        runtime = folder / "run"
        for one, mode in ((folder, 0o711), (runtime, 0o700)):
            one.mkdir(mode=mode)
        as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(runtime, nobody.pw_uid, nobody.pw_gid)
            as_user = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--")
        bar, style, sway = folder / "waybar.json", folder / "waybar.css", folder / "sway"
        bar.write_text(_WAYBAR.format(height=HEIGHT))
        style.write_text(_WAYBAR_STYLE)
        output = f"output * resolution {WIDTH}x{_SCREEN_HEIGHT}\noutput * background #dce6e1 solid_color\n"
        sway.write_text(f"{output}exec waybar --config {bar} --style {style}\n")
        drawing = {"WLR_BACKENDS": "x11", "WLR_RENDERER": "pixman", "LIBGL_ALWAYS_SOFTWARE": "1"}
        own = {"HOME": str(runtime), "XDG_RUNTIME_DIR": str(runtime)}
        inherited = {name: value for name, value in self.environment.items() if not name.startswith(("XDG_", "GDK_"))}
        environment = {**inherited, **self.variables, **drawing, **own}
        self.start_program(*as_user, "sway", "--config", str(sway), environment=environment)


_WAYBAR: Final = """\
{{"layer": "top", "position": "top", "height": {height}, "modules-left": ["tray"], "tray": {{"icon-size": 24}}}}
"""
_WAYBAR_STYLE: Final = """\
window#waybar { background: #f6f6f6; }
#tray { padding: 0 4px; }
"""


class LXQt(TrayDesktop):
    """LXQt's panel."""

    programs: ClassVar = {"lxqt-panel": "lxqt-panel", "openbox": "openbox"}
    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "LXQt"}

    def start_panel(self) -> None:
        """Start the window manager and the panel."""
        self.configure("lxqt/panel.conf", _LXQT.format(height=HEIGHT))
        self.start_program("openbox")
        self.start_program("lxqt-panel")


_LXQT: Final = """\
[General]
__userfile__=true

[panel1]
plugins=statusnotifier
position=Top
alignment=-1
panelSize={height}
iconSize=24
width=100
width-percent=true
animation-duration=0

[statusnotifier]
type=statusnotifier
alignment=Left
"""


class Trayer(TrayDesktop):
    """trayer, a panel for legacy icons (XEmbed) only."""

    programs: ClassVar = {"trayer": "trayer"}
    backend: ClassVar = "xorg"

    def start_panel(self) -> None:
        """Start the panel."""
        place = ("--edge", "top", "--align", "left", "--widthtype", "pixel", "--width", "200", "--height", str(HEIGHT))
        self.start_program("trayer", *place)


class I3bar(TrayDesktop):
    """i3 with its bar, for legacy icons (XEmbed) only. The icons are at the right end."""

    programs: ClassVar = {"i3": "i3-wm", "i3bar": "i3-wm"}
    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "i3"}
    backend: ClassVar = "xorg"

    def start_panel(self) -> None:
        """Start the window manager, which starts the bar."""
        configuration = self.configure("i3/config", _I3)
        self.start_program("i3", "-c", str(configuration))


_I3: Final = """\
# i3 config file (v4)
font pango:monospace 14
bar {
    position top
    colors {
        background #202020
    }
}
"""


@contextmanager
def desktop(kind: type[TrayDesktop]) -> Iterator[TrayDesktop]:
    """Run a desktop for the duration of the block. The test is skipped if one of its programs is missing."""
    skip_unless_there_is_one()
    for program, package in kind.programs.items():
        required_program(program, package=package)
    with ExitStack() as stack:
        session = PrivateKeyring(shared=kind.shared_bus)
        stack.callback(session.stop)
        for service in _SERVICES.glob(kind.services or "none"):
            [command] = re.findall(r"^Exec=(.*)$", service.read_text(), re.MULTILINE)
            session.declare(service.stem, command)
        session.start(keyring=False)
        found = kind(session, stack.enter_context(x_display(width=WIDTH, height=_SCREEN_HEIGHT)))
        stack.callback(found.stop)
        found.start_panel()
        yield found
