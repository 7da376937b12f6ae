"""
Xfce's panel on a virtual display, with a mouse, a keyboard, and screenshots.

    with Panel.running() as panel:
        panel.until(lambda icon: …, keep=…)
        panel.click()
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

import pytest

from tests.support.display import x_display
from tests.support.keyring import PrivateKeyring
from tests.support.virtual_desktop import HEIGHT, VirtualDesktop

if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Panel(VirtualDesktop):
    """Xfce's panel, on its own session bus and display."""

    variables: ClassVar = {"XDG_CURRENT_DESKTOP": "XFCE"}

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

    def start(self, program: str = "xfce4-panel") -> None:
        """Start the panel, as at login or after a crash."""
        self.start_program(program, "--disable-wm-check")

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
