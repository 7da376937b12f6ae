"""The one place where a backend is chosen, and pystray is imported."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from upstash_helper_tray.backends.choice import AUTO, choose
from upstash_helper_tray.screen import Backend, NoTray

if TYPE_CHECKING:
    from upstash_helper_tray.screen import Screen

# By which of its own backends pystray is told to load. It looks for one at import, and fails without a display.
_PYSTRAY: Final[dict[Backend, str]] = {
    "statusnotifier": "dummy",
    "appindicator": "appindicator",
    "gtk": "gtk",
    "xorg": "xorg",
    "win32": "win32",
    "darwin": "darwin",
}


def find_backend(wanted: str = AUTO, *, wait: float = 0.0) -> Backend:
    """
    Return the backend that shows an icon here. Nothing is shown.

    Args:
        wanted: ``auto``, or a backend's name.
        wait: Seconds to wait for a panel.

    Raises:
        NoTray: If none can, or the one that is wanted cannot.
    """
    from upstash_helper_tray.backends.facts import SystemFacts

    return choose(sys.platform, SystemFacts(wait=wait), wanted)


def open_screen(wanted: str = AUTO, *, wait: float = 0.0) -> Screen:
    """
    Return a screen that can show an icon here.

    Args:
        wanted: ``auto``, or a backend's name.
        wait: Seconds to wait for a panel.

    Raises:
        NoTray: If none can, or the one that is wanted cannot.
    """
    backend = find_backend(wanted, wait=wait)
    icon_class = _icon_class(backend)  # from here on pystray can be imported
    from upstash_helper_tray.backends.pystray_screen import PystrayScreen

    return PystrayScreen(backend, icon_class=icon_class)


def _icon_class(backend: Backend) -> Any:
    os.environ["PYSTRAY_BACKEND"] = _PYSTRAY[backend]
    module = "upstash_helper_tray.backends.statusnotifier" if backend == "statusnotifier" else "pystray"
    try:
        return importlib.import_module(module).Icon
    except Exception as error:
        # pystray and what it loads raise whatever they like: ImportError, Xlib's DisplayNameError, GLib's GError.
        message = f"The backend {backend} cannot be used: {str(error) or type(error).__name__}"
        raise NoTray(message, advice="Choose another with --backend, or leave that out.") from error
