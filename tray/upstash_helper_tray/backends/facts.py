"""Finding out what is here. Nothing raises, and nothing takes long: what cannot be found out is not here."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from functools import cached_property
from typing import Final

from upstash_helper.system.session_bus import session_bus_address

_BETTER_SECONDS: Final = 5.0
"""To wait for a panel of the new kind where one of the old kind is there and would do."""
_GI_SECONDS: Final = 10.0

# In a process of its own: GTK stays in memory once it was loaded, and has not failed before it was.
_TYPELIBS: Final = """
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
_INDICATORS: Final = ("AppIndicator3", "AyatanaAppIndicator3")


class SystemFacts:
    """The facts of this machine and session; each is found out once."""

    def __init__(self, *, wait: float = 0.0) -> None:
        """
        Args:
            wait: Seconds to wait for a panel, of whichever kind, from now on.
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
        from upstash_helper_tray.backends.host import host_is_there
        from upstash_helper_tray.backends.xembed import tray_is_there

        wait = self._left()
        if wait > _BETTER_SECONDS and self.display and self.gtk and tray_is_there():
            wait = _BETTER_SECONDS
        return host_is_there(wait=wait)

    @cached_property
    def xembed_tray(self) -> bool:
        """Whether a program owns the selection of the system tray."""
        from upstash_helper_tray.backends.xembed import tray_is_there

        return self.display and tray_is_there(wait=self._left())

    @cached_property
    def gtk(self) -> bool:
        """Whether PyGObject and GTK 3 are here."""
        return "Gtk" in self._typelibs

    @cached_property
    def appindicator(self) -> bool:
        """Whether PyGObject, GTK 3 and an AppIndicator library are here."""
        return self.gtk and not self._typelibs.isdisjoint(_INDICATORS)

    @cached_property
    def desktop(self) -> str:
        """The names in ``XDG_CURRENT_DESKTOP``, in lower case."""
        return os.environ.get("XDG_CURRENT_DESKTOP", "").lower()

    def _left(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @cached_property
    def _typelibs(self) -> frozenset[str]:
        if importlib.util.find_spec("gi") is None:
            return frozenset()
        command = [sys.executable, "-P", "-c", _TYPELIBS, *_INDICATORS]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_GI_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return frozenset()
        return frozenset(done.stdout.split()) if done.returncode == 0 else frozenset()
