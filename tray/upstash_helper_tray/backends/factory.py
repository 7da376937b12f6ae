"""Opening the screen: the only module that chooses a backend and imports pystray."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from upstash_helper_tray.backends.choice import AUTO, choose
from upstash_helper_tray.backends.screen import Backend, TrayUnavailable

if TYPE_CHECKING:
    from upstash_helper_tray.backends.screen import Screen

# pystray looks for one of its own backends when it is imported, and fails without a display unless told which to use.
_PYSTRAY_BACKENDS: Final[dict[Backend, str]] = {
    "statusnotifier": "dummy",
    "appindicator": "appindicator",
    "gtk": "gtk",
    "xorg": "xorg",
    "win32": "win32",
    "darwin": "darwin",
}

_MODULES: Final[dict[Backend, str]] = {
    "statusnotifier": "upstash_helper_tray.backends.statusnotifier",
    "xorg": "upstash_helper_tray.backends.xorg",
}
"""The modules of the icon classes that are not pystray's own."""


def find_backend(requested: str = AUTO, *, wait: float = 0.0) -> Backend:
    """
    Return the backend that would show an icon here, without showing one.

    Args:
        requested: ``auto``, or the name of a backend.
        wait: Seconds to wait for a panel.

    Raises:
        TrayUnavailable: If none can, or the requested one cannot.
    """
    from upstash_helper_tray.backends.environment import SystemEnvironment

    return choose(sys.platform, SystemEnvironment(wait=wait), requested)


def open_screen(requested: str = AUTO, *, wait: float = 0.0) -> Screen:
    """
    Return a screen that can show an icon here.

    Args:
        requested: ``auto``, or the name of a backend.
        wait: Seconds to wait for a panel.

    Raises:
        TrayUnavailable: If none can, or the requested one cannot.
    """
    backend = find_backend(requested, wait=wait)
    icons = icon_class(backend)
    from upstash_helper_tray.backends.pystray_screen import PystrayScreen

    if backend != "darwin":
        return PystrayScreen(backend, icon_class=icons)
    from upstash_helper_tray.backends.macos import MacDesktop

    return PystrayScreen(backend, icon_class=icons, desktop=MacDesktop())


def icon_class(backend: Backend) -> Any:
    """
    Return the pystray icon class of a backend. After this, pystray can be imported without a display.

    Raises:
        TrayUnavailable: If the backend's libraries cannot be loaded.
    """
    os.environ["PYSTRAY_BACKEND"] = _PYSTRAY_BACKENDS[backend]
    try:
        found = importlib.import_module(_MODULES.get(backend, "pystray")).Icon
    except Exception as error:
        # pystray and its libraries raise many types: ImportError, Xlib's DisplayNameError, GLib's GError.
        why = "the desktop, or a library that it needs, cannot be reached"
        if isinstance(error, ImportError) and error.name:
            why = f"the Python module {error.name} is missing, or cannot be loaded"
        message = f"The backend {backend} cannot be used: {why}."
        raise TrayUnavailable(message, advice="Choose another one with --backend, or omit that option.") from error
    if backend == "win32":
        from upstash_helper_tray.backends.win32 import keep_open_menu

        return keep_open_menu(found)
    return found
