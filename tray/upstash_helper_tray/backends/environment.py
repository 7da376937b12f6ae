"""Detecting what this machine and desktop session offer. Never raises: what cannot be detected is not available."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from functools import cached_property
from typing import Final

from upstash_helper.system import bounded_run
from upstash_helper.system.session_bus import session_bus_address

_PREFERRED_PANEL_SECONDS: Final = 5.0
"""How long to wait for a StatusNotifierItem panel if there is one for legacy icons that would do."""
_GI_TIMEOUT: Final = 10.0
_LAUNCHCTL_TIMEOUT: Final = 5.0
_MANAGER_NAME: Final = ("launchctl", "managername")

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
    def sni_watcher(self) -> bool:
        """Whether a program keeps the list of StatusNotifierItems, even if no panel shows them."""
        from upstash_helper_tray.backends.sni_host import watcher_present

        return self.session_bus and watcher_present()

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
    def menu_bar(self) -> bool:
        """macOS: whether this process runs in a desktop session. True if launchd does not answer."""
        try:
            # launchctl(1): "Aqua" in a desktop session. Over SSH it is "Background".
            result = bounded_run.run(_MANAGER_NAME, seconds=_LAUNCHCTL_TIMEOUT)
        except OSError:
            return True
        return result.code != 0 or result.out.strip() == b"Aqua"

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
            result = bounded_run.run(command, seconds=_GI_TIMEOUT)
        except OSError:
            return frozenset()
        return frozenset(result.out.decode(errors="replace").split()) if result.code == 0 else frozenset()
