"""Detecting what this machine and desktop session offer. Never raises: what cannot be detected is not available."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from functools import cached_property
from typing import Final

from upstash_helper.system.session_bus import session_bus_address

_PREFERRED_PANEL_SECONDS: Final = 5.0
"""How long to wait for a StatusNotifierItem panel if there is one for legacy icons that would do."""
_GI_TIMEOUT: Final = 10.0

# Run in a separate process: GTK cannot be unloaded, and whether it works is known only after loading it.
_LIST_TYPELIBS: Final = """
import sys, gi
gi.require_version("Gtk", "3.0")
for name in sys.argv[1:]:
    try:
        gi.require_version(name, "0.1")
    except ValueError:
        continue
    print(name)
print("Gtk")
"""
_APPINDICATOR_TYPELIBS: Final = ("AppIndicator3", "AyatanaAppIndicator3")


class SystemEnvironment:
    """The environment of this machine and session. Each property is determined once."""

    def __init__(self, *, wait: float = 0.0) -> None:
        """
        Args:
            wait: Seconds, starting now, to wait for a panel of either kind.
        """
        self._deadline = time.monotonic() + wait

    @cached_property
    def session_bus(self) -> bool:
        """Whether there is a session bus."""
        return bool(session_bus_address()) and importlib.util.find_spec("dbus_fast") is not None

    @cached_property
    def display(self) -> bool:
        """Whether there is an X11 display."""
        return bool(os.environ.get("DISPLAY"))

    @cached_property
    def sni_host(self) -> bool:
        """Whether a panel shows StatusNotifierItems."""
        from upstash_helper_tray.backends.sni_host import sni_host_present
        from upstash_helper_tray.backends.xembed import xembed_tray_present

        wait = self._remaining()
        if wait > _PREFERRED_PANEL_SECONDS and self.display and self.gtk and xembed_tray_present():
            wait = _PREFERRED_PANEL_SECONDS
        return sni_host_present(wait=wait)

    @cached_property
    def xembed_tray(self) -> bool:
        """Whether a program owns the selection of the system tray."""
        from upstash_helper_tray.backends.xembed import xembed_tray_present

        return self.display and xembed_tray_present(wait=self._remaining())

    @cached_property
    def gtk(self) -> bool:
        """Whether PyGObject and GTK 3 are installed."""
        return "Gtk" in self._typelibs

    @cached_property
    def appindicator(self) -> bool:
        """Whether PyGObject, GTK 3, and an AppIndicator library are installed."""
        return self.gtk and not self._typelibs.isdisjoint(_APPINDICATOR_TYPELIBS)

    @cached_property
    def desktop(self) -> str:
        """The names in ``XDG_CURRENT_DESKTOP``, in lower case."""
        return os.environ.get("XDG_CURRENT_DESKTOP", "").lower()

    def _remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @cached_property
    def _typelibs(self) -> frozenset[str]:
        if importlib.util.find_spec("gi") is None:
            return frozenset()
        command = [sys.executable, "-P", "-c", _LIST_TYPELIBS, *_APPINDICATOR_TYPELIBS]
        try:
            completed = subprocess.run(command, capture_output=True, text=True, timeout=_GI_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return frozenset()
        return frozenset(completed.stdout.split()) if completed.returncode == 0 else frozenset()
